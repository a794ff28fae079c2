"""What is declared stands in the table, in each zone in use; what people change stays changed."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from celery import current_app
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from jobs import payload
from jobs.models import AuditEntry, Beat, Schedule
from jobs.queues import QUEUES
from jobs.schedules import declare
from jobs.schedules.calendars import Days
from jobs.schedules.celery_beat import DurableScheduler
from jobs.schedules.declare import Declaration, Per
from jobs.schedules.scheduler import tick
from jobs.schedules.sync import sync_schedules
from jobs.task import get_task
from tenants.models import Tenant

pytestmark = pytest.mark.django_db

MAINTENANCE = {"jobs.prune", "audit.archive", "sessions.clear", "database.analyze"}


def tenant(zone: str, **fields: Any) -> Tenant:
    slug = zone.lower().replace("/", "-").replace("_", "-")
    return Tenant.objects.create(slug=slug, name=zone, timezone=zone, **fields)


def enabled() -> dict[str, PeriodicTask]:
    return {row.name: row for row in PeriodicTask.objects.filter(enabled=True)}


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have nothing declared but what is given."""

    def set_to(*declarations: Declaration) -> None:
        monkeypatch.setattr(declare, "_DECLARED", {one.name: one for one in declarations})

    return set_to


CHECK = Declaration(name="tests.check", task="inventory.check_stock_of_zone", cron="0 1 * * *")


def test_maintenance_stands_once_in_utc_between_three_and_four_whatever_zones_are_in_use() -> None:
    for zones in ([], ["Europe/Athens", "Asia/Tokyo", "UTC"]):
        for zone in zones:
            tenant(zone)
        sync_schedules()
        rows = enabled()
        assert {name for name in rows if "[" not in name} == MAINTENANCE
        times = [rows[name].crontab for name in MAINTENANCE]
        assert {(str(time.timezone), time.hour) for time in times} == {("UTC", "3")}
        assert len({time.minute for time in times}) == len(MAINTENANCE), "spread"


def test_each_queue_has_its_canary() -> None:
    sync_schedules()
    names = {name for name in enabled() if name.startswith("jobs.canary")}
    assert names == {f"jobs.canary [{queue}]" for queue in QUEUES}


def test_every_task_takes_what_its_schedule_gives() -> None:
    tenant("Europe/Athens")
    sync_schedules()
    for row in enabled().values():
        payload.check(get_task(row.task).definition.arguments, row.task, json.loads(row.kwargs))


def test_what_is_done_for_tenants_stands_once_per_zone_at_its_local_time() -> None:
    tenant("Europe/Athens")
    tenant("Asia/Tokyo")
    sync_schedules()
    row = enabled()["inventory.check_stock [Europe/Athens]"]
    assert json.loads(row.kwargs) == {"zone": "Europe/Athens"}
    assert (row.crontab.hour, str(row.crontab.timezone)) == ("1", "Europe/Athens")
    assert "inventory.check_stock [Asia/Tokyo]" in enabled()


def test_a_tenant_that_changes_its_zone_is_moved_and_moved_back() -> None:
    athens = tenant("Europe/Athens")
    for zone, left in (
        ("Asia/Tokyo", "Europe/Athens"),
        ("Europe/Athens", "Asia/Tokyo"),
    ):
        sync_schedules()
        Tenant.objects.filter(pk=athens.pk).update(timezone=zone)
        sync_schedules()
        assert f"inventory.check_stock [{zone}]" in enabled()
        assert f"inventory.check_stock [{left}]" not in enabled()
    assert PeriodicTask.objects.filter(name="inventory.check_stock [Europe/Athens]").count() == 1


def test_a_zone_without_active_tenants_has_no_schedules() -> None:
    tenant("Europe/Athens")
    sync_schedules()
    Tenant.objects.update(is_active=False)
    sync_schedules()
    assert "inventory.check_stock [Europe/Athens]" not in enabled()


def test_business_days_are_those_of_each_country_in_a_zone(only: Any) -> None:
    tenant("Europe/Berlin", locale="de_DE")
    tenant("Europe/Zurich", locale="de_CH", country="CH-ZH")
    only(replace(CHECK, days=Days.LAST_BUSINESS))
    sync_schedules()
    rows = {row.periodic_task.name: row for row in Schedule.objects.all()}
    assert set(rows) == {
        "tests.check [Europe/Berlin DE]", "tests.check [Europe/Zurich CH-ZH]",
    }  # fmt: skip
    zurich = rows["tests.check [Europe/Zurich CH-ZH]"]
    assert (zurich.days, zurich.country) == ("last_business", "CH-ZH")
    assert json.loads(zurich.periodic_task.kwargs)["country"] == "CH-ZH"


def test_a_new_declaration_reaches_what_nobody_changed(only: Any) -> None:
    tenant("Europe/Athens")
    only(CHECK)
    sync_schedules()
    only(replace(CHECK, cron="30 2 * * *", grace=timedelta(hours=1), expires=timedelta(hours=2)))
    sync_schedules()
    schedule = Schedule.objects.select_related("periodic_task__crontab").get()
    row = schedule.periodic_task
    assert (row.crontab.hour, row.crontab.minute) == ("2", "30")
    assert (schedule.grace, row.expire_seconds) == (timedelta(hours=1), 7200)
    assert AuditEntry.objects.filter(action="schedule.changed").count() == 1


