"""Builds rows of the engine for tests of pages, API, metrics and selectors."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import Permission

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
    return Job.objects.create(**(values | fields))


def make_attempt(job: Job, outcome: str = "failed", number: int = 1, **fields: Any) -> Attempt:
    """Insert an attempt that ended a moment ago."""
    values: dict[str, Any] = {"started_at": ago(seconds=3), "finished_at": ago(seconds=1)}
    return Attempt.objects.create(job=job, number=number, outcome=outcome, **(values | fields))


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
