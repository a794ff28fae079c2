"""The enforcer: what is overdue is ended, and nothing else is."""

import os
import signal
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db.models.functions import Now

from jobs import transitions
from jobs.maintenance import enforcer
from jobs.models import Attempt, DeadLetter, Job, Worker
from jobs.records import Claimed
from jobs.tasks import probe
from tests.jobs.stages import settle

pytestmark = pytest.mark.django_db


def worker(pool: str) -> UUID:
    return Worker.objects.create(
        id=uuid4(), host="here", pid=1, queues=["reports"], pool=pool, concurrency=1
    ).id


def running(on: UUID, *, pid: int = 4_000_000) -> Claimed:
    (claimed,) = transitions.claim([probe.enqueue(label="x").id], worker=on)
    Job.objects.filter(id=claimed.id).update(pid=pid)
    return claimed


def overdue(job: Claimed) -> None:
    late = Now() - timedelta(seconds=job.timeout + 1)
    Job.objects.filter(id=job.id).update(started_at=late)


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: told.append((pid, number)))
    return told


def test_what_is_in_time_is_left_alone(killed: list[tuple[int, int]]) -> None:
    here = worker("prefork")
    running(here)
    assert enforcer.end_by_force([here], lambda _: True) == 0
    assert killed == []


def test_a_process_whose_job_outlived_its_hard_limit_is_killed_and_that_counts_a_crash(
    killed: list[tuple[int, int]],
) -> None:
    here = worker("prefork")
    late, in_time = running(here, pid=111), running(here, pid=222)
    overdue(late)
    assert enforcer.end_by_force([here], lambda _: True) == 1
    assert killed == [(111, signal.SIGKILL)]
    kept = Job.objects.get(id=late.id)
    assert (kept.state, kept.crashes) == ("scheduled", 1)
    assert Attempt.objects.get(job_id=late.id).error == (
        f"The job was taken back: it outlived its hard time limit of {late.timeout} s."
    )
    assert Job.objects.get(id=in_time.id).state == "running"


def test_threads_are_not_killed_but_what_they_still_do_does_not_count(
    killed: list[tuple[int, int]],
) -> None:
    here = worker("threads")
    job = running(here)
    overdue(job)
    assert enforcer.end_by_force([here], lambda _: True) == 1
    assert killed == []
    assert settle(job, "succeeded") is False  # type: ignore[arg-type]


def test_a_process_that_is_not_ours_any_more_is_not_killed(killed: list[tuple[int, int]]) -> None:
    here = worker("prefork")
    overdue(running(here))
    assert enforcer.end_by_force([here], lambda _: False) == 1
    assert killed == []


def test_a_cancelled_job_gets_its_grace_and_then_ends_as_cancelled(
    killed: list[tuple[int, int]],
) -> None:
    here = worker("prefork")
    job = running(here, pid=111)
    Job.objects.filter(id=job.id).update(cancel_requested_at=Now())
    assert enforcer.end_by_force([here], lambda _: True) == 0
    Job.objects.filter(id=job.id).update(cancel_requested_at=Now() - timedelta(seconds=11))
    assert enforcer.end_by_force([here], lambda _: True) == 1
    assert killed == [(111, signal.SIGKILL)]
    assert Job.objects.get(id=job.id).state == "cancelled"
    assert Attempt.objects.get(job_id=job.id).outcome == "cancelled"
    assert not DeadLetter.objects.exists()


def test_workers_of_other_hosts_are_theirs_to_end(killed: list[tuple[int, int]]) -> None:
    here, there = worker("prefork"), worker("prefork")
    overdue(running(there))
    assert enforcer.end_by_force([here], lambda _: True) == 0
