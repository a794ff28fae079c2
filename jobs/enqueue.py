"""Enqueueing: check the arguments, insert the row with the caller's transaction, then publish.

An error here reaches the caller and leaves no row. After the commit nothing can be lost any more:
whatever goes wrong with the message, the stager publishes another.
"""

import base64
import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import uuid_utils.compat
from django.db import transaction

from jobs import payload as payloads
from jobs import transitions
from jobs.breaker import breaker
from jobs.context import current_context
from jobs.definition import Options, Step
from jobs.errors import InvalidPayload
from jobs.models import Job, Priority
from jobs.publish import publish
from jobs.queues import get_queue
from jobs.running import current_job
from jobs.task import JobTask, get_task

if TYPE_CHECKING:
    AnyTask = JobTask[Any, Any]


def enqueue(task: "AnyTask", arguments: Mapping[str, Any], options: Options) -> Job:
    """Make a job of one call of ``task``; see :meth:`jobs.task.JobTask.enqueue`."""
    definition = task.definition
    checked = payloads.check(definition.arguments, definition.name, arguments)
    return _insert(task, payloads.seal(definition.name, checked), options)


def enqueue_by_name(
    name: str,
    payload: Mapping[str, Any],
    *,
    queue: str | None = None,
    priority: Priority | None = None,
    tenant: str | None = None,
    delay: timedelta | None = None,
) -> Job:
    """Enqueue from outside the code: a command, the API, a form.

    Raises:
        UnknownTask, UnknownQueue: with "did you mean …?".
        InvalidPayload, PayloadTooLarge: with the fields in ``problems``.
    """
    task = get_task(name)
    return enqueue(
        task, payload, Options(queue=queue, priority=priority, tenant=tenant, delay=delay)
    )


def enqueue_next(follows: list[dict[str, Any]], *, tenant: str, correlation_id: str) -> Job:
    """Enqueue the first of these steps, and hand it the rest. Part of a settlement."""
    first, rest = follows[0], follows[1:]
    task = get_task(first["task"])
    return _insert(
        task,
        payloads.Sealed(first["payload"], None),
        Options(
            queue=first["queue"],
            priority=first["priority"],
            tenant=tenant,
            follows=[Step(**step) for step in rest],
        ),
        correlation_id=correlation_id,
    )


def replay(job: Job, payload: payloads.Sealed) -> Job:
    """Insert a new job like ``job``, with this payload and fresh attempts."""
    return _insert(
        get_task(job.task),
        payload,
        Options(
            queue=job.queue,
            priority=Priority(job.priority),
            tenant=job.tenant,
            follows=[Step(**step) for step in job.follows or []],
        ),
        correlation_id=job.correlation_id,
        replay_of=job.id,
    )


def _insert(
    task: "AnyTask",
    sealed: payloads.Sealed,
    options: Options,
    *,
    correlation_id: str | None = None,
    replay_of: UUID | None = None,
) -> Job:
    definition = task.definition
    queue = get_queue(options.queue or definition.queue).name
    limits = definition.limits_on(queue)
    priority = Priority(definition.priority if options.priority is None else options.priority)
    context = current_context()
    running = current_job()
    job_id = options.job_id or str(uuid_utils.compat.uuid7())
    new = transitions.NewJob(
        id=job_id,
        task=definition.name,
        queue=queue,
        priority=priority,
        payload=sealed.payload,
        secrets=base64.b64encode(sealed.secrets).decode() if sealed.secrets else None,
        tenant=context.tenant if options.tenant is None else options.tenant,
        correlation_id=correlation_id or context.correlation_id or uuid_utils.compat.uuid7().hex,
        enqueued_by=f"job:{running.id}" if running else context.actor,
        follows=[step.as_json() for step in options.follows] or None,
        replay_of=str(replay_of) if replay_of else None,
        max_attempts=limits.attempts,
        timeout=math.ceil(limits.hard_time_limit.total_seconds()),
        run_at=_aware(definition.name, options.run_at),
        delay=transitions.seconds(options.delay),
    )
    (inserted,) = transitions.insert([new], broker_is_up=not breaker.is_open)
    if inserted.state == "queued":
        transaction.on_commit(partial(publish, [(inserted.id, new.task, queue, 1)]), robust=True)
    return Job(
        id=inserted.id,
        task=new.task,
        queue=queue,
        state=inserted.state,
        priority=priority,
        payload=new.payload,
        secrets=sealed.secrets,
        tenant=new.tenant,
        correlation_id=new.correlation_id,
        enqueued_by=new.enqueued_by,
        follows=new.follows,
        replay_of_id=replay_of,
        max_attempts=new.max_attempts,
        timeout=new.timeout,
        scheduled_at=inserted.scheduled_at,
        enqueued_at=inserted.enqueued_at,
        dispatch=1 if inserted.state == "queued" else 0,
    )


def _aware(task: str, instant: datetime | None) -> str | None:
    if instant is None:
        return None
    if instant.tzinfo is None:
        raise InvalidPayload(task, {"run_at": "expected a time with a zone"})
    return instant.isoformat()
