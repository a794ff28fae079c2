"""What is read of schedules: their state, their instants, their history, who fires them."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django_celery_beat.models import CrontabSchedule, PeriodicTask
from pytest_django import DjangoAssertNumQueries

from jobs import selectors
from jobs.models import Beat, Canary, Firing, Schedule
from jobs.schedules.scheduler import tick
from jobs.schedules.sync import sync_schedules
from jobs.selectors import ScheduleView
from tests.compliance.builders import make_tenant
from tests.jobs.records import ago
from tests.jobs.schedules.schedules import at, changed_at, make_schedule

pytestmark = pytest.mark.django_db


def viewed(schedule: Schedule) -> ScheduleView:
    return selectors.get_schedule(schedule.pk)


def make_firing(schedule: Schedule, due_at: datetime, **fields: Any) -> Firing:
    values: dict[str, Any] = {"outcome": "fired", "fired_at": due_at} | fields
    name = schedule.periodic_task.name
    return Firing.objects.create(schedule_id=schedule.pk, name=name, due_at=due_at, **values)


# --- a schedule -----------------------------------------------------------------------------------


def test_a_schedule_is_told_with_its_next_instant_in_its_zone_and_its_last_firing() -> None:
    schedule = make_schedule(cron="0 9 * * 1-5", zone="Asia/Tokyo")
    tick()
    make_firing(schedule, at("2026-03-02 00:00"))
    late = make_firing(schedule, at("2026-03-03 00:00"), fired_at=at("2026-03-03 00:05"))
    view = viewed(schedule)
    assert (view.when, view.zone, view.state) == ("0 9 * * 1-5", "Asia/Tokyo", "on")
    assert view.next is not None
    assert (view.next.local.hour, view.next.utc.hour) == (9, 0)
    assert view.next.local == view.next.utc
    assert view.last == late
    assert view.last.late_by == timedelta(minutes=5)


@pytest.mark.parametrize(
    ("fields", "when"),
    [
        ({"every": timedelta(seconds=10)}, "every 10 seconds"),
        ({"clocked": at("2099-01-01 00:00")}, "2099"),
    ],
)
def test_when_is_told_of_every_kind_of_schedule(fields: dict[str, Any], when: str) -> None:
    schedule = make_schedule(**fields)
    assert when in viewed(schedule).when
    assert viewed(schedule).zone == "UTC"


def test_one_that_says_nothing_of_when_is_listed_all_the_same() -> None:
    sync_schedules()
    mine = make_schedule(cron="0 9 * * *")
    PeriodicTask.objects.update(crontab=None)
    assert viewed(mine).when == "never"
    assert selectors.next_instants(viewed(mine)) == []
    (view,) = selectors.list_schedules(name="jobs.prune")
    assert (view.when, view.changed) == ("never", ("when",))


def test_its_state_is_what_matters_most() -> None:
    schedule = make_schedule(cron="0 9 * * *")
    tick()
    assert viewed(schedule).state == "on"
    Schedule.objects.update(wake_at=ago(minutes=2))
    assert (viewed(schedule).state, viewed(schedule).overdue) == ("overdue", True)
    Schedule.objects.update(problem="no such country")
    assert viewed(schedule).state == "problem"
    PeriodicTask.objects.update(enabled=False)
    assert (viewed(schedule).state, viewed(schedule).overdue) == ("off", False)


def test_what_a_person_changed_of_what_is_declared_is_named() -> None:
    make_tenant()
    sync_schedules()
    (view,) = selectors.list_schedules(name="jobs.prune")
    assert (view.changed, view.state, view.declared_name) == ((), "on", "jobs.prune")
    crontab = CrontabSchedule.objects.create(minute="5", hour="4")
    PeriodicTask.objects.filter(name="jobs.prune").update(crontab=crontab, queue="reports")
    (view,) = selectors.list_schedules(name="jobs.prune")
    assert (view.changed, view.state) == (("when", "queue"), "changed")


def test_what_an_older_release_declared_lacks_a_field_and_that_is_no_change() -> None:
    sync_schedules()
    row = Schedule.objects.get(periodic_task__name="jobs.prune")
    Schedule.objects.filter(pk=row.pk).update(declared={"task": "jobs.prune"})
    assert viewed(row).changed == ()


def test_arguments_that_are_no_json_do_not_keep_the_others_from_being_listed() -> None:
    sync_schedules()
    PeriodicTask.objects.filter(name="jobs.prune").update(kwargs="{")
    (view,) = selectors.list_schedules(name="jobs.prune")
    assert view.changed == ("arguments",)


def test_all_are_listed_by_name_by_as_many_questions_however_many_there_are(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for name in ("b", "a", "c"):
        make_firing(make_schedule(cron="0 9 * * *", name=name), at("2026-03-01 09:00"))
    with django_assert_num_queries(3):
        assert [view.name for view in selectors.list_schedules()] == ["a", "b", "c"]
    for number in range(10):
        make_schedule(every=timedelta(seconds=number + 1))
    with django_assert_num_queries(3):
        assert len(selectors.list_schedules()) == 13


def test_a_name_is_that_of_a_schedule_or_of_a_declaration() -> None:
    make_tenant(timezone="Europe/Athens")
    make_tenant(timezone="Asia/Tokyo")
    sync_schedules()
    names = ["inventory.check_stock [Asia/Tokyo]", "inventory.check_stock [Europe/Athens]"]
    assert [view.name for view in selectors.list_schedules(name="inventory.check_stock")] == names
    assert [view.name for view in selectors.list_schedules(name=names[0])] == names[:1]
    assert selectors.list_schedules(name="nothing") == []
    assert selectors.list_schedules(name="a\0b") == []


def test_a_schedule_that_does_not_exist_is_named() -> None:
    for id_ in (7, -1, 2**31, 2**63, 10**30):
        with pytest.raises(Schedule.DoesNotExist, match=f"There is no schedule {id_}."):
            selectors.get_schedule(id_)


# --- its instants and its history -----------------------------------------------------------------


def test_its_next_instants_are_those_of_its_timing_and_of_its_days() -> None:
    schedule = make_schedule(cron="0 9 * * *", zone="Europe/Berlin", days="business", country="DE")
    found = selectors.next_instants(viewed(schedule), after=at("2026-12-24 12:00"), count=3)
    assert [f"{one.local:%a %m-%d %H:%M}" for one in found] == [
        "Mon 12-28 09:00", "Tue 12-29 09:00", "Wed 12-30 09:00",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "fields",
    [
        {"cron": "0 9 * * *", "enabled": False},
        {"cron": "0 0 31 2 *"},
        {"cron": "0 9 * * *", "days": "business", "country": "XX"},
        {"clocked": at("2026-01-01 00:00")},
    ],
)
def test_what_is_off_or_cannot_be_planned_has_no_next_instants(fields: dict[str, Any]) -> None:
    assert selectors.next_instants(viewed(make_schedule(**fields))) == []


def test_so_many_instants_may_be_asked_for() -> None:
    schedule = make_schedule(every=timedelta(seconds=1))
    assert len(selectors.next_instants(viewed(schedule), count=10**6)) == 1000


def test_its_history_goes_back_page_by_page() -> None:
    schedule, other = make_schedule(cron="0 9 * * *"), make_schedule(cron="0 9 * * *")
    rows = [make_firing(schedule, at(f"2026-03-0{day} 09:00")) for day in range(1, 6)]
    make_firing(other, at("2026-03-09 09:00"))
    latest = rows[::-1]
    assert selectors.firings_of(schedule.pk) == latest
    assert selectors.firings_of(schedule.pk, limit=2) == latest[:2]
    assert selectors.firings_of(schedule.pk, limit=2, before=latest[1].pk) == latest[2:4]


# --- health ---------------------------------------------------------------------------------------


def test_without_a_beat_nothing_is_well() -> None:
    health = selectors.schedule_health()
    assert (health.beats, health.tick_age, health.healthy) == (0, None, False)


def test_living_beats_are_counted_and_the_last_look_is_told() -> None:
    for silent, stopped in ((5, None), (1, None), (3600, None), (2, ago())):
        Beat.objects.create(host="h", pid=1, ticked_at=ago(seconds=silent), stopped_at=stopped)
    health = selectors.schedule_health()
    assert (health.beats, health.healthy) == (2, True)
    assert health.tick_age is not None
    assert 1 <= health.tick_age.total_seconds() < 5


def test_what_is_overdue_or_has_a_problem_is_named_while_it_is_on() -> None:
    Beat.objects.create(host="h", pid=1)
    on = make_schedule(cron="0 9 * * *", name="on")
    off = make_schedule(cron="0 9 * * *", name="off", enabled=False)
    make_schedule(cron="0 9 * * *", name="well")
    Schedule.objects.filter(pk__in=[on.pk, off.pk]).update(problem="broken")
    for schedule in (on, off):
        changed_at(schedule.pk, ago(minutes=2))
    health = selectors.schedule_health()
    assert (health.overdue, health.troubled, health.healthy) == (("on",), ("on",), False)


def test_each_queue_has_its_canary_and_is_silent_without_one_for_two_minutes(conf: Any) -> None:
    Canary.objects.create(queue="email", enqueued_at=ago(seconds=9), ran_at=ago(seconds=5))
    Canary.objects.create(queue="pdf", enqueued_at=ago(seconds=130), ran_at=ago(seconds=125))
    canaries = {canary.queue: canary for canary in selectors.schedule_health().canaries}
    assert (canaries["email"].silent, canaries["pdf"].silent) == (False, True)
    assert (canaries["imports"].silent, canaries["imports"].age) == (True, None)
    wait = canaries["email"].wait
    assert wait is not None
    assert wait.total_seconds() == pytest.approx(4, abs=0.5)
    sync_schedules()
    PeriodicTask.objects.filter(name="jobs.canary [pdf]").update(enabled=False)
    assert "pdf" not in {canary.queue for canary in selectors.schedule_health().canaries}
    conf(CANARY=False)
    assert selectors.schedule_health().canaries == ()


def test_schedules_of_the_engine_are_told_from_canaries() -> None:
    sync_schedules()
    canaries = [view.name for view in selectors.list_schedules() if view.is_canary]
    assert "jobs.canary [email]" in canaries
    assert "jobs.prune" not in canaries
