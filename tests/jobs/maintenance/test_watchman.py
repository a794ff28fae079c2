"""A worker that hears nothing is noticed, and one that has nothing to do is not disturbed."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db.models.functions import Now

from jobs import operations, transitions
from jobs.maintenance.watchman import Watchman
from jobs.models import Job, Worker
from jobs.tasks import probe

pytestmark = pytest.mark.django_db


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> UUID:
    monkeypatch.setattr("jobs.maintenance.watchman.time.monotonic", lambda: clock[0])
    clock[0] = 1_000.0
    return Worker.objects.create(
        id=uuid4(), host="here", pid=1, queues=["reports"], pool="prefork", concurrency=1
    ).id


clock = [0.0]


def due(ago: int = 60) -> UUID:
    id_ = probe.using(queue="reports").enqueue(label="x").id
    Job.objects.filter(id=id_).update(scheduled_at=Now() - timedelta(seconds=ago))
    return id_


def looks(watch: Watchman, seconds: int = 60) -> list[UUID]:
    found: list[UUID] = []
    for _ in range(seconds // 5):
        found += watch.deaf_workers()
        clock[0] += 5
    return found


def test_a_worker_that_leaves_due_jobs_in_line_and_runs_none_is_deaf_and_told_once(
    worker: UUID,
) -> None:
    due()
    watch = Watchman([worker])
    assert looks(watch, 45) == []
    assert looks(watch, 5) == [worker]
    assert looks(watch, 40) == []


def test_a_worker_without_due_jobs_of_its_own_is_not_deaf(worker: UUID) -> None:
    due(ago=10)
    Job.objects.filter(id=due()).update(queue="inventory")
    Job.objects.filter(id=due()).update(task="of.tomorrow")
    Job.objects.filter(id=due()).update(parked=True, gate="g")
    assert looks(Watchman([worker])) == []


def test_a_busy_worker_and_a_paused_queue_are_not_deaf(worker: UUID) -> None:
    due()
    transitions.claim([due()], worker=worker)
    watch = Watchman([worker])
    assert looks(watch) == []
    Job.objects.filter(state="running").update(worker=uuid4())
    operations.pause_queue("reports", actor="user:ann")
    assert looks(watch) == []
    operations.resume_queue("reports", actor="user:ann")
    assert looks(watch) == [worker]
