"""Commands wait for a job to end: workers carry it, or the command itself when there is none."""

import pytest
from django.db.models.functions import Now

from jobs import operations, transitions
from jobs.inline import run_due, run_job
from jobs.models import Job
from jobs.states import Move, State
from jobs.tasks import probe
from jobs.waiting import StillRunning, is_served, wait_for
from tests.jobs.records import make_worker
from tests.jobs.stages import claim, put_into, settle

pytestmark = pytest.mark.django_db


def test_a_queue_is_served_by_a_worker_that_lives_and_works_on_it() -> None:
    assert not is_served("email")
    make_worker("pdf")
    make_worker("email", silent=31)
    make_worker("email", stopped_at=Now())
    assert not is_served("email")
    make_worker("pdf", "email")
    assert is_served("email")


def test_a_job_that_nobody_serves_is_run_here_and_that_is_told_once() -> None:
    job = probe.using(queue="imports").enqueue(label="x")
    looked: list[str] = []
    told: list[str] = []
    ended = wait_for(
        job.id,
        on_look=lambda seen: looked.append(seen.state),
        on_unserved=lambda seen: told.append(seen.queue),
    )
    assert (ended.state, looked, told) == ("succeeded", ["queued", "succeeded"], ["imports"])


def test_a_job_that_has_ended_is_answered_at_once() -> None:
    for state in (State.SUCCEEDED, State.CANCELLED, State.DEAD):
        assert wait_for(put_into(state).id, timeout=0).state == state


def test_a_job_that_does_not_end_in_time_goes_on() -> None:
    make_worker("maintenance")
    job = put_into(State.RUNNING)
    with pytest.raises(StillRunning, match=r"The job is running after 0 seconds; it goes on\."):
        wait_for(job.id, timeout=0)
    assert job.state == State.RUNNING


def test_a_job_of_another_process_is_not_run_a_second_time_here() -> None:
    claimed = claim(probe.enqueue(label="x").id)
    assert run_job(claimed.id).state == "running"
    settle(claimed, Move.SUCCEEDED)
    assert run_job(claimed.id).attempt == 1


def test_what_is_due_is_run_the_most_urgent_first_and_what_is_not_waits() -> None:
    later = put_into(State.SCHEDULED)
    failing = probe.enqueue(label="x", fail_times=1)
    settlements = run_due()
    assert [(settlement.id, settlement.move) for settlement in settlements] == [
        (failing.id, Move.RETRIED)
    ]
    assert (later.state, Job.objects.get(id=failing.id).state) == ("scheduled", "scheduled")
    transitions.hasten(failing.id, actor="user:ann")
    assert [settlement.move for settlement in run_due()] == [Move.SUCCEEDED]


def test_a_paused_queue_full_of_jobs_does_not_hide_what_else_is_due() -> None:
    operations.pause_queue("pdf", actor="user:ann")
    for _ in range(101):
        probe.using(queue="pdf").enqueue(label="held")
    free = probe.using(queue="email").enqueue(label="free")
    assert [settlement.id for settlement in run_due()] == [free.id]
