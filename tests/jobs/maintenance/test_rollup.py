"""Shards become one row and the totals grow; deep queues are counted."""

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F, Sum

from jobs.maintenance import pruner, rollup
from jobs.models import Rollup, RollupTotal
from jobs.rollups import unpacked
from jobs.selectors import job_stats
from jobs.states import Move, State
from jobs.tasks import probe
from tests.conftest import Live, query
from tests.jobs.records import ago, make_job, make_worker
from tests.jobs.stages import at_once, claim, settle


def end_jobs(count: int) -> None:
    for _ in range(count):
        settle(claim(probe.enqueue(label="x").id), Move.SUCCEEDED)


def let_minutes_pass() -> None:
    Rollup.objects.update(minute=F("minute") - timedelta(minutes=5))


def test_the_shards_of_a_minute_that_is_over_become_one_row(live: Live) -> None:
    at_once(lambda: end_jobs(3), lambda: end_jobs(2))
    before = [(row.count, row.run_p99) for row in job_stats()]
    Rollup.objects.update(minute=ago(minutes=5).replace(second=0, microsecond=0))
    assert rollup.merge() == 2
    row = Rollup.objects.get()
    assert (row.shard, row.count) == (0, 5)
    assert sum(unpacked(row.run_histogram)) == 5
    assert RollupTotal.objects.get().count == 5
    assert [(row.count, row.run_p99) for row in job_stats()] == before
    assert rollup.merge() == 0


@pytest.mark.django_db
def test_a_minute_that_may_go_on_is_left_alone() -> None:
    end_jobs(1)
    assert rollup.merge() == 0


@pytest.mark.django_db
def test_what_is_committed_late_is_merged_into_its_minute_when_it_comes() -> None:
    end_jobs(1)
    let_minutes_pass()
    assert rollup.merge() == 1
    Rollup.objects.update(minute=F("minute") + timedelta(minutes=5))
    end_jobs(1)
    Rollup.objects.update(minute=ago(minutes=5).replace(second=0, microsecond=0))
    assert rollup.merge() == 1
    row = Rollup.objects.get()
    assert (row.shard, row.count) == (0, 2)
    assert RollupTotal.objects.get().count == 2


@pytest.mark.django_db
def test_it_goes_in_batches() -> None:
    for task in "abc":
        make_job(State.SUCCEEDED, task=task, finished_at=ago(minutes=10))
    assert [rollup.merge(batch=2), rollup.merge(batch=2)] == [2, 1]
    assert RollupTotal.objects.aggregate(all=Sum("count"))["all"] == 3


def test_one_keeper_merges_and_the_others_leave_it(live: Live) -> None:
    make_job(State.SUCCEEDED, finished_at=ago(minutes=10))
    other = connection.copy()
    other.set_autocommit(False)
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [rollup._LOCK_OF_MERGE])
        assert rollup.merge() == 0
        other.rollback()
    other.close()
    assert rollup.merge() == 1


def test_a_row_that_somebody_holds_is_left_for_the_next_time(live: Live) -> None:
    make_job(State.SUCCEEDED, finished_at=ago(minutes=10))
    other = connection.copy()
    other.set_autocommit(False)
    with other.cursor() as cursor:
        cursor.execute("SELECT 1 FROM jobs_rollup FOR UPDATE")
        assert rollup.merge() == 0
        other.rollback()
    other.close()
    assert rollup.merge() == 1


def test_merging_rows_that_are_written_right_now_loses_nothing(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollup, "MARGIN_MINUTES", -1)  # the minute that is going on, too
    at_once(
        lambda: end_jobs(30),
        lambda: end_jobs(30),
        lambda: [rollup.merge(batch=1) for _ in range(100)],
    )
    assert sum(row.count for row in job_stats()) == 60


@pytest.mark.django_db
def test_roll_ups_are_pruned_after_their_time_and_totals_stay() -> None:
    for days in (89, 91, 92):
        make_job(State.SUCCEEDED, finished_at=ago(days=days))
    assert pruner.prune().get("roll-ups") is None, "what is not merged is not in the totals"
    rollup.merge()
    assert pruner.prune()["roll-ups"] == 2
    assert [row.count for row in job_stats()] == [3]
    assert Rollup.objects.count() == 1


@pytest.mark.django_db
def test_a_census_counts_all_that_waits_and_is_not_repeated_at_once() -> None:
    for state in (State.QUEUED, State.QUEUED, State.SCHEDULED, State.RUNNING, State.SUCCEEDED):
        make_job(state)
    make_job(State.AVAILABLE, parked=True, gate="email/rate")
    assert rollup.take_census(after=60)
    assert not rollup.take_census(after=60)
    assert sorted(query("SELECT queue, state, parked, count FROM jobs_queuedepth")) == [
        ("email", "available", True, 1),
        ("email", "queued", False, 2),
        ("email", "scheduled", False, 1),
    ]


@pytest.mark.django_db
def test_a_keeper_counts_only_where_pages_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[float] = []

    def census(*, after: float) -> bool:
        taken.append(after)
        return True

    monkeypatch.setattr(rollup, "take_census", census)
    make_job(State.QUEUED)
    make_job(State.QUEUED)
    oldest, other = make_worker("email", started_at=ago(hours=2)), make_worker("email")
    rollup.Rollup([oldest.id]).run_once()
    assert not taken
    monkeypatch.setattr("jobs.selectors.depths.COUNTED", 1)
    rollup.Rollup([other.id]).run_once()
    assert not taken, "the keeper of the oldest living worker does it"
    rollup.Rollup([oldest.id]).run_once()
    assert len(taken) == 1
