"""What is due is fired once, by whichever scheduler sees it, with its job and its next instant."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from jobs.definition import Unique
from jobs.models import Firing, Job, Schedule
from jobs.schedules import scheduler
from jobs.schedules.scheduler import tick
from jobs.tasks import probe
from tests.jobs.schedules.schedules import at, changed_at, history, jobs_of, make_schedule

pytestmark = pytest.mark.django_db


def planned(schedule: Schedule) -> Any:
    return Schedule.objects.values_list("next_at", flat=True).get(pk=schedule.pk)


# --- one instant, one job -------------------------------------------------------------------------


def test_an_instant_becomes_a_job_and_a_line_of_history_and_the_next_one_is_planned() -> None:
    schedule = make_schedule(cron="0 9 * * *", since=at("2026-03-01 08:00"))
    assert tick(at("2026-03-01 08:00")).wait == timedelta(hours=1)
    assert tick(at("2026-03-01 08:59:59")).fired == 0
    assert tick(at("2026-03-01 09:00")).fired == 1
    assert tick(at("2026-03-01 09:00:01")).fired == 0
    (job,) = jobs_of(schedule)
    firing = Firing.objects.get()
    assert (firing.outcome, firing.due_at, firing.job_id) == (
        "fired", at("2026-03-01 09:00"), job.id,
    )  # fmt: skip
    assert job.payload["label"] == schedule.periodic_task.name
    assert planned(schedule) == at("2026-03-02 09:00")
    row = PeriodicTask.objects.get(pk=schedule.pk)
    assert (row.last_run_at, row.total_run_count) == (at("2026-03-01 09:00"), 1)


def test_it_is_due_at_the_local_time_of_its_zone() -> None:
    schedule = make_schedule(cron="0 9 * * *", zone="Asia/Tokyo", since=at("2026-03-01 12:00"))
    tick(at("2026-03-01 12:00"))
    assert planned(schedule) == at("2026-03-02 00:00")


def test_a_firing_in_the_history_keeps_its_instant_from_being_fired_again() -> None:
    schedule = make_schedule(cron="0 9 * * *", since=at("2026-03-01 08:00"))
    tick(at("2026-03-01 09:00"))
    changed_at(schedule.pk, at("2026-03-01 08:00"))  # as if somebody had put the clock back
    Schedule.objects.update(stale=True)
    tick(at("2026-03-01 09:00"))
    assert len(jobs_of(schedule)) == 1
    assert history(schedule) == [("fired", "03-01 09:00")]


def test_an_interval_does_not_drift_however_late_it_is_seen() -> None:
    schedule = make_schedule(every=timedelta(minutes=10), since=at("2026-03-01 08:03"))
    for now in ("08:13:07", "08:23:09", "08:33:02"):
        tick(at(f"2026-03-01 {now}"))
    assert history(schedule) == [(("fired"), f"03-01 08:{minute}") for minute in (13, 23, 33)]


def test_a_clocked_schedule_runs_once_and_is_switched_off() -> None:
    schedule = make_schedule(clocked=at("2026-03-01 09:00"), since=at("2026-03-01 08:00"))
    tick(at("2026-03-01 09:00"))
    tick(at("2026-03-01 09:01"))
    assert history(schedule) == [("fired", "03-01 09:00")]
    assert not PeriodicTask.objects.get().enabled
    assert (planned(schedule), tick(at("2026-03-05 09:00")).wait) == (None, None)


def test_a_one_off_crontab_runs_once_however_many_it_missed() -> None:
    schedule = make_schedule(cron="0 * * * *", one_off=True, since=at("2026-03-01 08:30"))
    tick(at("2026-03-01 11:30"))
    tick(at("2026-03-01 12:30"))
    assert history(schedule) == [("fired", "03-01 09:00")]


def test_a_one_off_whose_rule_is_to_skip_does_not_run_late() -> None:
    clocked = make_schedule(
        clocked=at("2026-03-01 09:00"), missed="skip", since=at("2026-03-01 08:00")
    )
    cron = make_schedule(
        cron="0 * * * *", one_off=True, missed="skip", since=at("2026-03-01 08:30")
    )
    tick(at("2026-03-01 09:30"))
    tick(at("2026-03-01 10:00"))
    assert history(clocked) == [("missed", "03-01 09:00")]
    assert history(cron) == [("missed", "03-01 09:00"), ("fired", "03-01 10:00")]
    assert not PeriodicTask.objects.filter(enabled=True).exists()


def test_a_one_off_that_did_not_run_is_not_over() -> None:
    overlapped = make_schedule(
        cron="0 * * * *", one_off=True, overlap="skip", since=at("2026-03-01 08:30")
    )
    running = probe.enqueue(label="x").id
    Schedule.objects.filter(pk=overlapped.pk).update(last_job_id=running)
    failed = make_schedule(
        clocked=at("2026-03-01 09:00"), kwargs={"label": 7}, since=at("2026-03-01 08:30")
    )
    tick(at("2026-03-01 09:00"))
    assert (history(overlapped), history(failed)) == (
        [("overlapped", "03-01 09:00")], [("failed", "03-01 09:00")],
    )  # fmt: skip
    assert PeriodicTask.objects.filter(enabled=True).count() == 2
    assert Schedule.objects.get(pk=failed.pk).problem
    Job.objects.filter(id=running).update(state="succeeded")
    tick(at("2026-03-01 10:00"))
    assert history(overlapped)[-1] == ("fired", "03-01 10:00")
    assert not PeriodicTask.objects.get(pk=overlapped.pk).enabled


def test_nothing_is_due_before_its_start_nor_from_its_end_on() -> None:
    schedule = make_schedule(
        cron="0 * * * *",
        start_time=at("2026-03-01 10:00"),
        expires=at("2026-03-01 12:00"),
        since=at("2026-03-01 08:00"),
    )
    for hour in range(8, 15):
        tick(at(f"2026-03-01 {hour:02}:00"))
    assert history(schedule) == [("fired", "03-01 10:00"), ("fired", "03-01 11:00")]


def test_many_that_are_due_at_once_are_all_fired() -> None:
    for _ in range(120):
        make_schedule(cron="0 9 * * *", since=at("2026-03-01 08:00"))
    assert tick(at("2026-03-01 09:00")).fired == 120
    assert Job.objects.count() == Firing.objects.count() == 120


# --- its job --------------------------------------------------------------------------------------


def test_the_job_says_which_schedule_asked_for_it_and_has_the_schedule_s_options() -> None:
    schedule = make_schedule(
        cron="0 9 * * *",
        queue="reports",
        priority=1,
        expire_seconds=3600,
        since=at("2026-03-01 08:00"),
    )
    tick(at("2026-03-01 09:00"))
    (job,) = jobs_of(schedule)
    assert (job.queue, job.priority) == ("reports", 1)
    assert job.expires_at == at("2026-03-01 10:00")


def test_jitter_lets_the_job_begin_later_always_at_the_same_moment() -> None:
    delays = []
    for _ in range(5):
        schedule = make_schedule(
            cron="0 9 * * *", jitter=timedelta(minutes=30), since=at("2026-03-01 08:00")
        )
        tick(at("2026-03-01 09:00"))
        (job,) = jobs_of(schedule)
        delays.append(job.scheduled_at - at("2026-03-01 09:00"))
    assert all(timedelta(0) <= delay < timedelta(minutes=30) for delay in delays)
    assert len(set(delays)) > 1


def test_a_job_does_not_expire_before_its_jitter_lets_it_begin() -> None:
    schedule = make_schedule(
        cron="0 9 * * *",
        jitter=timedelta(hours=1),
        expire_seconds=10,
        since=at("2026-03-01 08:00"),
    )
    tick(at("2026-03-01 09:00"))
    (job,) = jobs_of(schedule)
    assert job.expires_at == job.scheduled_at + timedelta(seconds=10)


def test_a_unique_task_that_still_waits_is_named_instead_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from dataclasses import replace

    monkeypatch.setattr(probe, "definition", replace(probe.definition, unique=Unique()))
    schedule = make_schedule(cron="0 * * * *", since=at("2026-03-01 08:00"))
    tick(at("2026-03-01 09:00"))
    tick(at("2026-03-01 10:00"))
    (job,) = jobs_of(schedule)
    assert {row.job_id for row in Firing.objects.all()} == {job.id}
    assert Firing.objects.latest("due_at").reason == "an equal job was there already"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"kwargs": {"label": 7}}, "label"),
        ({"task": "jobs.prove"}, "jobs.probe"),
        ({"queue": "emali"}, "email"),
        ({"priority": 9}, "priority"),
        ({"args": "[1]"}, "args"),
    ],
)
def test_what_cannot_be_enqueued_is_in_the_history_and_keeps_nothing_else_waiting(
    fields: dict[str, Any], told: str
) -> None:
    broken = make_schedule(cron="0 9 * * *", since=at("2026-03-01 08:00"), **fields)
    well = make_schedule(cron="0 9 * * *", since=at("2026-03-01 08:00"))
    tick(at("2026-03-01 09:00"))
    assert history(broken) == [("failed", "03-01 09:00")]
    assert told in Firing.objects.get(schedule_id=broken.pk).reason
    assert told in Schedule.objects.get(pk=broken.pk).problem
    assert planned(broken) == at("2026-03-02 09:00")
    assert history(well) == [("fired", "03-01 09:00")]


def test_what_cannot_be_planned_says_why_until_it_is_mended() -> None:
    schedule = make_schedule(cron="0 9 * * *", days="business", country="XX")
    tick()
    schedule.refresh_from_db()
    assert (schedule.next_at, schedule.wake_at) == (None, None)
    assert "XX" in schedule.problem
    Schedule.objects.update(country="DE")
    tick()
    schedule.refresh_from_db()
    assert (schedule.problem, schedule.next_at is not None) == ("", True)


def test_an_error_of_the_database_for_one_schedule_keeps_no_other_from_being_fired() -> None:
    names = [make_schedule(cron="0 9 * * *", since=at("2026-03-01 08:00")) for _ in range(4)]
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'disk full'; END $$; "
            "CREATE TRIGGER refuse BEFORE INSERT ON jobs_firing FOR EACH ROW "
            f"WHEN (NEW.schedule_id = {names[1].pk}) EXECUTE FUNCTION refuse()"
        )
    tick(at("2026-03-01 09:00"))
    assert [len(jobs_of(schedule)) for schedule in names] == [1, 0, 1, 1]
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER refuse ON jobs_firing")
    tick(at("2026-03-01 09:00:10"))
    assert [len(jobs_of(schedule)) for schedule in names] == [1, 1, 1, 1]


# --- edits ----------------------------------------------------------------------------------------


def edit(schedule: Schedule, when: str, **values: Any) -> None:
    """Change its crontab as an operator would at that time."""
    CrontabSchedule.objects.filter(periodictask=schedule.pk).update(**values)
    changed_at(schedule.pk, at(when))


def test_a_time_moved_to_earlier_today_fires_tomorrow_and_not_at_once() -> None:
    schedule = make_schedule(cron="0 9 * * *", since=at("2026-03-01 00:00"))
    tick(at("2026-03-01 00:00"))
    edit(schedule, "2026-03-01 08:30", hour="7")
    assert tick(at("2026-03-01 08:30:01")).fired == 0
    assert planned(schedule) == at("2026-03-02 07:00")


def test_a_time_moved_to_later_fires_at_the_later_time_only() -> None:
    schedule = make_schedule(cron="0 9 * * *", since=at("2026-03-01 00:00"))
    tick(at("2026-03-01 00:00"))
    edit(schedule, "2026-03-01 08:30", hour="10")
    for now in ("09:00", "10:00"):
        tick(at(f"2026-03-01 {now}"))
    assert history(schedule) == [("fired", "03-01 10:00")]


def test_what_was_due_before_an_edit_and_missed_is_seen_to_by_its_rule() -> None:
    schedule = make_schedule(cron="0 9 * * *", since=at("2026-03-01 00:00"))
    tick(at("2026-03-01 00:00"))
    edit(schedule, "2026-03-01 09:30", hour="7")  # no beat ran at nine
    tick(at("2026-03-01 09:31"))
    assert history(schedule) == [("fired", "03-01 09:00")]
    assert planned(schedule) == at("2026-03-02 07:00")


def test_of_two_edits_while_no_beat_ran_only_the_last_counts() -> None:
    schedule = make_schedule(cron="0 9 * * *", since=at("2026-03-01 00:00"))
    tick(at("2026-03-01 00:00"))
    edit(schedule, "2026-03-01 08:30", hour="12")
    edit(schedule, "2026-03-01 09:30", hour="11")
    tick(at("2026-03-01 09:31"))
    assert (history(schedule), planned(schedule)) == ([], at("2026-03-01 11:00"))


def test_switched_off_and_on_again_it_does_not_make_up_for_what_was_between() -> None:
    schedule = make_schedule(cron="0 * * * *", since=at("2026-03-01 00:00"))
    tick(at("2026-03-01 00:00"))
    PeriodicTask.objects.update(enabled=False)
    changed_at(schedule.pk, at("2026-03-01 00:30"))
    tick(at("2026-03-01 00:31"))
    assert planned(schedule) is None
    PeriodicTask.objects.update(enabled=True)
    changed_at(schedule.pk, at("2026-03-01 05:30"))
    tick(at("2026-03-01 05:31"))
    assert (history(schedule), planned(schedule)) == ([], at("2026-03-01 06:00"))


def test_switched_off_after_it_was_due_it_says_that_this_instant_was_missed() -> None:
    schedule = make_schedule(cron="0 9 * * *", since=at("2026-03-01 00:00"))
    tick(at("2026-03-01 00:00"))
    PeriodicTask.objects.update(enabled=False)
    changed_at(schedule.pk, at("2026-03-01 09:10"))
    tick(at("2026-03-01 09:11"))
    assert history(schedule) == [("missed", "03-01 09:00")]
    assert "switched off" in Firing.objects.get().reason


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE django_celery_beat_periodictask SET enabled = false",
        "UPDATE django_celery_beat_periodictask SET expires = now()",
        "UPDATE django_celery_beat_crontabschedule SET hour = '5'",
        "UPDATE django_celery_beat_crontabschedule SET timezone = 'Asia/Tokyo'",
        "UPDATE jobs_schedule SET days = 'business', country = 'DE'",
    ],
)
def test_a_change_of_when_it_is_due_is_noticed_by_whatever_way_it_is_made(change: str) -> None:
    schedule = make_schedule(cron="0 9 * * *")
    tick()
    with connection.cursor() as cursor:
        cursor.execute(change)
    assert Schedule.objects.get(pk=schedule.pk).stale


@pytest.mark.parametrize("change", [{"kwargs": json.dumps({"label": "y"})}, {"name": "other"}])
def test_other_changes_leave_it_due_when_it_is(change: dict[str, str]) -> None:
    schedule = make_schedule(cron="0 9 * * *")
    tick()
    PeriodicTask.objects.update(**change)
    assert not Schedule.objects.get(pk=schedule.pk).stale


# --- what was missed ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "seen"),
    [
        ({}, ["missed 09", "missed 10", "missed 11", "missed 12", "fired 13"]),
        ({"missed": "skip"}, ["missed 09", "missed 10", "missed 11", "missed 12", "missed 13"]),
        ({"missed": "all"}, ["fired 09", "fired 10", "fired 11", "fired 12", "fired 13"]),
        (
            {"missed": "all", "missed_limit": 2},
            ["missed 09", "missed 10", "missed 11", "fired 12", "fired 13"],
        ),
        (
            {"missed": "all", "grace": timedelta(hours=3)},
            ["missed 09", "missed 10", "fired 11", "fired 12", "fired 13"],
        ),
        ({"grace": timedelta(minutes=10)}, [f"missed {hour:02}" for hour in range(9, 14)]),
        (
            {"missed": "all", "expire_seconds": 7200},
            ["missed 09", "missed 10", "missed 11", "fired 12", "fired 13"],
        ),
    ],
)
def test_missed_instants_follow_their_rule(rules: dict[str, Any], seen: list[str]) -> None:
    schedule = make_schedule(cron="0 * * * *", since=at("2026-03-01 08:30"), **rules)
    tick(at("2026-03-01 08:30"))
    tick(at("2026-03-01 13:30"))  # no beat ran for five hours
    assert history(schedule) == [(one.split()[0], f"03-01 {one.split()[1]}:00") for one in seen]
    assert len(jobs_of(schedule)) == sum("fired" in one for one in seen)
    assert planned(schedule) == at("2026-03-01 14:00")
    assert all(row.reason for row in Firing.objects.all())
    assert {row.late_by for row in Firing.objects.filter(due_at=at("2026-03-01 13:00"))} == {
        timedelta(minutes=30)
    }


def test_a_schedule_that_skips_what_it_missed_fires_in_time() -> None:
    schedule = make_schedule(cron="0 * * * *", missed="skip", since=at("2026-03-01 08:30"))
    tick(at("2026-03-01 09:00:59"))
    assert history(schedule) == [("fired", "03-01 09:00")]


def test_of_very_many_missed_instants_the_last_are_told_one_by_one() -> None:
    schedule = make_schedule(every=timedelta(seconds=1), since=at("2026-03-01 00:00"))
    tick(at("2026-03-01 00:00"))
    tick(at("2026-03-03 00:00"))
    rows = list(Firing.objects.filter(schedule_id=schedule.pk).order_by("due_at"))
    assert len(rows) < 250
    assert [row.outcome for row in rows].count("fired") == 1
    assert rows[-1].due_at == at("2026-03-03 00:00")
    assert sum(row.instants for row in rows) > 43_000
    assert planned(schedule) == at("2026-03-03 00:00:01")


def test_an_instant_is_skipped_while_the_last_job_is_unfinished_when_the_rule_says_so() -> None:
    allowed = make_schedule(cron="0 * * * *", since=at("2026-03-01 08:30"))
    skipped = make_schedule(cron="0 * * * *", overlap="skip", since=at("2026-03-01 08:30"))
    for now in ("09:00", "10:00"):
        tick(at(f"2026-03-01 {now}"))
    assert history(allowed) == [("fired", "03-01 09:00"), ("fired", "03-01 10:00")]
    assert history(skipped) == [("fired", "03-01 09:00"), ("overlapped", "03-01 10:00")]
    Job.objects.filter(id__in=[job.id for job in jobs_of(skipped)]).update(state="succeeded")
    tick(at("2026-03-01 11:00"))
    assert history(skipped)[-1] == ("fired", "03-01 11:00")


# --- plans ----------------------------------------------------------------------------------------


def test_with_ten_thousand_schedules_both_looks_are_by_index() -> None:
    make_schedule(cron="0 9 * * *", since=at("2026-03-01 08:00"))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO django_celery_beat_periodictask (name, task, crontab_id, args, kwargs,"
            " enabled, one_off, total_run_count, date_changed, description, headers)"
            " SELECT 'many ' || n, task, crontab_id, args, kwargs, true, false, 0, now(), '', '{}'"
            " FROM django_celery_beat_periodictask, generate_series(1, 10000) AS n"
        )
        cursor.execute(
            "UPDATE jobs_schedule SET stale = false, next_at = '2026-03-02 09:00+00',"
            " wake_at = '2026-03-02 09:00+00' WHERE stale AND wake_at > '2026-03-01 08:00+00'"
        )
        cursor.execute("ANALYZE jobs_schedule, django_celery_beat_periodictask")
        with CaptureQueriesContext(connection) as asked:
            assert tick(at("2026-03-01 09:00")).fired == 1
        (taking,) = (sql for query in asked if "SKIP LOCKED" in (sql := query["sql"] or ""))
        for sql in (scheduler._NEXT, taking):
            cursor.execute("EXPLAIN " + sql)
            plan = "\n".join(row[0] for row in cursor.fetchall())
            assert "jobs_schedule_wake" in plan, plan
            assert "Seq Scan on jobs_schedule" not in plan, plan
            assert "Seq Scan on django_celery_beat_periodictask" not in plan, plan
