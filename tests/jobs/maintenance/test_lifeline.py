"""Jobs are taken back from workers that died, and from nobody else."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from jobs import transitions
from jobs.maintenance import lifeline
from jobs.models import Attempt, AuditEntry, DeadLetter, Job, Worker
from jobs.records import Claimed
from jobs.tasks import probe
from tests.jobs.records import make_worker
from tests.jobs.stages import actions, everything_about

pytestmark = pytest.mark.django_db


def running_on(worker: UUID | None, *, queue: str = "email", **fields: Any) -> Claimed:
    """Return a job that runs on this worker."""
    job = probe.using(queue=queue).enqueue(label="x")
    (claimed,) = transitions.claim([job.id], worker=worker)
    if fields:
        Job.objects.filter(id=job.id).update(**fields)
    return claimed


def state_of(job: Claimed) -> str:
    return Job.objects.values_list("state", flat=True).get(id=job.id)


def why(job: Claimed) -> str:
    return Attempt.objects.get(job_id=job.id).error


def test_a_job_of_a_worker_that_lives_is_left_alone() -> None:
    job = running_on(make_worker("email", silent=5).id)
    before = everything_about(job.id)
    assert lifeline.take_back_forsaken() == 0
    assert everything_about(job.id) == before


def test_a_job_that_runs_in_a_command_has_no_worker_and_is_left_alone_within_its_lease() -> None:
    job = running_on(None)
    assert lifeline.take_back_forsaken() == 0
    Job.objects.filter(id=job.id).update(lease_until=Now() - timedelta(seconds=1))
    assert lifeline.take_back_forsaken() == 1


def test_a_job_is_taken_back_for_each_sign_of_its_worker_s_death_and_says_which() -> None:
    ended = Now() - timedelta(seconds=1)
    signs = {
        "its worker sends no heartbeat": running_on(make_worker("email", silent=31).id),
        "its worker stopped": running_on(make_worker("email", stopped_at=Now()).id),
        "its worker is gone": running_on(uuid4()),
        "it outlived its hard time limit": running_on(make_worker("email").id, lease_until=ended),
    }
    assert lifeline.take_back_forsaken() == len(signs)
    assert {sign: why(job) for sign, job in signs.items()} == {
        sign: f"The job was taken back: {sign}." for sign in signs
    }
    for job in signs.values():
        kept = Job.objects.get(id=job.id)
        assert (kept.state, kept.crashes, kept.failures) == ("scheduled", 1, 0)
        assert (kept.error_type, kept.lease) == ("WorkerLost", None)
        assert kept.scheduled_at <= timezone.now(), "the first time it runs again at once"
        assert actions(job.id)[-1] == "job.crashed"
        assert Attempt.objects.get(job_id=job.id).outcome == "crashed"
    entry = AuditEntry.objects.filter(action="job.crashed").first()
    assert entry is not None
    assert entry.actor == "lifeline"


def test_how_long_a_silence_may_be_is_a_setting(conf: Callable[..., None]) -> None:
    running_on(make_worker("email", silent=31).id)
    conf(LEASE=timedelta(seconds=60))
    assert lifeline.take_back_forsaken() == 0
    conf(LEASE=timedelta(seconds=10))
    assert lifeline.take_back_forsaken() == 1


def crash(job_id: UUID) -> None:
    """Have the job's next attempt end with its worker's life."""
    transitions.hasten(job_id, actor="user:ann")
    transitions.claim([job_id], worker=uuid4())
    assert lifeline.take_back_forsaken() == 1


def test_a_job_that_keeps_killing_its_worker_ends_as_a_dead_letter() -> None:
    job = probe.using(queue="email").enqueue(label="x")  # it has five attempts
    for _ in range(3):
        crash(job.id)
    letter = DeadLetter.objects.get(job_id=job.id)
    assert (letter.reason, letter.error_type) == ("crashed", "WorkerLost")
    kept = Job.objects.get(id=job.id)
    assert (kept.state, kept.crashes, kept.attempt) == ("dead", 3, 3)
    assert (
        list(Attempt.objects.filter(job=job).values_list("outcome", flat=True)) == ["crashed"] * 3
    )
    assert actions(job.id)[-1] == "job.died"


def test_the_limit_of_crashes_is_a_setting(conf: Callable[..., None]) -> None:
    conf(CRASH_LIMIT=1)
    job = probe.using(queue="email").enqueue(label="x")
    crash(job.id)
    assert Job.objects.get(id=job.id).state == "dead"


def test_a_crash_costs_an_attempt_so_the_last_one_is_the_end() -> None:
    job = probe.using(queue="imports").enqueue(label="x")  # it has one attempt
    crash(job.id)
    assert DeadLetter.objects.get(job_id=job.id).reason == "crashed"


def test_a_job_of_a_queue_that_no_longer_exists_is_taken_back_too() -> None:
    job = running_on(uuid4())
    Job.objects.filter(id=job.id).update(queue="of_yesterday")
    assert lifeline.take_back_forsaken() == 1
    assert state_of(job) == "scheduled"


def test_a_job_that_crashes_again_waits_like_a_retry() -> None:
    job = running_on(uuid4())
    Job.objects.filter(id=job.id).update(crashes=1)
    lifeline.take_back_forsaken()
    kept = Job.objects.get(id=job.id)
    assert kept.scheduled_at > timezone.now() + timedelta(seconds=4)


def test_a_job_is_taken_back_when_its_process_is_gone_though_its_worker_lives() -> None:
    worker = make_worker("email").id
    gone, alive = running_on(worker, pid=111), running_on(worker, pid=222)
    elsewhere = running_on(make_worker("email").id, pid=111)
    assert lifeline.take_back_from_gone_processes([worker], lambda pid: pid == 222) == 1
    assert [state_of(job) for job in (gone, alive, elsewhere)] == [
        "scheduled",
        "running",
        "running",
    ]
    assert why(gone) == "The job was taken back: its process is gone."


def test_a_stopping_worker_gives_its_jobs_back_at_no_cost() -> None:
    worker = make_worker("email").id
    mine, other = running_on(worker), running_on(make_worker("email").id)
    assert lifeline.give_back([worker]) == 1
    kept = Job.objects.get(id=mine.id)
    assert (kept.state, kept.crashes, kept.failures, kept.attempt) == ("available", 0, 0, 1)
    assert Attempt.objects.get(job_id=mine.id).outcome == "released"
    assert actions(mine.id)[-1] == "job.released"
    assert state_of(other) == "running"
    assert [job.id for job in transitions.claim([mine.id], worker=None)] == [mine.id]


def test_a_worker_with_nothing_to_do_gives_nothing_back() -> None:
    assert lifeline.give_back([make_worker("email").id]) == 0
    assert lifeline.take_back_from_gone_processes([], lambda _: False) == 0


def test_a_job_taken_back_while_nobody_is_left_waits_as_a_row() -> None:
    job = running_on(uuid4())
    lifeline.take_back_forsaken()
    Worker.objects.all().delete()
    transitions.hasten(job.id, actor="user:ann")
    assert transitions.stage(10)[0][0] == job.id
