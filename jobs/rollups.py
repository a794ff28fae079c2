"""What ended, counted minute by minute: what pages, API and metrics read instead of the jobs.

A row of ``jobs_rollup`` says for one minute how many attempts of a task, on a queue, for a tenant,
ended in one way (outcome, error, and the state that the job got), with the sums and histograms of
their waits and runs. It is written by the statement that moves the jobs (:mod:`jobs.transitions`),
so it is exact: what is rolled back is not counted. Jobs that end without an attempt (cancelled or
expired while they waited, or never startable) are counted with an empty outcome, and have no times.

Each session of the database writes rows of its own: ``shard`` is its process id there. So no two
settlements ever wait for each other, and a row is updated in place, page by page (HOT: nothing that
is indexed changes). Shards of minutes that are over become one row, shard 0, and are added to
``jobs_rolluptotal``: what ended since ever, which is what a counter of Prometheus is
(:mod:`jobs.maintenance.rollup`).
"""

from collections.abc import Sequence
from decimal import Decimal

#: Upper bounds of the buckets, in seconds; one more bucket takes what is longer. They are part of
#: every row: who changes them empties both tables.
BOUNDS = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0,
    7200.0,
)  # fmt: skip
BUCKETS = len(BOUNDS) + 1

_WIDTH = 16
#: Of a histogram: it is one number, with 16 digits for each bucket, the first bucket's last. So two
#: are added by one addition. Arrays would take expressions for each bucket in the statement that
#: settles a job, and twice the time, or more where it is planned anew.
DIGITS = _WIDTH * BUCKETS

#: The minute that is going on, looked up once in a statement.
THIS_MINUTE = "(SELECT date_trunc('minute', clock_timestamp(), 'UTC'))"

#: What tells the rows of a minute apart, but for their shard.
KINDS = "queue, task, tenant, outcome, state, error_type"
#: What tells the totals apart: tenants come and go.
KINDS_IN_ALL = "queue, task, outcome, state, error_type"
#: What is added up.
FIGURES = "count, wait_seconds, run_seconds, wait_histogram, run_histogram"

#: Adds a row to the one that is there (``r``).
ADD = """
    DO UPDATE SET count = r.count + EXCLUDED.count,
        wait_seconds = r.wait_seconds + EXCLUDED.wait_seconds,
        run_seconds = r.run_seconds + EXCLUDED.run_seconds,
        wait_histogram = r.wait_histogram + EXCLUDED.wait_histogram,
        run_histogram = r.run_histogram + EXCLUDED.run_histogram
"""

#: The figures of rows together.
SUMS = "sum(count), sum(wait_seconds), sum(run_seconds), sum(wait_histogram), sum(run_histogram)"

_INTO = f"INSERT INTO jobs_rollup AS r (minute, {KINDS}, shard, {FIGURES})"

_BOUNDS = f"'{{{','.join(map(str, BOUNDS))}}}'::float8[]"
_ONES = f"'{{{','.join(f'1e{_WIDTH * bucket}' for bucket in range(BUCKETS))}}}'::numeric[]"


def _histogram(seconds: str) -> str:
    return f"sum(({_ONES})[1 + width_bucket({seconds}, {_BOUNDS})])"


#: Counts the attempts of ``moved``: rows of jobs with ``outcome``, ``due_at`` and ``ended_at``.
COUNT_ATTEMPTS = f"""
    {_INTO}
    SELECT {THIS_MINUTE}, {KINDS}, pg_backend_pid(), count(*), sum(waited), sum(ran),
           {_histogram("waited")}, {_histogram("ran")}
    FROM (SELECT queue, task, tenant, outcome, state,
                 CASE WHEN outcome IN ('failed', 'crashed') THEN error_type ELSE '' END
                     AS error_type,
                 GREATEST(0, extract(epoch FROM started_at - due_at)::float8) AS waited,
                 GREATEST(0, extract(epoch FROM ended_at - started_at)::float8) AS ran
          FROM moved) AS timed
    GROUP BY {KINDS}
    ON CONFLICT (minute, {KINDS}, shard) {ADD}
"""

#: Counts the jobs of ``moved``, which ended without an attempt.
COUNT_ENDS = f"""
    {_INTO}
    SELECT {THIS_MINUTE}, queue, task, tenant, '', state, '', pg_backend_pid(), count(*),
           0, 0, 0, 0
    FROM moved GROUP BY queue, task, tenant, state
    ON CONFLICT (minute, {KINDS}, shard) {ADD}
"""

#: Makes up to a number of rows of minutes that are over into one for each minute and kind, and adds
#: them to the totals. A row that somebody holds, or that is committed late, is left for next time.
MERGE = f"""
    WITH gone AS (
        DELETE FROM jobs_rollup WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM jobs_rollup
            WHERE shard <> 0 AND minute < {THIS_MINUTE} - make_interval(mins => %s::int)
            ORDER BY minute LIMIT %s::int FOR UPDATE SKIP LOCKED))
        RETURNING *
    ), merged AS (
        {_INTO}
        SELECT minute, {KINDS}, 0, {SUMS} FROM gone GROUP BY minute, {KINDS}
        ON CONFLICT (minute, {KINDS}, shard) {ADD}
    ), totals AS (
        INSERT INTO jobs_rolluptotal AS r ({KINDS_IN_ALL}, {FIGURES})
        SELECT {KINDS_IN_ALL}, {SUMS} FROM gone GROUP BY {KINDS_IN_ALL}
        ON CONFLICT ({KINDS_IN_ALL}) {ADD}
    )
    SELECT count(*) FROM gone
"""

#: All that ever ended, in one look: totals, and what is not in them yet.
EVER = f"""
    SELECT {KINDS_IN_ALL}, {FIGURES} FROM jobs_rolluptotal
    UNION ALL
    SELECT {KINDS_IN_ALL}, {FIGURES} FROM jobs_rollup WHERE shard <> 0
"""


def unpacked(histogram: Decimal) -> list[int]:
    """Return how many measurements are in each bucket."""
    number, one = int(histogram), 10**_WIDTH
    return [number // one**bucket % one for bucket in range(BUCKETS)]


def quantile(histogram: Sequence[int], part: float) -> float | None:
    """Estimate the value below which ``part`` (0 to 1) of the measurements lie, in seconds.

    Within a bucket they are taken to be spread evenly, as Prometheus' ``histogram_quantile`` does;
    of what is longer than the last bound only that is known. None: nothing was measured.
    """
    total = sum(histogram)
    if not total:
        return None
    rank, below = part * total, 0
    for count, lower, upper in zip(histogram, (0.0, *BOUNDS), BOUNDS, strict=False):
        if count and below + count >= rank:
            return lower + (upper - lower) * max(0.0, rank - below) / count
        below += count
    return BOUNDS[-1]
