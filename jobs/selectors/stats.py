"""How attempts ended, how often, and how long they took: from roll-ups."""

from dataclasses import dataclass
from datetime import datetime

from jobs import rollups
from jobs.selectors.sql import fetch
from jobs.states import State

_GROUPED = """
SELECT task, queue, outcome, state, sum(count)::bigint, sum(wait_histogram), sum(run_histogram)
FROM ({rows}) AS rows
WHERE %(queue)s = '' OR queue = %(queue)s
GROUP BY task, queue, outcome, state
ORDER BY task, queue, outcome, state
"""
_EVER = _GROUPED.format(rows=rollups.EVER)
_SINCE = _GROUPED.format(
    rows="""
        SELECT * FROM jobs_rollup
        WHERE minute >= date_trunc('minute', %(since)s::timestamptz, 'UTC')
    """
)


@dataclass(frozen=True, kw_only=True)
class TaskStats:
    """Attempts of one task, on one queue, that ended alike.

    Times are seconds, estimated from a histogram: within the bounds of its bucket
    (``rollups.BOUNDS``). None: nothing to measure.
    """

    task: str
    queue: str
    #: How the attempts ended; empty: the jobs ended without one.
    outcome: str
    #: What became of the jobs: ``scheduled`` and ``available`` ones are tried again.
    state: State
    count: int
    #: From due to started.
    wait_median: float | None
    wait_p95: float | None
    wait_p99: float | None
    #: From started to ended.
    run_median: float | None
    run_p95: float | None
    run_p99: float | None


def job_stats(*, since: datetime | None = None, queue: str = "") -> list[TaskStats]:
    """Return counts, medians, 95th and 99th percentiles of what ended.

    Args:
        since: From the beginning of this minute on (aware), for as long as roll-ups are kept; None:
            since ever.
        queue: Of this queue alone; empty: of all.
    """
    rows = fetch(_EVER if since is None else _SINCE, {"since": since, "queue": queue})
    found = []
    for task, lane, outcome, state, count, waits, runs in rows:
        wait, run = rollups.unpacked(waits), rollups.unpacked(runs)
        found.append(
            TaskStats(
                task=task,
                queue=lane,
                outcome=outcome,
                state=State(state),
                count=count,
                wait_median=rollups.quantile(wait, 0.5),
                wait_p95=rollups.quantile(wait, 0.95),
                wait_p99=rollups.quantile(wait, 0.99),
                run_median=rollups.quantile(run, 0.5),
                run_p95=rollups.quantile(run, 0.95),
                run_p99=rollups.quantile(run, 0.99),
            )
        )
    return found
