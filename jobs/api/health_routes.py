"""``/health``: for load balancers (anonymous, no details) and for monitoring (viewers)."""

from dataclasses import asdict
from typing import Any

from django.http import HttpRequest
from ninja import Router
from pydantic import BaseModel

from jobs import health, selectors
from jobs.api.auth import Viewer
from jobs.representation import QueueRow, ScheduleHealthRow, WorkerRow

router = Router(tags=["health"])


class Status(BaseModel):
    """One word: ``live``; or ``ready``, ``degraded`` (no Redis), ``unavailable``."""

    status: str


class RedisStatus(BaseModel):
    """What Redis says about itself; only ``error`` is set when it does not answer."""

    reachable: bool
    error: str
    ping_ms: float | None
    version: str
    memory_used_bytes: int | None
    memory_limit_bytes: int | None
    eviction_policy: str
    persistence: str
    warnings: list[str]


@router.get("/live", auth=None, response=Status, summary="Is the process alive?")
def live(request: HttpRequest) -> dict[str, str]:
    """Answer without asking anything else: a failure means that the process should be restarted."""
    return {"status": "live"}


@router.get("/ready", auth=None, response={200: Status, 503: Status}, summary="Can it serve?")
def ready(request: HttpRequest) -> tuple[int, dict[str, str]]:
    """Answer 200 while PostgreSQL answers and is migrated. Without Redis it is only slower."""
    found = health.readiness()
    return (200 if found.ready else 503), {"status": found.status}


@router.get("/queues", auth=Viewer(), response=list[QueueRow], summary="How is each queue doing?")
def queues(request: HttpRequest) -> list[QueueRow]:
    """Return depth by state, the oldest due job, pauses, throughput and workers of each queue."""
    return [QueueRow.of(queue) for queue in selectors.queue_overviews()]


@router.get("/workers", auth=Viewer(), response=list[WorkerRow], summary="Which workers are there?")
def workers(request: HttpRequest) -> list[WorkerRow]:
    """Return the living workers with what they run, then those silent in the last hour."""
    return [WorkerRow.of(view) for view in selectors.list_workers()]


@router.get("/schedules", auth=Viewer(), response=ScheduleHealthRow, summary="Are schedules fired?")
def schedules(request: HttpRequest) -> ScheduleHealthRow:
    """Return how many beats look, what is overdue or has a problem, and each queue's canary."""
    return ScheduleHealthRow.of(selectors.schedule_health())


@router.get("/redis", auth=Viewer(), response=RedisStatus, summary="How is Redis?")
def redis(request: HttpRequest) -> dict[str, Any]:
    """Return latency, memory, eviction policy and persistence, with warnings."""
    return asdict(health.redis_health())
