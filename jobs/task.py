"""``@job_task``: declares a task. A task is a Celery task whose every call is a durable job.

``.delay()``, ``.apply_async()``, beat and Flower's "apply" all end in :mod:`jobs.enqueue`: the row
first, the message after the commit. Business code uses ``.enqueue()``, which is typed.
"""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast
from uuid import UUID

import celery
from celery import shared_task
from celery.local import Proxy
from celery.result import AsyncResult

from jobs import listening, payload
from jobs.binding import bind
from jobs.context import job_context
from jobs.definition import Definition, OnError, Options, Step, Unique
from jobs.errors import EnqueueError, UnknownTask
from jobs.limits import Limit, named
from jobs.models import Job, Priority
from jobs.queues import Backoff, get_queue
from jobs.running import current_job

P = ParamSpec("P")
R = TypeVar("R")

if TYPE_CHECKING:
    CeleryTask = celery.Task[Any, Any]
else:
    CeleryTask = celery.Task


@dataclass(frozen=True)
class Call(Generic[P, R]):
    """A task with options, ready to be enqueued: what ``task.using(…)`` returns."""

    task: "JobTask[P, R]"
    options: Options

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Like :meth:`JobTask.enqueue`, with the options."""
        from jobs.enqueue import enqueue

        return enqueue(self.task, bind(self.task.run, self.task.name, args, kwargs), self.options)


class JobTask(CeleryTask, Generic[P, R]):
    """A task. Calling it runs its body at once, as any function; enqueueing makes a job."""

    abstract = True
    Strategy = "jobs.strategy:strategy"
    send_events = False  # they would be of messages: jobs.events tells of jobs
    definition: Definition

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Make a job of this call, in the caller's transaction; it is published after commit.

        Raises:
            InvalidPayload: an argument does not fit; its ``problems`` name the fields.
            PayloadTooLarge: the arguments take more than ``JOBS_PAYLOAD_LIMIT`` bytes.
        """
        return self.using().enqueue(*args, **kwargs)

    def using(
        self,
        *,
        queue: str | None = None,
        priority: Priority | None = None,
        tenant: str | None = None,
        run_at: datetime | None = None,
        delay: timedelta | None = None,
        follows: list[Step] | None = None,
        unique: Unique | None = None,
        expires: datetime | timedelta | None = None,
    ) -> Call[P, R]:
        """Return this task with options for one job (see :class:`Options`)."""
        options = Options(
            queue=queue,
            priority=priority,
            tenant=tenant,
            run_at=run_at,
            delay=delay,
            follows=follows or [],
            unique=unique,
            expires=expires,
        )
        return Call(self, options)

    def enqueue_many(
        self, calls: Iterable[Mapping[str, Any]], options: Options | None = None
    ) -> list[UUID]:
        """Make a job of each of these arguments, all or none; returns their ids.

        Made for many: they are inserted by ``COPY``, and few messages lead workers to all of them.

        Raises:
            InvalidPayload, PayloadTooLarge: of the first call that does not fit; ``problems``
                name it by its place, as in ``12.label``.
        """
        from jobs.bulk import enqueue_many

        return enqueue_many(self, calls, options or Options())

    def bulk(
        self, body: Callable[[list[dict[str, Any]]], list[R] | None]
    ) -> Callable[[list[dict[str, Any]]], list[R] | None]:
        """Declare a bulk body: it runs many jobs of this task in one call.

        It takes a list of their arguments, and returns their results in the same order, or None.
        When it raises, the jobs run one by one.
        """
        self.definition = replace(self.definition, bulk=body)
        return body

    def preview(self, body: Callable[P, R]) -> Callable[P, R]:
        """Declare what a dry run of this task does instead of running it, when it is not atomic.

        It takes the task's arguments, tells what would happen (:func:`jobs.dry_run.tell`), and
        returns what the task would return. It may only look: it runs in a transaction that cannot
        write.

        Raises:
            TypeError: the task is atomic and tried itself, or its arguments are others.
        """
        if self.definition.atomic:
            raise TypeError(f"{self.name} is atomic: a dry run tries it itself, without a preview")
        wanted, given = (list(inspect.signature(one).parameters) for one in (self.run, body))
        if given != wanted:
            raise TypeError(f"{self.name}: its preview must take its arguments: {wanted}")
        self.definition = replace(self.definition, preview=body)
        return body

    def step(self, *args: P.args, **kwargs: P.kwargs) -> Step:
        """Return a step for ``follows``; raises :class:`InvalidPayload`."""
        name = self.definition.name
        arguments = bind(self.run, name, args, kwargs)
        sealed = payload.seal(name, payload.check(self.definition.arguments, name, arguments))
        if sealed.secrets is not None:
            raise EnqueueError(f"{name} takes secrets, so it cannot follow another job")
        return Step(task=name, payload=sealed.payload)

    def apply_async(  # type: ignore[override]
        self,
        args: tuple[Any, ...] | list[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: str | None = None,
        **options: Any,
    ) -> AsyncResult[Any]:
        """Celery's own way in: makes a job too. All of Celery's canvas ends here.

        Of Celery's options it takes ``queue``, ``priority`` (ours: 0 to 3), ``countdown``
        (seconds), ``eta``, ``expires`` (seconds, or a time), ``link``, ``link_error``, and what
        groups and chains give their parts; besides, ``tenant``. Beat names its schedule in the
        headers, and the job's row says so. Options of a message mean nothing here.

        Raises:
            EnqueueError: an argument does not fit, or what is to follow could never be started.
        """
        from jobs.canvas import apply

        schedule = (options.get("headers") or {}).get("periodic_task_name")
        with job_context(actor=f"schedule:{schedule}" if schedule else None):
            return apply(self, args or (), kwargs or {}, {**options, "task_id": task_id})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body; or, when a worker calls because of a message, carry the queue's jobs."""
        if self.request.called_directly or current_job() is not None:
            return self.run(*args, **kwargs)
        from jobs.executor import answer_message

        delivery: Mapping[str, Any] = self.request.delivery_info or {}
        queue = delivery.get("routing_key")
        answer_message(str(self.request.id), queue)
        if queues := getattr(self.request, listening.QUEUES, None):
            listening.listen(queues, served=queue, hostname=str(self.request.hostname))
        return None


def job_task(
    *,
    name: str,
    queue: str,
    attempts: int | None = None,
    backoff: Backoff | None = None,
    priority: Priority = Priority.NORMAL,
    atomic: bool = False,
    soft_time_limit: timedelta | None = None,
    hard_time_limit: timedelta | None = None,
    limits: Sequence[Limit] = (),
    unique: Unique | None = None,
    expires: timedelta | None = None,
    on_error: Mapping[type[Exception], OnError] | None = None,
) -> Callable[[Callable[P, R]], JobTask[P, R]]:
    """Declare a task.

    Args:
        name: The stable wire name, ``<app>.<verb_noun>``.
        queue: The lane it runs in. The limits left out are those of the lane.
        attempts: Failures and crashes, together, that end a job as a dead letter.
        backoff: How long a failed job waits before its next attempt.
        priority: Of its jobs, unless one says otherwise.
        atomic: Body, settlement and what it enqueues commit in one transaction, so its effects in
            the database happen exactly once. Not for tasks that act outside the database.
        soft_time_limit: ``SoftTimeLimitExceeded`` is raised in the body (prefork only).
        hard_time_limit: The process is killed (prefork) or the lease ends (threads).
        limits: How often, and how many at a time: :class:`~jobs.limits.Rate` and
            :class:`~jobs.limits.Concurrency`, beside those of the queue.
        unique: Equal jobs are one; who enqueues another gets the first one back.
        expires: From its enqueueing, after which a job that still waits is cancelled.
        on_error: What errors of a type mean: a :class:`~jobs.queues.Backoff` of their own,
            ``"die"`` or ``"discard"``.
    """
    get_queue(queue)

    def declare(function: Callable[P, R]) -> JobTask[P, R]:
        if name in _REGISTRY:
            raise TypeError(f"two tasks are called {name!r}")
        definition = Definition(
            name=name,
            queue=queue,
            attempts=attempts,
            backoff=backoff,
            priority=priority,
            atomic=atomic,
            soft_time_limit=soft_time_limit,
            hard_time_limit=hard_time_limit,
            arguments=payload.model_of(function, name),
            description=inspect.getdoc(function) or "",
            limits=tuple(limits),
            unique=unique,
            expires=expires,
            on_error=on_error or {},
        )
        _refuse_unknown_arguments(definition)
        task = shared_task(
            name=name,
            base=JobTask,
            definition=definition,
            queue=queue,
            typing=False,
            ignore_result=True,
        )(function)
        _REGISTRY[name] = task
        return cast("JobTask[P, R]", task)

    return declare


def _refuse_unknown_arguments(definition: Definition) -> None:
    """Raise ``TypeError`` when a limit or uniqueness is by an argument that the task lacks."""
    fields = definition.arguments.model_fields
    named(definition.name, definition.limits)
    keys = [limit.by for limit in definition.limits if limit.by not in {None, "tenant"}]
    keys += definition.unique.by or () if definition.unique else ()
    for name in keys:
        if name not in fields:
            raise TypeError(f"{definition.name}: it has no argument {name!r} to tell jobs apart")


_REGISTRY: dict[str, JobTask[Any, Any]] = {}


def registry() -> dict[str, JobTask[Any, Any]]:
    """Return every declared task by its wire name."""
    return _REGISTRY


def get_task(name: str) -> JobTask[Any, Any]:
    """Return the task called ``name``; raises :class:`~jobs.errors.UnknownTask`."""
    try:
        declared: Any = _REGISTRY[name]
    except KeyError:
        raise UnknownTask(name, difflib.get_close_matches(name, _REGISTRY, n=1)) from None
    if type(declared) is Proxy:  # as Celery declares it; each look through it costs microseconds
        declared = _REGISTRY[name] = declared._get_current_object()
    task: JobTask[Any, Any] = declared
    return task
