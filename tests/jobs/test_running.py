"""What a running job may tell about itself, and what it learns by telling."""

from collections.abc import Callable
from typing import Any

import pytest

from jobs import current_job, job_task, operations, transitions
from jobs.executor import carry
from jobs.models import Attempt, DeadLetter, Job
from jobs.records import Settlement
from jobs.running import RunningJob
from jobs.states import Move
from jobs.testing import run_jobs
from tests.conftest import Live
from tests.jobs.stages import actions, at_once

Body = Callable[[RunningJob], object]


def enqueue(body: Body, **options: Any) -> Job:
    """Enqueue one job whose body is told what it runs as."""

    @job_task(name="tests.telling", queue="email", **options)
    def telling() -> None:
        running = current_job()
        assert running is not None
        body(running)

    return telling.enqueue()


def progress_of(job_id: Any) -> Any:
    return Job.objects.values_list("progress", flat=True).get(id=job_id)


@pytest.mark.processes
def test_others_see_the_progress_while_the_job_runs(live: Live) -> None:
    seen: list[Any] = []

    def body(running: RunningJob) -> None:
        for done in (1, 2):
            running.progress(done, 10, f"row {done}")
            seen.extend(at_once(lambda: progress_of(running.id)))

    job = enqueue(body)
    carry([job.id], worker=None)
    assert seen == [
        {"done": 1, "total": 10, "note": "row 1"},
        {"done": 2, "total": 10, "note": "row 2"},
    ]
    assert progress_of(job.id) == seen[-1], "it stays, to tell how far it came"


@pytest.mark.django_db
def test_a_new_attempt_begins_without_progress_and_a_long_note_is_cut() -> None:
    seen: list[Any] = []

    def body(running: RunningJob) -> None:
        seen.append(progress_of(running.id))
        running.progress(5, 10, "n" * 500)
        if running.attempt == 1:
            raise ValueError("broken")

    job = enqueue(body)
    run_jobs(retries=True)
    assert seen == [None, None]
    assert progress_of(job.id)["note"] == "n" * 200


@pytest.mark.django_db
def test_an_atomic_job_writes_no_progress_which_nobody_could_see() -> None:
    job = enqueue(lambda running: running.progress(1, 2), atomic=True)
    run_jobs()
    assert progress_of(job.id) is None


@pytest.mark.django_db
@pytest.mark.parametrize("atomic", [False, True])
def test_a_cancellation_ends_the_job_at_its_next_progress(atomic: bool) -> None:
    def body(running: RunningJob) -> None:
        running.progress(1, 3)
        if not atomic:  # a person, meanwhile
            operations.cancel(running.id, actor="user:ann")
        else:
            Job.objects.filter(id=running.id).update(cancel_requested_at=running_since(running))
        running.progress(2, 3)
        pytest.fail("the body went on")

    def running_since(running: RunningJob) -> Any:
        return Job.objects.values_list("started_at", flat=True).get(id=running.id)

    job = enqueue(body, atomic=atomic)
    run_jobs()
    kept = Job.objects.get(id=job.id)
    assert (kept.state, kept.failures) == ("cancelled", 0)
    assert Attempt.objects.get(job=job).outcome == "cancelled"
    assert not DeadLetter.objects.exists()
    if not atomic:
        assert actions(job.id)[-2:] == ["job.cancel_requested", "job.cancelled"]


@pytest.mark.processes
def test_an_atomic_job_notices_a_cancellation_and_its_work_is_undone(live: Live) -> None:
    def body(running: RunningJob) -> None:
        Job.objects.create(task="x", queue="email", state="queued", max_attempts=1, timeout=1)
        at_once(lambda: operations.cancel(running.id, actor="user:ann"))
        running.progress(2, 3)
        pytest.fail("the body went on")

    job = enqueue(body, atomic=True)
    carry([job.id], worker=None)
    assert list(Job.objects.values_list("id", "state")) == [(job.id, "cancelled")]


@pytest.mark.django_db
def test_a_job_that_was_taken_back_learns_it_at_its_next_progress() -> None:
    def body(running: RunningJob) -> None:
        taken = Settlement(id=running.id, lease=running.lease, move=Move.RELEASED)
        transitions.settle([taken])
        running.progress(1, 3)
        pytest.fail("the body went on")

    job = enqueue(body)
    assert carry([job.id], worker=None) == []
    kept = Job.objects.get(id=job.id)
    assert (kept.state, kept.progress) == ("available", None)


def test_outside_of_a_job_there_is_no_job() -> None:
    assert current_job() is None
