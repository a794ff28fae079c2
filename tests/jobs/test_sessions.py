"""Sessions of dead workers let go of what they hold; those of others are left alone."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, connection, connections, transaction

from jobs import gates, sessions, transitions
from jobs.executor import take_turn
from jobs.maintenance import lifeline
from jobs.models import Job, ProbeRun
from jobs.sql import fetch
from jobs.tasks import probe
from tests.conftest import Live, wait_until
from tests.jobs.records import make_worker

pytestmark = pytest.mark.processes


def frozen(begin: Callable[[], Any], thawed: Event) -> tuple[ThreadPoolExecutor, Future[Any]]:
    """Begin a transaction in a thread that falls silent in it; returns once it holds its locks."""
    began = Event()

    def hold() -> None:
        connection.close()
        try:
            with transaction.atomic():
                begin()
                began.set()
                assert thawed.wait(30)
                fetch("SELECT 1")
        finally:
            connections.close_all()

    pool = ThreadPoolExecutor(1)
    future = pool.submit(hold)
    assert began.wait(30)
    return pool, future


def of_a_worker(monkeypatch: pytest.MonkeyPatch, *, silent: float) -> tuple[UUID, UUID]:
    """Return a worker and its running job; connections made from now on are this worker's."""
    worker = make_worker("email", silent=silent).id
    (job,) = transitions.claim([probe.enqueue(label="x").id], worker=worker)
    monkeypatch.setenv("JOBS_WORKER_ID", str(worker))
    return worker, job.id


def lock(job_id: UUID) -> None:
    Job.objects.select_for_update().get(id=job_id)


def test_a_dead_worker_s_transaction_is_ended_and_its_job_taken_back(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, job_id = of_a_worker(monkeypatch, silent=31)
    thawed = Event()
    pool, future = frozen(lambda: lock(job_id), thawed)
    assert lifeline.take_back_forsaken() == 0, "its row is locked"
    assert sessions.end_those_of_silent_workers() == 1
    wait_until(lambda: lifeline.take_back_forsaken() == 1)
    thawed.set()
    with pytest.raises(OperationalError):
        future.result(30)
    pool.shutdown()


def test_a_living_worker_s_transaction_and_an_idle_session_are_left_alone(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, job_id = of_a_worker(monkeypatch, silent=5)
    thawed = Event()
    pool, future = frozen(lambda: lock(job_id), thawed)
    assert sessions.end_those_of_silent_workers() == 0
    thawed.set()
    future.result(30)
    pool.shutdown()


def test_a_gate_that_somebody_holds_costs_a_second_and_no_job(
    live: Live, conf: Callable[..., None]
) -> None:
    conf(LIMITS={"email/rate": 10})
    probe.using(queue="email").enqueue(label="x")
    thawed = Event()
    held = "SELECT pg_advisory_xact_lock(hashtextextended('email/rate', 0))"
    pool, future = frozen(lambda: fetch(held), thawed)
    gates.overrides.forget()
    assert list(take_turn("email", worker=None)) == []
    assert Job.objects.get().state in {"available", "queued"}
    thawed.set()
    future.result(30)
    pool.shutdown()
    assert len(list(take_turn("email", worker=None))) == 1
    assert ProbeRun.objects.count() == 1
