"""Counts and times by task and state."""

import pytest

from jobs import selectors
from jobs.states import State
from tests.jobs.records import ago, make_job

pytestmark = pytest.mark.django_db


def test_waits_and_runs_are_summed_up_by_their_median_and_95th_percentile() -> None:
    base = ago(hours=1)
    for seconds in (1, 2, 3, 4, 100):
        start = ago(hours=1, seconds=-seconds)
        make_job(
            State.SUCCEEDED, scheduled_at=base, started_at=start, finished_at=start + (start - base)
        )
    (row,) = selectors.job_stats()
    assert (row.task, row.state, row.count) == ("jobs.probe", State.SUCCEEDED, 5)
    assert row.wait_median == pytest.approx(3, abs=0.1)
    assert row.run_median == pytest.approx(3, abs=0.1)
    assert row.wait_p95 == pytest.approx(80.8, abs=0.5)


def test_jobs_that_never_started_have_a_count_and_no_times() -> None:
    make_job(State.QUEUED)
    (row,) = selectors.job_stats()
    assert (row.count, row.wait_median, row.run_p95) == (1, None, None)


def test_older_jobs_and_other_queues_are_left_out_when_asked() -> None:
    make_job(State.QUEUED, enqueued_at=ago(hours=2))
    make_job(State.QUEUED, queue="pdf")
    assert [row.queue for row in selectors.job_stats(since=ago(hours=1))] == ["pdf"]
    assert [row.queue for row in selectors.job_stats(queue="email")] == ["email"]
