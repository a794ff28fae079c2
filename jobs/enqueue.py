"""Enqueueing: check the arguments, insert the row with the caller's transaction, then publish.

An error here reaches the caller and leaves no row. After the commit nothing can be lost any more:
whatever goes wrong with the message, the stager publishes another.
"""

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

import uuid_utils
from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models.base import ModelState

from jobs import degraded, transitions, uniqueness
from jobs import payload as payloads
from jobs.breaker import breaker
from jobs.conf import jobs_settings
from jobs.context import current_context
from jobs.definition import Definition, Options, Placement, Step
from jobs.errors import EnqueueError
from jobs.limits import gates_of, name_of
from jobs.models import Job, Priority
from jobs.options import check_options
from jobs.publish import publish_after_commit
from jobs.queues import get_queue
from jobs.records import Inserted, NewJob
from jobs.running import current_job
from jobs.states import State
from jobs.task import JobTask, get_task
from jobs.weave import add_workflow, check_length, ids_used_once
from jobs.workflow_failures import take_back

if TYPE_CHECKING:
    AnyTask = JobTask[Any, Any]


#: How often an insert is tried whose twin comes and goes meanwhile.
_TRIES = 5


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
    expires: timedelta | None = None,
) -> Job:
    """Enqueue from outside the code: a command, the API, a form.

    Raises:
        UnknownTask, UnknownQueue: with "did you mean …?".
        InvalidPayload, PayloadTooLarge: with the fields in ``problems``.
    """
    options = Options(queue=queue, priority=priority, tenant=tenant, delay=delay, expires=expires)
    return enqueue(get_task(name), payload, options)


