"""What monitoring counts: finished jobs, their times in buckets, failed attempts.

Everything is counted from the rows that are kept, so the figures fall when the pruner deletes
what is past its retention; to Prometheus that is a counter's reset.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from jobs.selectors.sql import fetch

#: Upper bounds of the buckets, in seconds; one more bucket takes what is longer.
BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)

# One pass over the finished jobs answers all three questions.
_FINISHED = """
WITH finished AS (
    SELECT queue, task, state,
           greatest(0, extract(epoch FROM started_at - scheduled_at))::float AS waited,
           extract(epoch FROM finished_at - started_at)::float AS ran
    FROM jobs_job
    WHERE state IN ('succeeded', 'cancelled', 'dead')
), sorted AS (
    SELECT *, width_bucket(waited, %(bounds)s::float[]) AS wait_bucket,
           width_bucket(ran, %(bounds)s::float[]) AS run_bucket
    FROM finished
)
SELECT queue, task, state, wait_bucket, run_bucket,
       grouping(state, wait_bucket, run_bucket), count(*), sum(waited), sum(ran)
FROM sorted
GROUP BY GROUPING SETS ((queue, task, state), (queue, task, wait_bucket), (queue, task, run_bucket))
ORDER BY queue, task
"""
#: The values of ``grouping(…)`` above: which of its columns are not part of the group.
_BY_STATE, _BY_WAIT, _BY_RUN = 0b011, 0b101, 0b110

_FAILURES = """
SELECT job.queue, job.task,
       CASE WHEN attempt.outcome = 'crashed' THEN 'crashed' ELSE attempt.error_type END, count(*)
FROM jobs_attempt AS attempt JOIN jobs_job AS job ON job.id = attempt.job_id
WHERE attempt.outcome IN ('failed', 'crashed')
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3
"""


@dataclass
class Histogram:
    """How many measurements fell into each bucket, and their sum in seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    total: float = 0.0


@dataclass
class TaskMeasurements:
    """The finished jobs of one task on one queue."""

    outcomes: dict[str, int] = field(default_factory=dict)
    waits: Histogram = field(default_factory=Histogram)
    runs: Histogram = field(default_factory=Histogram)


def measure_finished(
    bounds: Sequence[float] = BUCKETS,
) -> dict[tuple[str, str], TaskMeasurements]:
    """Return the measurements of every (queue, task) with finished jobs."""
    found: dict[tuple[str, str], TaskMeasurements] = {}
    for queue, task, state, wait_bucket, run_bucket, kind, count, waited, ran in fetch(
        _FINISHED, {"bounds": list(bounds)}
    ):
        measurements = found.setdefault((queue, task), TaskMeasurements())
        if kind == _BY_STATE:
            measurements.outcomes[state] = count
        elif kind == _BY_WAIT and wait_bucket is not None:
            measurements.waits.counts[wait_bucket] += count
            measurements.waits.total += waited
        elif kind == _BY_RUN and run_bucket is not None:
            measurements.runs.counts[run_bucket] += count
            measurements.runs.total += ran
    return found


def count_failures() -> list[tuple[str, str, str, int]]:
    """Return (queue, task, error type or ``crashed``, attempts) of the attempts that failed."""
    return [(queue, task, error, count) for queue, task, error, count in fetch(_FAILURES)]
