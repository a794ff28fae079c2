"""What is declared about a task, what one job of it may differ in, and what may follow a job."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel

from jobs.models import Priority
from jobs.queues import Backoff, get_queue


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

    def as_json(self) -> dict[str, Any]:
        """Return what ``Job.follows`` keeps of it."""
        return {
            "task": self.task,
            "payload": self.payload,
            "queue": self.queue,
            "priority": self.priority,
        }


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
