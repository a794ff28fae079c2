"""What is declared about a task, what one job of it may differ in, and what may follow a job."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel

from jobs.limits import Limit
from jobs.models import Priority
from jobs.queues import Backoff, get_queue

#: How far from now a job may be put off by a duration, or expire, whoever enqueues it.
LONGEST_WAIT = timedelta(days=366)

#: What an error of some type means for the job: wait like this before the next attempt, give up
#: at once (``"die"``), or end without a dead letter (``"discard"``).
OnError = Backoff | Literal["die", "discard"]


@dataclass(frozen=True, kw_only=True)
class Unique:
    """There is one job like this: who enqueues another gets the first one back.

    ``by`` names the arguments that make two jobs the same (all of them by default), beside task
    and tenant. It holds while the first is unfinished or, with ``period``, for that long from its
    enqueueing, finished or not.

    Raises:
        TypeError: ``by`` is no tuple of names, or ``period`` no duration above zero.
    """

    by: tuple[str, ...] | None = None
    period: timedelta | None = None

    def __post_init__(self) -> None:
        given: Any = self.by  # not every caller's types are checked
        names = given if isinstance(given, tuple | list) else () if given is None else (None,)
        if not all(isinstance(name, str) for name in names):
            example = given if isinstance(given, str) else "invoice_id"
            raise TypeError(
                f"Unique: by is a tuple of names, such as ({example!r},), not {given!r}"
            )
        period: Any = self.period
        if period is not None and not (isinstance(period, timedelta) and period > timedelta(0)):
            raise TypeError(f"Unique: period is a duration above zero, or None, not {period!r}")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a job may take: its task's word, or else its queue's."""

    attempts: int
    backoff: Backoff
    soft_time_limit: timedelta
    hard_time_limit: timedelta


@dataclass(frozen=True, kw_only=True)
class Definition:
    """What was declared about a task. A limit that is None is its queue's."""

    name: str
    queue: str
    attempts: int | None
    backoff: Backoff | None
    priority: Priority
    atomic: bool
    soft_time_limit: timedelta | None
    hard_time_limit: timedelta | None
    arguments: type[BaseModel]
    description: str
    limits: tuple[Limit, ...] = ()
    unique: Unique | None = None
    #: From its enqueueing until it is not worth running any more.
    expires: timedelta | None = None
    on_error: Mapping[type[Exception], OnError] = field(default_factory=dict)
    #: Runs many jobs in one call: takes a list of their arguments, returns a list of results.
    bulk: Callable[[list[dict[str, Any]]], list[Any] | None] | None = None
    #: Tells a dry run what it would do, and returns what it would return; it only looks.
    preview: Callable[..., Any] | None = None

    @property
    def can_be_tried(self) -> bool:
        """Whether it has a dry run."""
        return self.atomic or self.preview is not None

    def soft_seconds_on(self, queue: str) -> float:
        """Return the soft time limit of its jobs on this queue, in seconds."""
        return (self.soft_time_limit or get_queue(queue).soft_time_limit).total_seconds()

    def limits_on(self, queue: str) -> Limits:
        """Return the limits of its jobs on this queue."""
        lane = get_queue(queue)
        return Limits(
            attempts=self.attempts or lane.attempts,
            backoff=self.backoff or lane.backoff,
            soft_time_limit=self.soft_time_limit or lane.soft_time_limit,
            hard_time_limit=self.hard_time_limit or lane.hard_time_limit,
        )


@dataclass(frozen=True, kw_only=True)
class Step:
    """A job to come: a task and its checked arguments."""

    task: str
    payload: dict[str, Any]
    queue: str | None = None
    priority: int | None = None

    def as_signature(self) -> dict[str, Any]:
        """Return it as Celery's signature; its arguments are all there, so it takes no result."""
        options = {"queue": self.queue, "priority": self.priority}
        return {
            "task": self.task,
            "args": [],
            "kwargs": self.payload,
            "options": {key: value for key, value in options.items() if value is not None},
            "subtask_type": None,
            "immutable": True,
        }


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where a job stands in a workflow, and what its settlement starts."""

    root_id: str | None = None
    parent_id: str | None = None
    group_id: str | None = None
    group_index: int | None = None
    canvas: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Options:
    """How one job differs from what its task declares."""

    queue: str | None = None
    priority: Priority | None = None
    #: The tenant's key; None: that of the context.
    tenant: str | None = None
    #: Not before this instant (aware).
    run_at: datetime | None = None
    #: Not before this long from now, by the database's clock.
    delay: timedelta | None = None
    #: What is enqueued, one after the other, when the job succeeds.
    follows: list[Step] = field(default_factory=list)
    job_id: str | None = None
    #: As the task declares, unless it is given.
    unique: Unique | None = None
    #: Not worth running after this instant (aware), or this long from now.
    expires: datetime | timedelta | None = None
    placed: Placement | None = None
