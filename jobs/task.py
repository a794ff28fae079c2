"""``@job_task``: declares a task. A task is a Celery task whose every call is a durable job.

``.delay()``, ``.apply_async()``, beat and Flower's "apply" all end in :mod:`jobs.enqueue`: the row
first, the message after the commit. Business code uses ``.enqueue()``, which is typed.
"""

import difflib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

import celery
from celery import shared_task
from celery.result import AsyncResult

from jobs import payload
from jobs.context import job_context
from jobs.definition import Definition, Options, Step
from jobs.errors import EnqueueError, UnknownTask
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

        _refuse_positional(self.task.name, args)
        return enqueue(self.task, kwargs, self.options)


class JobTask(CeleryTask, Generic[P, R]):
    """A task. Calling it runs its body at once, as any function; enqueueing makes a job."""

    abstract = True
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
    ) -> Call[P, R]:
        """Return this task with options for one job (see :class:`Options`)."""
        options = Options(
            queue=queue,
            priority=priority,
            tenant=tenant,
            run_at=run_at,
            delay=delay,
            follows=follows or [],
        )
        return Call(self, options)

    def step(self, *args: P.args, **kwargs: P.kwargs) -> Step:
        """Return a step for ``follows``; raises :class:`InvalidPayload`."""
        name = self.definition.name
        _refuse_positional(name, args)
        sealed = payload.seal(name, payload.check(self.definition.arguments, name, kwargs))
        if sealed.secrets is not None:
            raise EnqueueError(f"{name} takes secrets, so it cannot follow another job")
        return Step(task=name, payload=sealed.payload)

    def apply_async(  # type: ignore[override]
        self,
        args: tuple[Any, ...] | list[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: str | None = None,
        *,
        queue: str | None = None,
        countdown: float | None = None,
        eta: datetime | None = None,
        **celery_options: Any,
    ) -> AsyncResult[Any]:
        """Celery's own way in: makes a job too. ``countdown`` (seconds) and ``eta`` become rows.

        Beat names its schedule in the headers, and the job's row says so.

        Raises:
            EnqueueError: an argument is positional, or something is to follow by Celery's canvas,
                which would be lost with its message.
        """
        _refuse_positional(self.name, args or ())
        for option in ("link", "link_error", "chain", "chord"):
            if celery_options.get(option):
                raise EnqueueError(f"{self.name}: use follows=, not Celery's {option}")
        options = self.using(
            queue=queue,
            delay=timedelta(seconds=countdown) if countdown else None,
            run_at=eta,
        ).options
        from jobs.enqueue import enqueue

        schedule = (celery_options.get("headers") or {}).get("periodic_task_name")
        with job_context(actor=f"schedule:{schedule}" if schedule else None):
            job = enqueue(self, kwargs or {}, replace(options, job_id=task_id))
        return AsyncResult(str(job.id), app=self.app)

    def publish(self, job_id: str, *, queue: str, dispatch: int, producer: Any = None) -> None:
        """Put the job's id on its Redis queue: the doorbell. Nothing else is in the message."""
        limits = self.definition.limits_on(queue)
        super().apply_async(  # type: ignore[call-arg] # the stubs lack some options
            (),
            {},
            task_id=job_id,
            queue=queue,
            producer=producer,
            retry=False,
            headers={"dispatch": str(dispatch)},
            argsrepr="",
            kwargsrepr="",
            ignore_result=True,
            soft_time_limit=math.ceil(limits.soft_time_limit.total_seconds()),
            time_limit=math.ceil(limits.hard_time_limit.total_seconds()),
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body; or, when a worker calls because of a message, carry the message's job."""
        if self.request.called_directly or current_job() is not None:
            return self.run(*args, **kwargs)
        from jobs.executor import answer_message

        answer_message(str(self.request.id))
        return None


def _refuse_positional(name: str, args: Sequence[Any]) -> None:
    if args:
        raise EnqueueError(f"{name} takes keyword arguments only, not {len(args)} others")


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
        )
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


_REGISTRY: dict[str, JobTask[Any, Any]] = {}


def registry() -> dict[str, JobTask[Any, Any]]:
    """Return every declared task by its wire name."""
    return _REGISTRY


def get_task(name: str) -> JobTask[Any, Any]:
    """Return the task called ``name``; raises :class:`~jobs.errors.UnknownTask`."""
    try:
        return _REGISTRY[name]
    except KeyError:
        raise UnknownTask(name, difflib.get_close_matches(name, _REGISTRY, n=1)) from None
