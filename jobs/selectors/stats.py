"""Counts and times by task and state."""

from dataclasses import dataclass
from datetime import datetime

from jobs.selectors.sql import fetch
from jobs.states import State

# The wait is that of the newest attempt: from the instant it was due to its start.
_STATS = """
SELECT task, queue, state, count(*),
       percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
           ORDER BY greatest(0, extract(epoch FROM started_at - scheduled_at)::float)
       ) FILTER (WHERE started_at IS NOT NULL),
       percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
           ORDER BY extract(epoch FROM finished_at - started_at)::float
       ) FILTER (WHERE started_at IS NOT NULL AND finished_at IS NOT NULL)
FROM jobs_job
WHERE (%(since)s::timestamptz IS NULL OR enqueued_at >= %(since)s)
  AND (%(queue)s = '' OR queue = %(queue)s)
GROUP BY task, queue, state
ORDER BY task, queue, state
"""


@dataclass(frozen=True, kw_only=True)
class TaskStats:
    """Jobs of one task, on one queue, in one state. Times are seconds; None: nothing to measure."""

    task: str
    queue: str
    state: State
    count: int
    #: From due to started, of the newest attempt.
    wait_median: float | None
    wait_p95: float | None
    #: From started to finished, of the newest attempt.
    run_median: float | None
    run_p95: float | None


def job_stats(*, since: datetime | None = None, queue: str = "") -> list[TaskStats]:
    """Return counts, medians and 95th percentiles of the jobs enqueued ``since`` (aware)."""
    return [
        TaskStats(
            task=task,
            queue=lane,
            state=State(state),
            count=count,
            wait_median=wait[0] if wait else None,
            wait_p95=wait[1] if wait else None,
            run_median=run[0] if run else None,
            run_p95=run[1] if run else None,
        )
        for task, lane, state, count, wait, run in fetch(_STATS, {"since": since, "queue": queue})
    ]
