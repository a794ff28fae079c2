"""The job of a firing: its arguments, with the day it is for, and its options."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import Any

from django.db import connection

from jobs.context import job_context
from jobs.definition import Options
from jobs.enqueue import Prepared, prepare
from jobs.errors import EnqueueError, InvalidPayload
from jobs.models import Priority, Schedule
from jobs.scheduled_date import date_argument
from jobs.task import get_task


def prepared(schedule: Schedule, due_at: datetime, day: date, now: datetime) -> Prepared:
    """Return the job of an instant, ready to be inserted.

    Raises:
        EnqueueError: the task or queue is unknown, or an argument does not fit.
    """
    row: Any = schedule.periodic_task
    starts, expires = due_at + _jitter(schedule, due_at), None
    if row.expire_seconds is not None:
        expires = starts + timedelta(seconds=row.expire_seconds)
    arguments = arguments_of(schedule, day)
    with job_context(actor=actor_of(row.name)):
        return prepare(
            get_task(row.task),
            arguments,
            Options(
                queue=row.queue or None,
                priority=priority_of(row),
                tenant=tenant_of(arguments),
                run_at=starts if starts > now else None,
                expires=expires,
            ),
        )


def actor_of(name: str) -> str:
    """Return who enqueues a schedule's jobs, as their rows say."""
    return f"schedule:{name}"[:150]


def arguments_of(
    schedule: Schedule, day: date | None, given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the arguments of a run for ``day``; those that are ``given`` replace the schedule's.

    Raises:
        EnqueueError: the task is unknown, or the schedule's arguments cannot be read.
    """
    row: Any = schedule.periodic_task
    arguments: dict[str, Any] = _read(row, "kwargs", dict) | dict(given or {})
    if _read(row, "args", list):
        raise InvalidPayload(row.task, {"args": "tasks take arguments by name: use kwargs"})
    name = date_argument(get_task(row.task).definition.arguments)
    if name is not None and day is not None and arguments.get(name) is None:
        arguments[name] = day.isoformat()
    return arguments


def _read(row: Any, name: str, kind: type) -> Any:
    try:
        value = json.loads(getattr(row, name) or ("{}" if kind is dict else "[]"))
    except ValueError as error:
        raise InvalidPayload(row.task, {name: f"this is not JSON: {error}"}) from None
    if not isinstance(value, kind):
        expected = "an object" if kind is dict else "a list"
        raise InvalidPayload(row.task, {name: f"expected {expected}"})
    return value


def tenant_of(arguments: Mapping[str, Any]) -> str | None:
    """Return the tenant that a run with these arguments is for, if it is for one."""
    tenant = arguments.get("tenant")
    return tenant if isinstance(tenant, str) else None


def priority_of(row: Any) -> Priority | None:
    """Return the priority of a schedule's jobs; None: their task's own.

    Raises:
        EnqueueError: there is none of its number.
    """
    if row.priority is None:
        return None
    try:
        return Priority(row.priority)
    except ValueError:
        known = ", ".join(f"{one.value} ({one.label})" for one in Priority)
        raise EnqueueError(f"priority: {row.priority} is none of {known}") from None


def _jitter(schedule: Schedule, due_at: datetime) -> timedelta:
    """Return how much later its job begins: always the same for one instant of one schedule."""
    if not schedule.jitter:
        return timedelta(0)
    key = f"{schedule.pk} {due_at.isoformat()}".encode()
    share = int.from_bytes(hashlib.sha256(key).digest()[:8]) / 2**64
    return timedelta(seconds=int(schedule.jitter.total_seconds() * share))


@contextmanager
def unfrozen(limit: timedelta) -> Iterator[None]:
    """Have PostgreSQL end this transaction when it rests for longer, so that others can go on."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('idle_in_transaction_session_timeout', %s, true)",
            [f"{int(limit.total_seconds() * 1000)}ms"],
        )
    yield
