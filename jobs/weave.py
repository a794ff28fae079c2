"""Jobs that start together: collected first, inserted together, all or nothing.

A call of Celery's canvas, or the settlements of one transaction, fill a weave. Collecting writes
nothing, so whatever cannot be started leaves no trace (:mod:`jobs.canvas`), or its own row, as dead
(:mod:`jobs.workflows`), and keeps nothing else from starting.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import uuid_utils.compat
from django.db import DataError, IntegrityError, transaction
from psycopg.errors import UniqueViolation

from jobs import degraded, payload, signatures, transitions
from jobs.breaker import breaker
from jobs.context import current_context
from jobs.definition import Placement
from jobs.errors import EnqueueError, InvalidPayload, PayloadTooLarge
from jobs.models import Group, Priority, Workflow
from jobs.publish import publish_after_commit
from jobs.queues import QUEUES, get_queue
from jobs.records import NewJob
from jobs.states import State
from jobs.task import get_task

#: Bytes of JSON that a job may take of what the engine passes on: results, and what is to follow.
PASSED_ON_LIMIT = 1_048_576
#: Steps of a chain. Each keeps all that follow it on its row: twice the steps, four times the room.
LONGEST_CHAIN = 1_000


@dataclass(kw_only=True)
class Weave:
    """What is on its way into rows."""

    #: The workflow that what comes next belongs to.
    root_id: str
    #: The job that starts it, if a job does.
    parent_id: str | None = None
    #: Whether settlements fill it: then what cannot be started is dead.
    continues: bool = False
    jobs: list[NewJob] = field(default_factory=list)
    #: Jobs that cannot be started, and why.
    stillborn: list[tuple[NewJob, Exception]] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)


_current: ContextVar[Weave | None] = ContextVar("jobs_weave", default=None)


def current_weave() -> Weave | None:
    """Return what is being collected here, or None when jobs are inserted one by one."""
    return _current.get()


@contextmanager
def weaving(weave: Weave) -> Iterator[None]:
    """Collect what the block starts."""
    token = _current.set(weave)
    try:
        yield
    finally:
        _current.reset(token)


def placement(weave: Weave, task: str, options: Mapping[str, Any]) -> Placement:
    """Return where a job with these options of Celery's stands, and what its settlement starts.

    Raises:
        EnqueueError: what is to follow cannot be kept: no JSON, too large, too long, secret.
    """
    # The number is what makes a part of a group: the body of a chord is told the group's id, too.
    index = options.get("group_index")
    canvas: dict[str, Any] = {
        name: _followers(weave, task, name, signatures.listed(options.get(name)))
        for name in ("chain", "link", "link_error")
        if options.get(name)
    }
    if options.get("chord") and index is not None:
        canvas["chord"] = True
    if stamped := options.get("stamped_headers"):
        canvas["stamps"] = kept(task, {name: options.get(name) for name in stamped})
    return Placement(
        root_id=weave.root_id,
        parent_id=weave.parent_id,
        group_id=uuid_in(options, "group_id", task) if index is not None else None,
        group_index=index,
        canvas=canvas or None,
    )


def uuid_in(options: Mapping[str, Any], name: str, task: str) -> str:
    """Return the id that is given, or a new one; raises :class:`InvalidPayload`."""
    try:
        return str(UUID(str(options.get(name) or uuid_utils.compat.uuid7())))
    except ValueError:
        raise InvalidPayload(task, {name: "expected a UUID"}) from None


@contextmanager
def ids_used_once(task: str) -> Iterator[None]:
    """Insert what has ids that were given; raises :class:`InvalidPayload` for one that is taken."""
    try:
        yield
    except IntegrityError as error:
        if not isinstance(error.__cause__, UniqueViolation):
            raise
        taken = (
            "there is a job or a group with this id already; leave it out, and it gets a new one"
        )
        raise InvalidPayload(task, {"task_id": taken}) from error


def check_length(followers: Sequence[Any]) -> None:
    """Raise :class:`EnqueueError` when a first step with these after it is too long a chain."""
    if (steps := len(followers) + 1) > LONGEST_CHAIN:
        raise EnqueueError(f"A chain has at most {LONGEST_CHAIN} steps, not {steps}.")


def _followers(weave: Weave, task: str, name: str, followers: list[Any]) -> list[Any]:
    # What comes from a row as it is, such as the rest of a long chain, was looked through before.
    if weave.continues and all(type(follower) is dict for follower in followers):
        return followers
    if name == "chain":
        check_length(followers)
    told: list[Any] = kept(task, [signatures.plain(follower) for follower in followers])
    return told


def kept(task: str, canvas: Any) -> Any:
    """Return what is to follow ``task`` as a row keeps it; raises :class:`InvalidPayload`."""
    try:
        plain = payload.jsonable(canvas)
    except (ValueError, TypeError) as error:
        raise InvalidPayload(task, {"canvas": f"what follows: {error}"}) from None
    if (size := payload.size_of(plain)) > PASSED_ON_LIMIT:
        problem = f"what follows takes {size} bytes, and may take {PASSED_ON_LIMIT}"
        raise PayloadTooLarge(task, {"canvas": problem})
    return plain


def bear_dead(
    weave: Weave,
    task: str,
    arguments: Mapping[str, Any],
    options: Mapping[str, Any],
    error: Exception,
) -> str:
    """Collect a job that cannot be started, with what it was given; returns its id."""
    context = current_context()
    queue = str(options.get("queue"))
    lane = get_queue(queue if queue in QUEUES else _queue_of(task))
    try:
        job_id, placed = uuid_in(options, "task_id", task), placement(weave, task, options)
    except EnqueueError:
        # Its place at least, so that the group that waits for it is told.
        place = {name: options.get(name) for name in ("group_id", "group_index", "chord")}
        job_id, placed = uuid_in({}, "task_id", task), placement(weave, task, place)
    job = NewJob(
        id=job_id,
        task=task[:200],
        queue=lane.name,
        priority=Priority.NORMAL,
        payload=_as_far_as_it_can_be_kept(arguments),
        tenant=context.tenant,
        correlation_id=context.correlation_id,
        enqueued_by=context.actor,
        max_attempts=lane.attempts,
        timeout=int(lane.hard_time_limit.total_seconds()),
        **vars(placed),
    )
    weave.stillborn.append((job, error))
    return job_id


def _as_far_as_it_can_be_kept(arguments: Mapping[str, Any]) -> dict[str, Any]:
    try:
        given: dict[str, Any] = payload.jsonable(arguments)
    except (ValueError, TypeError):
        return {}
    return given if payload.size_of(given) <= PASSED_ON_LIMIT else {}


def _queue_of(task: str) -> str:
    try:
        return get_task(task).definition.queue
    except EnqueueError:
        return "maintenance"


def add_workflow(first: NewJob, *, name: str, total: int) -> None:
    """Insert the row of a workflow that begins with this job."""
    assert first.root_id is not None
    Workflow.objects.create(
        id=UUID(first.root_id),
        name=name,
        total=total,
        tenant=first.tenant,
        correlation_id=first.correlation_id,
        started_by=first.enqueued_by,
    )


def insert(weave: Weave) -> None:
    """Insert the jobs and groups, and have the jobs published after the commit."""
    if weave.groups:
        Group.objects.bulk_create(weave.groups)
    _insert_jobs(weave.jobs)


def insert_what_can_be(weave: Weave) -> None:
    """Like :func:`insert`, but a job that the database refuses is dead, and the others start.

    So it is when a signature that was given its id is started twice.
    """
    try:
        with transaction.atomic():
            insert(weave)
    except (DataError, IntegrityError):
        if weave.groups:
            Group.objects.bulk_create(weave.groups, ignore_conflicts=True)
        for job in weave.jobs:
            try:
                with transaction.atomic():
                    _insert_jobs([job])
            except (DataError, IntegrityError) as error:
                another = replace(job, id=str(uuid_utils.compat.uuid7()))
                weave.stillborn.append((another, error))


def _insert_jobs(jobs: Sequence[NewJob]) -> None:
    if not jobs:
        return
    by_id = {job.id: job for job in jobs}
    for row in transitions.insert(jobs, broker_is_up=not breaker.is_open):
        job = by_id[str(row.id)]
        message = (row.id, job.task, job.queue, 1)
        if row.state == State.QUEUED:
            publish_after_commit(message)
        elif row.state == State.AVAILABLE:
            degraded.run_after_commit([message])
