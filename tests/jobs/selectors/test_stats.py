"""Counts and times by task and outcome."""

from datetime import timedelta

import pytest

from jobs import selectors, transitions
from jobs.states import State
from jobs.tasks import probe
from tests.jobs.records import ago, make_attempt, make_job, now

pytestmark = pytest.mark.django_db


def test_waits_and_runs_are_summed_up_by_estimates_from_their_histograms() -> None:
    base = ago(hours=1)
    for seconds in (1, 2, 3, 4, 100):
        start = base + timedelta(seconds=seconds)
        make_job(
            State.SUCCEEDED, scheduled_at=base, started_at=start, finished_at=start + (start - base)
        )
    (row,) = selectors.job_stats()
    assert (row.task, row.outcome, row.state, row.count) == (
        "jobs.probe", "succeeded", State.SUCCEEDED, 5,
    )  # fmt: skip
    assert row.wait_median == row.run_median == pytest.approx(3, abs=0.2)
    assert row.wait_p95 is not None
    assert row.wait_p99 is not None
    assert 60 <= row.wait_p95 <= row.wait_p99 <= 300


def test_attempts_that_are_tried_again_are_told_apart_from_those_that_end_a_job() -> None:
    make_attempt(make_job(State.SCHEDULED), "failed")
    make_attempt(make_job(State.SCHEDULED), "snoozed")
    make_job(State.DEAD)
    assert [(row.outcome, row.state, row.count) for row in selectors.job_stats()] == [
        ("failed", "dead", 1),
        ("failed", "scheduled", 1),
        ("snoozed", "scheduled", 1),
    ]


def test_jobs_that_never_started_have_a_count_and_no_times() -> None:
    transitions.cancel(probe.enqueue(label="x").id, actor="user:ann")
    (row,) = selectors.job_stats()
    assert (row.outcome, row.state, row.count) == ("", "cancelled", 1)
    assert (row.wait_median, row.run_p99) == (None, None)


def test_what_ended_before_and_other_queues_are_left_out_when_asked() -> None:
    make_job(State.SUCCEEDED, finished_at=now() - timedelta(hours=2))
    make_job(State.SUCCEEDED, queue="pdf", finished_at=now())
    assert [row.queue for row in selectors.job_stats(since=ago(hours=1))] == ["pdf"]
    assert [row.queue for row in selectors.job_stats(queue="email")] == ["email"]
    assert [row.queue for row in selectors.job_stats()] == ["email", "pdf"]
