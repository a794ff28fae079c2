"""Which workers there are, and what they are doing."""

import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import DurationField, ExpressionWrapper, F, Q
from django.db.models.expressions import Combinable
from django.db.models.functions import Now

from jobs.conf import jobs_settings
from jobs.models import Job, Worker
from jobs.states import State


@dataclass(frozen=True, kw_only=True)
class RunningJob:
    """A job that a worker holds now."""

    id: uuid.UUID
    task: str
    queue: str
    tenant: str
    attempt: int
    started_at: datetime | None
    #: Seconds since it started.
    seconds: float
    #: ``{"done": …, "total": …, "note": …}`` or None.
    progress: dict[str, Any] | None


@dataclass(kw_only=True)
class WorkerView:
    """A worker that has not said goodbye."""

    worker: Worker
    #: Seconds since its last heartbeat.
    silent_seconds: float
    #: False: silent for longer than the lease; its jobs are taken back.
    is_alive: bool
    running: list[RunningJob] = field(default_factory=list)


def list_workers(*, lost_within: timedelta = timedelta(hours=1)) -> list[WorkerView]:
    """Return the living workers, then those that fell silent within ``lost_within``."""
    rows = (
        Worker.objects.filter(stopped_at__isnull=True, heartbeat_at__gt=Now() - lost_within)
        .annotate(silence=_since("heartbeat_at"))
        .order_by("host", "started_at", "id")
    )
    lease = jobs_settings().LEASE
    views = [
        WorkerView(
            worker=row,
            silent_seconds=max(0.0, row.silence.total_seconds()),
            is_alive=row.silence < lease,
        )
        for row in rows
    ]
    running = _running_by_worker()
    for view in views:
        view.running = running.get(view.worker.id, [])
    return sorted(views, key=lambda view: not view.is_alive)


def _running_by_worker() -> dict[uuid.UUID, list[RunningJob]]:
    found: dict[uuid.UUID, list[RunningJob]] = defaultdict(list)
    rows = (
        Job.objects.filter(Q(state=State.RUNNING), worker__isnull=False)
        .annotate(lasting=_since("started_at"))
        .only("id", "task", "queue", "tenant", "attempt", "started_at", "progress", "worker")
        .order_by("started_at", "id")
    )
    for row in rows:
        assert row.worker is not None
        found[row.worker].append(
            RunningJob(
                id=row.id,
                task=row.task,
                queue=row.queue,
                tenant=row.tenant,
                attempt=row.attempt,
                started_at=row.started_at,
                seconds=max(0.0, row.lasting.total_seconds()) if row.lasting else 0.0,
                progress=row.progress,
            )
        )
    return found


def _since(column: str) -> Combinable:
    """How long ago ``column`` was, by the database's clock."""
    return ExpressionWrapper(Now() - F(column), output_field=DurationField())
