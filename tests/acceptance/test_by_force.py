"""What does not end by itself is ended, and what wakes up too late changes nothing."""

import signal

import psutil
import pytest

from jobs.models import Attempt, Job, ProbeRun
from jobs.states import State
from jobs.tasks import probe
from tests.conftest import Live, wait_until

pytestmark = pytest.mark.processes

QUICK = {"JOBS_BACKOFF_SCALE": "0.02", "JOBS_REPUBLISH_SECONDS": "1", "JOBS_STAGER_SECONDS": "0.1"}


def test_a_cancelled_job_that_does_not_listen_is_ended_by_force_and_its_process_with_it(
    live: Live,
) -> None:
    live.worker("pdf", JOBS_CANCEL_GRACE_SECONDS="0.5", **QUICK)
    job = probe.using(queue="pdf").enqueue(label="deaf", sleep_ms=600_000)
    wait_until(lambda: Job.objects.get(id=job.id).state == State.RUNNING)
    pid = Job.objects.get(id=job.id).pid
    assert pid is not None
    assert live.manage("jobs", "cancel", str(job.id)).returncode == 0
    wait_until(lambda: Job.objects.get(id=job.id).state == State.CANCELLED)
    wait_until(lambda: not psutil.pid_exists(pid))
    assert Attempt.objects.get(job=job).outcome == "cancelled"
    after = probe.using(queue="pdf").enqueue(label="after")
    wait_until(lambda: Job.objects.get(id=after.id).state == State.SUCCEEDED)


def test_a_thread_that_does_not_listen_loses_its_lease_and_what_it_does_then_does_not_count(
    live: Live,
) -> None:
    live.worker("email", JOBS_CANCEL_GRACE_SECONDS="0.5", **QUICK)
    job = probe.using(queue="email").enqueue(label="deaf", sleep_ms=15_000)
    wait_until(lambda: Job.objects.get(id=job.id).state == State.RUNNING)
    live.manage("jobs", "cancel", str(job.id))
    wait_until(lambda: Job.objects.get(id=job.id).state == State.CANCELLED, within=5)
    wait_until(lambda: ProbeRun.objects.filter(label="deaf").exists(), within=25)
    assert Job.objects.get(id=job.id).state == State.CANCELLED


def test_a_job_that_outlives_its_hard_limit_is_ended_with_its_process(live: Live) -> None:
    live.worker("pdf", **QUICK)
    job = probe.using(queue="pdf").enqueue(label="endless", sleep_ms=600_000)
    wait_until(lambda: Job.objects.get(id=job.id).state == State.RUNNING)
    pid = Job.objects.get(id=job.id).pid
    Job.objects.filter(id=job.id).update(timeout=0)
    attempt = wait_until(lambda: Attempt.objects.filter(job=job).first())
    assert attempt is not None
    assert attempt.outcome == "crashed"
    assert "hard time limit" in attempt.error
    assert pid is not None
    wait_until(lambda: not psutil.pid_exists(pid))


def test_a_stopped_process_that_wakes_up_after_its_lease_changes_nothing(live: Live) -> None:
    quick = QUICK | {"JOBS_LEASE_SECONDS": "2", "JOBS_HEARTBEAT_SECONDS": "0.5"}
    zombie = live.worker("email", **quick)
    job = probe.using(queue="email").enqueue(label="twice", sleep_ms=3_000)
    wait_until(lambda: Job.objects.get(id=job.id).state == State.RUNNING)
    family = [psutil.Process(zombie.pid), *psutil.Process(zombie.pid).children(recursive=True)]
    for process in family:
        process.send_signal(signal.SIGSTOP)
    live.worker("email", **quick)
    wait_until(lambda: Job.objects.get(id=job.id).state == State.SUCCEEDED, within=30)
    before = list(Attempt.objects.filter(job=job).values())
    for process in reversed(family):
        process.send_signal(signal.SIGCONT)
    # It finishes its sleep, writes its row, and is refused.
    wait_until(lambda: ProbeRun.objects.filter(label="twice").count() == 2, within=20)
    after = probe.using(queue="email").enqueue(label="after")
    wait_until(lambda: Job.objects.get(id=after.id).state == State.SUCCEEDED)
    assert list(Attempt.objects.filter(job=job).values()) == before
    assert [attempt["outcome"] for attempt in before] == ["crashed", "succeeded"]
