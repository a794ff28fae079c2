"""Builds rows of the engine for tests of pages, API, metrics and selectors."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import Permission
from django.db import connection

from jobs import rollups
from jobs.models import Attempt, DeadLetter, Job, Worker
from jobs.states import FINAL, State
from tenants.models import User


def now() -> datetime:
    """The instant, aware."""
    return datetime.now(UTC)


def ago(**parts: float) -> datetime:
    """The instant before now by ``timedelta(**parts)``."""
    return now() - timedelta(**parts)


def make_job(state: State = State.QUEUED, **fields: Any) -> Job:
    """Insert a job as the engine would have left it in ``state``."""
    values: dict[str, Any] = {
        "task": "jobs.probe",
        "queue": "email",
        "state": state,
        "payload": {"label": "x"},
        "max_attempts": 3,
        "timeout": 60,
        "scheduled_at": ago(seconds=10),
        "enqueued_at": ago(seconds=10),
    }
    if state is State.RUNNING:
        values |= {"lease": uuid.uuid4(), "started_at": ago(seconds=5), "attempt": 1}
    if state in FINAL:
        values |= {"started_at": ago(seconds=9), "finished_at": ago(seconds=8), "attempt": 1}
    job = Job.objects.create(**(values | fields))
    if state in FINAL:
        _count(job, _OUTCOMES[state], job.started_at, job.finished_at)
    return job


def make_attempt(job: Job, outcome: str = "failed", number: int = 1, **fields: Any) -> Attempt:
    """Insert an attempt that ended a moment ago."""
    values: dict[str, Any] = {"started_at": ago(seconds=3), "finished_at": ago(seconds=1)}
    attempt = Attempt.objects.create(job=job, number=number, outcome=outcome, **(values | fields))
    if job.state not in FINAL:
        job.error_type = attempt.error_type
        _count(job, outcome, attempt.started_at, attempt.finished_at)
    return attempt


_OUTCOMES = {State.SUCCEEDED: "succeeded", State.CANCELLED: "cancelled", State.DEAD: "failed"}


def _count(
    job: Job, outcome: str, started_at: datetime | None, finished_at: datetime | None
) -> None:
    """Roll up how an attempt ended, or a job without one, in the minute in which it did."""
    counts = rollups.COUNT_ATTEMPTS if started_at else rollups.COUNT_ENDS
    minute = "(SELECT date_trunc('minute', ended_at, 'UTC') FROM moved)"
    sql = f"""
        WITH moved AS (
            SELECT %s AS queue, %s AS task, %s AS tenant, %s AS outcome, %s AS state,
                   %s AS error_type, %s::timestamptz AS due_at, %s::timestamptz AS started_at,
                   %s::timestamptz AS ended_at
        ), counted AS ({counts.replace(rollups.THIS_MINUTE, minute)})
        SELECT 1
    """
    values: list[Any] = [
        job.queue, job.task, job.tenant, outcome, job.state, job.error_type, job.scheduled_at,
        started_at, finished_at,
    ]  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(sql, values)


def make_dead_letter(error: str = "it broke", **fields: Any) -> DeadLetter:
    """Insert a dead job and its dead letter."""
    job = make_job(State.DEAD, error=error, error_type="ValueError", **fields)
    assert job.finished_at is not None
    return DeadLetter.objects.create(
        job=job,
        queue=job.queue,
        task=job.task,
        tenant=job.tenant,
        reason="exhausted",
        error_type="ValueError",
        error=error,
        died_at=job.finished_at,
    )


def make_worker(*queues: str, silent: float = 0, **fields: Any) -> Worker:
    """Insert a worker whose last heartbeat was ``silent`` seconds ago."""
    values: dict[str, Any] = {
        "id": uuid.uuid4(),
        "host": "worker-1",
        "pid": 42,
        "pool": "threads",
        "concurrency": 8,
        "queues": list(queues),
        "heartbeat_at": ago(seconds=silent),
        "started_at": ago(hours=1),
    }
    return Worker.objects.create(**(values | fields))


def make_user(name: str, *permissions: str, is_staff: bool = True) -> User:
    """Insert a user who holds these permissions (``jobs.view_job``)."""
    user = User.objects.create_user(name, password="secret", is_staff=is_staff)
    for permission in permissions:
        app, _, codename = permission.partition(".")
        user.user_permissions.add(
            Permission.objects.get(content_type__app_label=app, codename=codename)
        )
    return user


def make_viewer() -> User:
    """Insert a member of staff who may look."""
    return make_user("vera", "jobs.view_job")


def make_operator() -> User:
    """Insert a member of staff who may look and act."""
    return make_user("olaf", "jobs.view_job", "jobs.operate")