def test_what_an_operator_changed_survives_deploys_and_the_rest_follows_the_code(
    only: Any,
) -> None:
    tenant("Europe/Athens")
    only(CHECK)
    sync_schedules()
    own = CrontabSchedule.objects.create(minute="5", hour="6", timezone="Europe/Athens")
    row = PeriodicTask.objects.get()
    row.crontab, row.queue = own, "reports"
    row.save()
    Schedule.objects.update(missed="skip")
    for later in (replace(CHECK, grace=timedelta(hours=1)), replace(CHECK, cron="0 4 * * *")):
        only(later)
        sync_schedules()
    schedule = Schedule.objects.select_related("periodic_task__crontab").get()
    assert (schedule.periodic_task.crontab_id, schedule.periodic_task.queue) == (own.pk, "reports")
    assert (schedule.missed, schedule.grace) == ("skip", timedelta(hours=12))


def test_a_schedule_that_was_given_another_name_is_still_the_declared_one(only: Any) -> None:
    tenant("Europe/Athens")
    only(CHECK)
    sync_schedules()
    PeriodicTask.objects.update(name="mine", enabled=False)
    only(replace(CHECK, cron="0 4 * * *"))
    sync_schedules()
    sync_schedules()
    row = PeriodicTask.objects.select_related("crontab").get()
    assert (row.name, row.enabled, row.crontab.hour) == ("mine", False, "4")


def test_of_several_beats_the_declarations_of_the_one_that_started_last_count(only: Any) -> None:
    only(replace(CHECK, per=Per.SERVICE))
    old, new = (DurableScheduler(current_app, lazy=True) for _ in range(2))
    old.tick()
    new.tick()
    only(replace(CHECK, per=Per.SERVICE, cron="0 4 * * *"))
    old._look_after_at = new._look_after_at = 0.0
    old.tick()
    assert PeriodicTask.objects.get().crontab.hour == "1"
    new.tick()
    assert PeriodicTask.objects.get().crontab.hour == "4"
    only(replace(CHECK, per=Per.SERVICE, cron="0 5 * * *"))
    new.close()
    old._look_after_at = 0.0
    old.tick()
    assert PeriodicTask.objects.get().crontab.hour == "5"


def test_a_beat_that_is_stopped_while_it_registers_is_not_left_as_running(
    only: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_sql: str) -> None:
        raise SystemExit

    only()
    beat = DurableScheduler(current_app, lazy=True)
    monkeypatch.setattr("jobs.schedules.celery_beat.fetch", stop)
    with pytest.raises(SystemExit):
        beat.tick()
    assert Beat.objects.get(id=beat.id).stopped_at is None
    beat.close()
    assert Beat.objects.get(id=beat.id).stopped_at


def test_what_an_operator_switched_off_stays_off_and_what_was_retired_comes_back(
    only: Any,
) -> None:
    athens = tenant("Europe/Athens")
    only(CHECK)
    sync_schedules()
    row = PeriodicTask.objects.get()
    row.enabled = False
    row.save()
    for active in (True, False, True):
        Tenant.objects.filter(pk=athens.pk).update(is_active=active)
        sync_schedules()
        assert not enabled()


def test_a_declaration_that_is_gone_is_switched_off(only: Any) -> None:
    only(replace(CHECK, per=Per.SERVICE))
    sync_schedules()
    only()
    sync_schedules()
    assert not enabled()
    sync_schedules()
    assert AuditEntry.objects.filter(action="schedule.disabled").count() == 1


def test_rows_that_were_declared_in_another_way_before_are_taken_over_as_they_are() -> None:
    own = CrontabSchedule.objects.create(minute="5", hour="6")
    PeriodicTask.objects.create(
        name="jobs.prune", task="jobs.prune", crontab=own, kwargs="{}",
        description="Declared in erp/schedules.py.",
    )  # fmt: skip
    sync_schedules()
    row = PeriodicTask.objects.get(name="jobs.prune")
    assert (row.crontab_id, row.enabled) == (own.pk, True)
    assert Schedule.objects.get(pk=row.pk).declared_name == "jobs.prune"


def test_once_in_step_it_writes_nothing(django_assert_max_num_queries: Any) -> None:
    tenant("Europe/Athens")
    sync_schedules()
    tick()
    with django_assert_max_num_queries(2):
        sync_schedules()
    assert not Schedule.objects.filter(stale=True).exists()


def test_an_operator_s_own_schedule_is_left_alone() -> None:
    crontab = CrontabSchedule.objects.create(minute="5", hour="6")
    PeriodicTask.objects.create(name="mine", task="jobs.prune", crontab=crontab)
    sync_schedules()
    assert "mine" in enabled()


def test_two_schedules_cannot_be_called_alike(only: Any) -> None:
    only(CHECK)
    with pytest.raises(TypeError, match="two schedules"):
        declare.declare(replace(CHECK, cron="0 2 * * *"))
