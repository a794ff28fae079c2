"""The queues: one lane per domain, declared once with all its limits.

The worker command, the dashboard, ``docker-compose.yml`` and ``docs/reference/queues.md`` are read
from this registry or tested against it.
"""

import difflib
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from jobs.errors import UnknownQueue
from jobs.limits import Limit, Rate

Pool = Literal["prefork", "threads"]
#: What a job of the queue does while Redis is down: wait for a worker that claims it from the
#: table, or run at once in the process that enqueued it, after its commit.
BrokerDown = Literal["drain", "inline"]


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """How long a failed job waits: exponential from ``base``, with full jitter on its upper half.

    The wait before retry *n* (from 1) lies between half and all of ``min(cap, base * 2**(n-1))``.
    """

    base: timedelta
    cap: timedelta = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Queue:
    """A domain's lane and its limits. Times are wall-clock durations."""

    name: str
    purpose: str
    pool: Pool
    concurrency: int
    #: Runs that may fail or crash before the job becomes a dead letter.
    attempts: int
    backoff: Backoff
    #: ``SoftTimeLimitExceeded`` is raised in the task after this long (prefork only).
    soft_time_limit: timedelta
    #: The process is killed after this long (prefork), or the lease ends (threads).
    hard_time_limit: timedelta
    limits: tuple[Limit, ...] = ()
    when_broker_down: BrokerDown = "drain"


def _cores() -> int:
    return os.cpu_count() or 1


def _queue(
    name: str,
    purpose: str,
    pool: Pool,
    concurrency: int,
    attempts: int,
    base: int,
    soft: int,
    hard: int,
    *limits: Limit,
) -> Queue:
    return Queue(
        name=name,
        purpose=purpose,
        pool=pool,
        concurrency=concurrency,
        attempts=attempts,
        backoff=Backoff(base=timedelta(seconds=base)),
        soft_time_limit=timedelta(seconds=soft),
        hard_time_limit=timedelta(seconds=hard),
        limits=limits,
    )


_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
_EMAIL = Rate(limit=100, per=_MINUTE), Rate(limit=20, per=_HOUR, by="to")
_NOTICES = Rate(limit=200, per=_MINUTE, by="tenant")

_DECLARED = [
    _queue("email", "one message to one person", "threads", 8, 5, 10, 30, 60, *_EMAIL),
    _queue("pdf", "render and keep a document", "prefork", _cores(), 3, 5, 60, 120),
    _queue("notifications", "in-app notices, fan-outs", "threads", 8, 3, 5, 30, 60, _NOTICES),
    _queue("inventory", "stock checks, transfers, alerts", "prefork", 2, 3, 5, 300, 360),
    _queue("compliance", "scores, expiry and deadline scans", "prefork", 1, 3, 30, 900, 960),
    _queue("reports", "periodic reports, exports", "prefork", 1, 3, 30, 900, 960),
    _queue("imports", "CSV and Excel in", "prefork", 1, 1, 5, 1800, 1860),
    _queue("maintenance", "pruning, archive, VACUUM, sessions", "prefork", 1, 3, 60, 1800, 1860),
]

QUEUES: dict[str, Queue] = {queue.name: queue for queue in _DECLARED}


def get_queue(name: str) -> Queue:
    """Return the queue called ``name``; raises :class:`~jobs.errors.UnknownQueue`."""
    try:
        return QUEUES[name]
    except KeyError:
        raise UnknownQueue(name, difflib.get_close_matches(name, QUEUES, n=1)) from None