def replay(job: Job, payload: payloads.Sealed) -> Job:
    """Insert a new job like ``job``, with this payload and fresh attempts, in its place."""
    take_back(job)
    return _insert(
        get_task(job.task),
        payload,
        Options(
            queue=job.queue,
            priority=Priority(job.priority),
            tenant=job.tenant,
            placed=_place_of(job),
        ),
        correlation_id=job.correlation_id,
        replay_of=job.id,
    )


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A job that could be made, and is not made yet."""

    new: NewJob
    sealed: payloads.Sealed


def prepare(task: "AnyTask", arguments: Mapping[str, Any], options: Options) -> Prepared:
    """Check a call as :func:`enqueue` does, and insert nothing; what follows jobs is not for it."""
    definition = task.definition
    checked = payloads.check(definition.arguments, definition.name, arguments)
    sealed = payloads.seal(definition.name, checked)
    return Prepared(new=new_job(task, sealed, options), sealed=sealed)


def insert_prepared(prepared: Sequence[Prepared]) -> dict[str, str]:
    """Insert the jobs in the caller's transaction; returns those that have a twin, with its id.

    All that are not unique go in by one statement.
    """
    twins = {}
    alone = {one.new.id: one.sealed for one in prepared if not one.new.unique_key}
    new = [one.new for one in prepared if one.new.id in alone]
    if new:
        by_id = {one.id: one for one in new}
        for row in transitions.insert(new, broker_is_up=not breaker.is_open):
            _inserted(by_id[str(row.id)], row, alone[str(row.id)])
    for one in prepared:
        if one.new.unique_key:
            job = _insert_unless_twin(one.new, one.sealed)
            if job.is_twin:
                twins[one.new.id] = str(job.id)
    return twins


def _insert(
    task: "AnyTask",
    sealed: payloads.Sealed,
    options: Options,
    *,
    correlation_id: str | None = None,
    replay_of: UUID | None = None,
) -> Job:
    new = new_job(task, sealed, options, correlation_id=correlation_id, replay_of=replay_of)
    if not (new.unique_key or options.follows or options.job_id):
        (row,) = transitions.insert([new], broker_is_up=not breaker.is_open)
        return _inserted(new, row, sealed)
    # The lock on a key lasts as long as the transaction.
    with ids_used_once(new.task), transaction.atomic():
        job = _insert_unless_twin(new, sealed)
        if options.follows and not job.is_twin:
            names = [new.task, *(step.task for step in options.follows)]
            add_workflow(new, name=" | ".join(names), total=len(names))
        return job


def _insert_unless_twin(new: NewJob, sealed: payloads.Sealed) -> Job:
    for _ in range(_TRIES):
        if (twin := uniqueness.twin_of(new)) is not None:
            return twin
        if inserted := transitions.insert([new], broker_is_up=not breaker.is_open):
            return _inserted(new, inserted[0], sealed)
        # Its twin was committed a moment ago, or ended a moment ago.
    raise EnqueueError(f"{new.task}: an equal job begins and ends all the time; try again")


def _inserted(new: NewJob, row: Inserted, sealed: payloads.Sealed) -> Job:
    """Have the new job published after the commit, and return it."""
    if row.state == State.QUEUED:
        publish_after_commit((row.id, new.task, new.queue, 1))
    elif row.state == State.AVAILABLE:
        degraded.run_after_commit([(row.id, new.task, new.queue, 1)])
    return _model(
        id=row.id,
        task=new.task,
        queue=new.queue,
        state=row.state,
        priority=new.priority,
        payload=new.payload,
        secrets=sealed.secrets,
        tenant=new.tenant,
        correlation_id=new.correlation_id,
        enqueued_by=new.enqueued_by,
        replay_of_id=_uuid(new.replay_of),
        max_attempts=new.max_attempts,
        timeout=new.timeout,
        seat=row.seat,
        unique_key=new.unique_key,
        gates=new.gates,
        root_id=_uuid(new.root_id),
        parent_id=_uuid(new.parent_id),
        group_id=_uuid(new.group_id),
        group_index=new.group_index,
        canvas=new.canvas,
        expires_at=row.expires_at,
        scheduled_at=row.scheduled_at,
        enqueued_at=row.enqueued_at,
        dispatch=1 if row.state == State.QUEUED else 0,
    )


def _model(**values: Any) -> Job:
    """Return a job with these values, as if it had been read: without the cost of a constructor."""
    job = Job.__new__(Job)
    state = ModelState()
    state.db, state.adding = DEFAULT_DB_ALIAS, False
    job.__dict__ = {"_state": state, **_blank(), **values}
    return job


@cache
def _blank() -> dict[str, Any]:
    blank = Job(id=None).__dict__.copy()
    del blank["_state"]
    return blank


def _leading(follows: Sequence[Step]) -> Placement:
    if not follows:
        return Placement()
    check_length(follows)
    chain = [step.as_signature() for step in reversed(follows)]
    return Placement(root_id=str(uuid_utils.uuid7()), canvas={"chain": chain})


def _place_of(job: Job) -> Placement:
    return Placement(
        root_id=str(job.root_id) if job.root_id else None,
        parent_id=str(job.parent_id) if job.parent_id else None,
        group_id=str(job.group_id) if job.group_id else None,
        group_index=job.group_index,
        canvas=job.canvas,
    )


def _uuid(text: str | None) -> UUID | None:
    return UUID(text) if text else None


def new_job(
    task: "AnyTask",
    sealed: payloads.Sealed,
    options: Options,
    *,
    correlation_id: str | None = None,
    replay_of: UUID | None = None,
) -> NewJob:
    """Return the row that one call of ``task`` becomes, by its options and the context."""
    definition = task.definition
    queue = get_queue(options.queue or definition.queue)
    limits = definition.limits_on(queue.name)
    context = current_context()
    running = current_job()
    tenant = context.tenant if options.tenant is None else options.tenant
    check_options(definition.name, options, tenant)
    # An equal job that is there already would not continue this job's workflow.
    unique = None if options.placed else options.unique or definition.unique
    expires = definition.expires if options.expires is None else options.expires
    placed = options.placed or _leading(options.follows)
    limited = gates_on(definition, queue.name)
    return NewJob(
        id=options.job_id or str(uuid_utils.uuid7()),
        task=definition.name,
        queue=queue.name,
        priority=Priority(definition.priority if options.priority is None else options.priority),
        payload=sealed.payload,
        secrets=base64.b64encode(sealed.secrets).decode() if sealed.secrets else None,
        tenant=tenant,
        correlation_id=correlation_id or context.correlation_id or uuid_utils.uuid7().hex,
        enqueued_by=f"job:{running.id}" if running else context.actor,
        replay_of=str(replay_of) if replay_of else None,
        max_attempts=limits.attempts,
        timeout=math.ceil(limits.hard_time_limit.total_seconds()),
        run_at=options.run_at.isoformat() if options.run_at else None,
        delay=transitions.seconds(options.delay),
        unique_key=uniqueness.key_of(definition, unique, tenant, sealed) if unique else "",
        unique_period=unique.period.total_seconds() if unique and unique.period else None,
        expires_at=expires.isoformat() if isinstance(expires, datetime) else None,
        expires_in=expires.total_seconds() if isinstance(expires, timedelta) else None,
        gates=(limited(tenant, sealed) or None) if limited else None,
        root_id=placed.root_id,
        parent_id=placed.parent_id,
        group_id=placed.group_id,
        group_index=placed.group_index,
        canvas=placed.canvas,
    )


def gates_on(
    definition: Definition, queue: str
) -> Callable[[str, payloads.Sealed], list[str]] | None:
    """Return what tells the gates of a job of the task there, by its tenant and arguments.

    None: its jobs have no limits. Those that the settings switch off are none.
    """
    owners = [(definition.name, definition.limits), (queue, get_queue(queue).limits)]
    if not any(limits for _, limits in owners):
        return None
    off = {name for name, value in jobs_settings().LIMITS.items() if value is None}
    owners = [
        (owner, tuple(limit for limit in limits if name_of(owner, limit) not in off))
        for owner, limits in owners
    ]
    if not any(limits for _, limits in owners):
        return None
    return lambda tenant, sealed: gates_of(owners, tenant, sealed.payload)
