"""The probe of a queue: of now, and of a day that is over."""

from datetime import UTC, date, datetime, time, timedelta
from uuid import uuid4

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs import rollups
from jobs.dry_run import try_out
from jobs.errors import DayToCome, InvalidPayload
from jobs.executor import take_turn
from jobs.models import Canary, Job, Rollup, Schedule
from jobs.schedules import by_hand, canaries, firing
from jobs.schedules.sync import sync_schedules
from jobs.tasks import canary
from jobs.testing import run_jobs

pytestmark = pytest.mark.django_db

DAY = date(2026, 3, 10)
NOON = datetime.combine(DAY, time(12), UTC)


def today() -> date:
    return datetime.now(UTC).date()


def ended(minute: datetime, waits: list[float], **fields: str) -> None:
    """Count probes that ended in a minute, by how long they waited."""
    buckets = [sum(wait < bound for bound in rollups.BOUNDS) for wait in waits]
    Rollup.objects.create(
        minute=minute,
        shard=0,
        count=len(waits),
        wait_seconds=sum(waits),
        run_seconds=0,
        wait_histogram=sum(10 ** (16 * (len(rollups.BOUNDS) - shorter)) for shorter in buckets),
        run_histogram=0,
        **{
            "queue": "email",
            "task": canary.name,
            "tenant": "",
            "outcome": "succeeded",
            "state": "succeeded",
            "error_type": "",
        }
        | fields,
    )


def run_by_a_worker() -> None:
    list(take_turn("email", worker=uuid4()))


@pytest.mark.parametrize("given", [False, True])
def test_a_probe_of_today_says_that_it_came_through_and_nothing_more(given: bool) -> None:
    job = canary.using(queue="email").enqueue(queue="email", as_of=today() if given else None)
    run_by_a_worker()
    job.refresh_from_db()
    assert (job.state, job.result) == ("succeeded", None)
    assert Canary.objects.get().queue == "email"


def test_a_probe_that_no_worker_ran_proves_nothing() -> None:
    canary.using(queue="email").enqueue(queue="email")
    (job,) = run_jobs()
    assert (job.state, Canary.objects.exists()) == ("succeeded", False)


def test_a_probe_that_came_through_another_queue_is_an_error_that_says_so() -> None:
    job = canary.using(queue="email").enqueue(queue="pdf")
    run_by_a_worker()
    job.refresh_from_db()
    assert job.state == "dead"
    assert "--queue pdf" in job.error
    assert not Canary.objects.exists()


@pytest.mark.parametrize("day", [None, DAY])
def test_a_queue_that_does_not_exist_is_refused(day: date | None) -> None:
    with pytest.raises(InvalidPayload, match="Did you mean 'email'"):
        canary.enqueue(queue="emial", as_of=day)


def test_whose_day_it_is_costs_a_probe_no_statement() -> None:
    with CaptureQueriesContext(connection) as queries:
        canary(queue="email", as_of=today())
    assert len(queries) == 0


def test_a_past_day_tells_what_its_probes_gave_and_is_none_itself() -> None:
    ended(NOON, [0.003, 0.004])
    ended(datetime.combine(DAY, time.min, UTC), [0.2])
    ended(datetime.combine(DAY, time(23, 59), UTC), [0.02])
    # Of other days, queues, tasks and ends.
    ended(datetime.combine(DAY, time.min, UTC) - timedelta(minutes=1), [20])
    ended(datetime.combine(DAY, time.min, UTC) + timedelta(days=1), [20])
    ended(NOON, [20], queue="pdf")
    ended(NOON, [20], task="jobs.probe")
    ended(NOON, [20], outcome="failed", state="dead")
    ended(NOON, [20, 20], outcome="", state="cancelled")

    canary.using(queue="email").enqueue(queue="email", as_of=DAY)
    (job,) = run_jobs()

    assert job.result == {
        "queue": "email", "day": "2026-03-10", "probes": 4, "expired": 2, "slowest_wait": 0.25,
    }  # fmt: skip
    assert not Canary.objects.exists()


@pytest.mark.parametrize(
    ("waits", "slowest"),
    [([], None), ([0.001], 0.005), ([7100], 7200), ([0.001, 9_000], 9_000.001)],
)
def test_the_slowest_wait_is_an_upper_bound(waits: list[float], slowest: float | None) -> None:
    ended(NOON - timedelta(days=1), [1])
    if waits:
        ended(NOON, waits)
    assert canary(queue="email", as_of=DAY) == {
        "queue": "email", "day": "2026-03-10", "probes": len(waits), "expired": 0,
        "slowest_wait": slowest,
    }  # fmt: skip


def test_of_a_day_before_all_that_is_kept_nothing_is_known() -> None:
    ended(NOON + timedelta(days=1), [1])
    found = canary(queue="email", as_of=DAY)
    assert found is not None
    assert found["probes"] is None


def test_it_is_what_was_counted_when_the_probes_ended() -> None:
    for _ in range(3):
        canary.using(queue="email").enqueue(queue="email")
    run_jobs()
    Rollup.objects.update(minute=NOON)
    found = canary(queue="email", as_of=DAY)
    assert found is not None
    assert found["probes"] == 3
    assert found["slowest_wait"] in rollups.BOUNDS


def test_the_probe_of_the_last_minute_of_a_day_may_run_after_midnight() -> None:
    yesterday, midnight = today() - timedelta(days=1), datetime.combine(today(), time.min, UTC)
    canary.using(queue="email").enqueue(queue="email", as_of=yesterday)
    with time_machine.travel(midnight + timedelta(seconds=61), tick=False):
        assert canary(queue="email", as_of=yesterday) is None
    with time_machine.travel(midnight + timedelta(seconds=120), tick=False):
        assert canary(queue="email", as_of=yesterday) is not None


def test_a_day_to_come_is_refused() -> None:
    with pytest.raises(DayToCome, match="as_of"):
        canary(queue="email", as_of=date(9999, 12, 31))


def test_a_dry_run_tells_which_queue_would_be_probed_or_what_the_day_gave() -> None:
    ended(NOON, [0.2])
    sync_schedules()
    before = Job.objects.count()

    (of_now,) = by_hand.try_out("jobs.canary [email]")
    (of_then,) = by_hand.try_out("jobs.canary [email]", day=DAY)

    itself, probed = of_now.told
    assert (itself.what, probed.what, probed.detail) == (canary.name, "probe", {"queue": "email"})
    (itself,) = of_then.told
    assert itself.detail["result"]["probes"] == 1
    assert [one.what for one in try_out(canary, {"queue": "pdf"})] == [canary.name, "probe"]
    assert (Job.objects.count(), Canary.objects.count()) == (before, 0)


def test_a_firing_gives_it_the_day_and_its_row_stays_as_it_is() -> None:
    sync_schedules()
    schedules = Schedule.objects.select_related("periodic_task").filter(declared_name=canaries.TASK)
    rows = {one.periodic_task.name: (one.periodic_task.kwargs, one.declared) for one in schedules}
    assert rows["jobs.canary [email]"][0] == '{"queue": "email"}'
    for schedule in schedules:
        arguments = firing.arguments_of(schedule, DAY)
        assert arguments == {"queue": schedule.periodic_task.queue, "as_of": "2026-03-10"}
    with CaptureQueriesContext(connection) as queries:
        sync_schedules()
    assert not [one for one in queries if not one["sql"].startswith("SELECT")]
