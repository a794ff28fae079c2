"""How many jobs wait, without counting them all.

Up to ``COUNTED`` jobs are counted, from partial indexes. Of what is deeper a page tells what a
keeper counted last (:mod:`jobs.maintenance.rollup`), and that it is about so many; and when no
keeper has, that it is at least ``COUNTED``.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import timedelta
from enum import IntEnum

from jobs.selectors.sql import fetch
from jobs.states import State

#: Jobs in a queue's line, scheduled ones, and parked ones that are counted one by one.
COUNTED = 10_000
#: An older count tells nothing.
_FRESH = timedelta(minutes=10)


class Certainty(IntEnum):
    """What a count is worth."""

    EXACT = 0
    #: Counted a moment ago.
    ABOUT = 1
    AT_LEAST = 2


class Count(int):
    """A number of jobs, which may not be the exact one."""

    certainty: Certainty

    def __new__(cls, value: int = 0, certainty: Certainty = Certainty.EXACT) -> "Count":
        """Make a count; an exact one unless told otherwise."""
        made = super().__new__(cls, value)
        made.certainty = certainty
        return made

    @property
    def is_exact(self) -> bool:
        """Whether there are just so many."""
        return self.certainty == Certainty.EXACT

    @classmethod
    def of(cls, counts: Iterable["Count"]) -> "Count":
        """Return the sum, which is as certain as the least certain of its parts."""
        parts = list(counts)
        worst = max((part.certainty for part in parts), default=Certainty.EXACT)
        return cls(sum(parts), worst)


class Waiting(dict[tuple[str, State, bool], Count]):
    """How many jobs wait, by queue, state, and whether they are parked."""

    def __init__(self) -> None:
        super().__init__()
        #: How long the job in line (or overdue) that is due for longest has waited, in seconds, by
        #: queue.
        self.oldest: dict[str, float] = {}

    def add(
        self,
        queue: str,
        state: State,
        count: int,
        age: float | None = None,
        *,
        is_parked: bool = False,
    ) -> None:
        """Note what was counted."""
        self[queue, state, is_parked] = Count(count)
        self.due(queue, age)

    def due(self, queue: str, age: float | None) -> None:
        """Note that a job of the queue has waited for so long."""
        if age is not None:
            self.oldest[queue] = max(age, self.oldest.get(queue, 0.0))


# From queue to queue, whatever number of jobs stands in each line.
_NAMES = """
    WITH RECURSIVE names AS (
        (SELECT j.queue FROM jobs_job AS j
         WHERE j.state IN ('available', 'queued') AND NOT j.parked ORDER BY j.queue LIMIT 1)
        UNION ALL
        SELECT (SELECT j.queue FROM jobs_job AS j
                WHERE j.queue > names.queue AND j.state IN ('available', 'queued')
                  AND NOT j.parked ORDER BY j.queue LIMIT 1)
        FROM names WHERE names.queue IS NOT NULL
    )
"""

# By the index jobs_job_due.
_LINES = f"""
    {_NAMES}
    SELECT names.queue, head.state, count(*),
           extract(epoch FROM now() - min(head.scheduled_at))::float
    FROM names CROSS JOIN LATERAL (
        SELECT j.state, j.scheduled_at FROM jobs_job AS j
        WHERE j.queue = names.queue AND j.state IN ('available', 'queued') AND NOT j.parked
        ORDER BY j.priority, j.seat, j.scheduled_at LIMIT %(most)s) AS head
    GROUP BY names.queue, head.state
"""

# Tenants take turns, so the job that waits for longest is near the head of its class.
_OLDEST = """
    SELECT extract(epoch FROM now() - min(head.scheduled_at))::float
    FROM generate_series(0, 3) AS p(priority)
    CROSS JOIN LATERAL (
        SELECT j.scheduled_at FROM jobs_job AS j
        WHERE j.queue = %(queue)s AND j.priority = p.priority
          AND j.state IN ('available', 'queued') AND NOT j.parked
        ORDER BY j.seat, j.scheduled_at LIMIT 1000) AS head
"""

# By the index jobs_job_scheduled. Some may be overdue: those of a paused queue are not put in line.
_SCHEDULED = """
    SELECT queue, count(*),
           extract(epoch FROM now() - min(scheduled_at) FILTER (WHERE scheduled_at <= now()))::float
    FROM (SELECT queue, scheduled_at FROM jobs_job WHERE state = 'scheduled'
          ORDER BY scheduled_at LIMIT %(most)s) AS first
    GROUP BY queue
"""

# By the index jobs_job_gates. They wait for a limit, not for a worker, and are not late.
_PARKED = """
    SELECT queue, count(*)
    FROM (SELECT queue FROM jobs_job
          WHERE state IN ('available', 'queued') AND NOT gate = '' AND parked
          ORDER BY gate, parked, priority, seat LIMIT %(most)s) AS first
    GROUP BY queue
"""

_KEPT = """
    SELECT queue, state, parked, count FROM jobs_queuedepth WHERE counted_at > now() - %(fresh)s
"""


def waiting() -> Waiting:
    """Return how many jobs wait."""
    found = Waiting()
    most = {"most": COUNTED + 1}
    in_line: Counter[str] = Counter()
    for queue, state, count, age in fetch(_LINES, most):
        in_line[queue] += count
        found.add(queue, State(state), count, age)
    deep = {queue for queue, count in in_line.items() if count > COUNTED}
    for queue in deep:
        found.due(queue, fetch(_OLDEST, {"queue": queue})[0][0])
    scheduled, parked = 0, 0
    for queue, count, age in fetch(_SCHEDULED, most):
        scheduled += count
        found.add(queue, State.SCHEDULED, count, age)
    for queue, count in fetch(_PARKED, most):
        parked += count
        found.add(queue, State.AVAILABLE, count, is_parked=True)

    def is_cut(queue: str, state: State, is_parked: bool) -> bool:
        if is_parked:
            return parked > COUNTED
        return scheduled > COUNTED if state == State.SCHEDULED else queue in deep

    if deep or max(scheduled, parked) > COUNTED:
        _complete(found, is_cut)
    return found


def _complete(found: Waiting, is_cut: Callable[[str, State, bool], bool]) -> None:
    """Replace what was counted in part by what a keeper counted last."""
    for key, count in found.items():
        if is_cut(*key):
            found[key] = Count(min(count, COUNTED), Certainty.AT_LEAST)
    for queue, state, is_parked, count in fetch(_KEPT, {"fresh": _FRESH}):
        key = (queue, State(state), is_parked)
        if is_cut(*key):
            found[key] = Count(count, Certainty.ABOUT)
