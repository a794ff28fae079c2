"""How each queue is doing, cheaply enough to be asked every two seconds."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from jobs.models import QueueState
from jobs.queues import QUEUES, Queue, get_queue
from jobs.selectors.depths import Count, waiting
from jobs.selectors.sql import fetch
from jobs.selectors.workers import WorkerView, list_workers
from jobs.states import State

#: Minutes of throughput that are counted.
WINDOW_MINUTES = 60

# The partial index jobs_job_running has as many entries as jobs are running.
_RUNNING = "SELECT queue, count(*) FROM jobs_job WHERE state = 'running' GROUP BY queue"

# Roll-ups are of the minutes of the clock, so the last one has just begun. By now(), which the
# planner knows, so that it reads those of the last hour alone.
_FINISHED = """
SELECT queue, state,
       (extract(epoch FROM date_trunc('minute', now(), 'UTC') - minute) / 60)::int AS minutes_ago,
       sum(count)
FROM jobs_rollup
WHERE minute > date_trunc('minute', now(), 'UTC') - make_interval(mins => %(minutes)s)
  AND state IN ('succeeded', 'cancelled', 'dead')
GROUP BY 1, 2, 3
"""

_DEAD_LETTERS = "SELECT queue, count(*) FROM jobs_deadletter WHERE decision = '' GROUP BY queue"


@dataclass
class Minute:
    """What ended in one minute."""

    succeeded: int = 0
    cancelled: int = 0
    dead: int = 0

    @property
    def total(self) -> int:
        """Everything that ended."""
        return self.succeeded + self.cancelled + self.dead


@dataclass(kw_only=True)
class QueueOverview:
    """One queue, as an operator sees it."""

    name: str
    #: None: jobs name the queue, but the registry no longer does, so no worker serves it.
    declared: Queue | None
    paused_at: datetime | None = None
    paused_by: str = ""
    #: Unfinished jobs by state; every waiting state and ``running`` is there.
    depth: dict[State, Count] = field(
        default_factory=lambda: dict.fromkeys(
            (State.SCHEDULED, State.AVAILABLE, State.QUEUED, State.RUNNING), Count()
        )
    )
    #: Those of the available ones that wait for a limit.
    parked: Count = field(default_factory=Count)
    #: How long the job in line that is due for longest has waited, in seconds; None when none is.
    oldest_due_seconds: float | None = None
    #: Oldest first; the last is the minute that is still going on.
    minutes: list[Minute] = field(default_factory=lambda: [Minute() for _ in range(WINDOW_MINUTES)])
    #: Dead letters that wait for a person's decision.
    dead_letters: int = 0
    #: Workers with a fresh heartbeat that serve the queue, and the slots they have together.
    workers: int = 0
    slots: int = 0

    @property
    def is_paused(self) -> bool:
        """Whether an operator has paused the queue."""
        return self.paused_at is not None

    @property
    def waiting(self) -> Count:
        """Jobs that are due and not running."""
        return Count.of((self.depth[State.AVAILABLE], self.depth[State.QUEUED]))

    @property
    def is_unserved(self) -> bool:
        """Whether jobs are due and no worker is there to run them."""
        return self.waiting > 0 and self.workers == 0

    @property
    def succeeded_last_hour(self) -> int:
        """Jobs that succeeded in the last hour."""
        return self.finished(State.SUCCEEDED)

    @property
    def died_last_hour(self) -> int:
        """Jobs that died in the last hour."""
        return self.finished(State.DEAD)

    def add_waiting(self, state: State, count: Count, *, is_parked: bool) -> None:
        """Note how many jobs wait."""
        self.depth[state] = Count.of((self.depth[state], count))
        if is_parked:
            self.parked = count

    def finished(self, state: State, *, minutes: int = WINDOW_MINUTES) -> int:
        """Count the jobs that ended as ``state`` in the last ``minutes`` (60 at most)."""
        return sum(getattr(minute, state.value) for minute in self.minutes[-minutes:])


def queue_overviews(workers: Iterable[WorkerView] | None = None) -> list[QueueOverview]:
    """Return every queue, in the registry's order, then any that only rows still name.

    Args:
        workers: What :func:`list_workers` returned, when the caller has it already.
    """
    workers = list_workers() if workers is None else workers
    overviews = {
        name: QueueOverview(name=name, declared=declared) for name, declared in QUEUES.items()
    }

    def of(name: str) -> QueueOverview:
        return overviews.setdefault(name, QueueOverview(name=name, declared=None))

    counted = waiting()
    for name, age in counted.oldest.items():
        of(name).oldest_due_seconds = age
    for (name, state, is_parked), count in counted.items():
        of(name).add_waiting(state, count, is_parked=is_parked)
    for name, count in fetch(_RUNNING):
        of(name).depth[State.RUNNING] = Count(count)
    for name, state, minutes_ago, count in fetch(_FINISHED, {"minutes": WINDOW_MINUTES}):
        minute = of(name).minutes[WINDOW_MINUTES - 1 - max(0, minutes_ago)]
        setattr(minute, state, count)
    for name, count in fetch(_DEAD_LETTERS):
        of(name).dead_letters = count
    for pause in QueueState.objects.filter(paused_at__isnull=False):
        of(pause.name).paused_at, of(pause.name).paused_by = pause.paused_at, pause.paused_by
    for worker in [view.worker for view in workers if view.is_alive]:
        for name in worker.queues:
            of(name).workers += 1
            of(name).slots += worker.concurrency
    return list(overviews.values())


def queue_overview(name: str, workers: Iterable[WorkerView] | None = None) -> QueueOverview:
    """Return one queue; raises :class:`~jobs.errors.UnknownQueue`."""
    get_queue(name)
    return next(overview for overview in queue_overviews(workers) if overview.name == name)
