"""The pruner deletes what is past its retention: finished jobs, and what the engine leaves behind.

Options: ``KEEP_SUCCEEDED``, ``KEEP_CANCELLED``, ``KEEP_DEAD``, ``RETENTION`` of single queues,
``KEEP_EFFECTS``, ``KEEP_ROLLUPS``, ``KEEP_FIRINGS`` (see :mod:`jobs.conf`). It goes in batches of
``BATCH`` rows, each a short transaction that waits for nobody; any number of runs may be cut off or
go on side by side. Emits the log event ``pruned`` and the audit entry ``jobs.pruned``, both with
the number of rows by kind.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import structlog
from django.db import connection

from jobs import audit
from jobs.conf import Retention, jobs_settings
from jobs.dry_run import tell
from jobs.errors import Cancelled, RetryLater
from jobs.maintenance.batches import BUDGET, Shift, bounded
from jobs.maintenance.finished_jobs import Kind, delete_finished, going
from jobs.maintenance.instant import BEFORE_IN_WORDS, INSTANT, beginning
from jobs.maintenance.leftovers import leftovers
from jobs.states import State

log = structlog.get_logger(__name__)

#: Rows in one transaction.
BATCH = 2_000

#: About how much there is to do, for the progress: two looks at the index jobs_job_finished.
_EXPECTED = f"""
    SELECT (SELECT count(*) FROM jobs_job
            WHERE state = 'succeeded' AND finished_at < {INSTANT} - %(succeeded)s)
         + (SELECT count(*) FROM jobs_job
            WHERE state = 'cancelled' AND finished_at < {INSTANT} - %(cancelled)s)
"""


def prune(
    *, as_of: date | None = None, budget: timedelta = BUDGET, batch: int = BATCH
) -> dict[str, int]:
    """Delete what is past its retention; returns how many rows of each kind went.

    Args:
        as_of: None or today: what is past it now. A past day: what was so when it began in UTC.
        budget: For how long this run goes on.
        batch: Rows in one transaction.

    Raises:
        DayToCome: ``as_of`` has not begun.
        RetryLater: there is more to do than ``budget`` allows; call it again.
    """
    instant = beginning(as_of)
    shift, gone, expected = Shift(budget), Counter[str](), _expected(instant)
    try:
        for name, sweep in _sweeps(instant, batch):
            for count in sweep:
                gone[name] += count
                shift.go_on(gone.total(), expected, name)
    except (RetryLater, Cancelled):
        _tell(gone)
        raise
    return _tell(gone)


def preview(*, as_of: date | None = None) -> dict[str, int]:
    """Return what :func:`prune` would, and tell of it, with the instant before which it was kept.

    One statement counts by the conditions of the deletion: rows that somebody holds a lock on are
    among them.
    """
    rows: dict[str, int] = Counter()
    for name, count, before in _counted(beginning(as_of)):
        rows[name] += count
        if count:
            tell(name, count=count, before=before)
    return {name: count for name, count in rows.items() if count}


def _counted(instant: datetime | None) -> list[tuple[str, int, str]]:
    """Return name, number, and the instant before which they are, of each kind that would go."""
    kinds, others = list(_kinds()), leftovers()
    found = going(kinds, instant)
    values = found.values | {"as_of": instant}
    counts = [f"SELECT {number}, count(*) FROM gone_{number}" for number in range(len(kinds))]
    for number, leftover in enumerate(others, start=len(kinds)):
        which = leftover.condition(jobs="staying").replace("%(keep)s", f"%(keep_{number})s")
        counts.append(f"SELECT {number}, count(*) FROM {leftover.table} AS t WHERE {which}")
        values[f"keep_{number}"] = leftover.keep
    befores = ", ".join(
        BEFORE_IN_WORDS.replace("%(keep)s", f"%(keep_{number})s") for number in range(len(counts))
    )
    sql = f"""
        WITH {found.queries}, counted (number, count) AS ({" UNION ALL ".join(counts)})
        SELECT count, (ARRAY[{befores}])[number + 1] FROM counted ORDER BY number
    """
    names = [kind.name for kind in kinds] + [leftover.name for leftover in others]
    with bounded(), connection.cursor() as cursor:
        # Whatever the statistics say, how long it takes grows with the rows, and no faster.
        cursor.execute("SET LOCAL enable_nestloop = off; SET LOCAL statement_timeout = '10min'")
        cursor.execute(sql, values)
        return [
            (name, count, before)
            for name, (count, before) in zip(names, cursor.fetchall(), strict=True)
        ]


def _sweeps(instant: datetime | None, batch: int) -> Iterator[tuple[str, Iterator[int]]]:
    for kind in _kinds():
        yield kind.name, delete_finished(kind, instant, batch)
    for leftover in leftovers():
        yield leftover.name, leftover.delete(instant, batch)


def _kinds() -> Iterator[Kind]:
    """Yield the finished jobs of the queues with a retention of their own, then of all others."""
    conf = jobs_settings()
    for queue, retention in conf.RETENTION.items():
        yield from _of(retention, (queue,), named=True)
    yield from _of(conf.retention, tuple(conf.RETENTION), named=False)


def _of(retention: Retention, queues: tuple[str, ...], *, named: bool) -> Iterator[Kind]:
    for state, keep in (
        (State.SUCCEEDED, retention.succeeded),
        (State.CANCELLED, retention.cancelled),
        (State.DEAD, retention.dead),
    ):
        yield Kind(state=state, keep=keep, queues=queues, named=named)


def _expected(instant: datetime | None) -> int:
    retention = jobs_settings().retention
    values: dict[str, Any] = {
        "as_of": instant,
        "succeeded": retention.succeeded,
        "cancelled": retention.cancelled,
    }
    with connection.cursor() as cursor:
        cursor.execute(_EXPECTED, values)
        (count,) = cursor.fetchone()
        return int(count)


def _tell(gone: Counter[str]) -> dict[str, int]:
    rows = {name: count for name, count in gone.items() if count}
    if rows:
        log.info("pruned", **{name.replace(" ", "_"): count for name, count in rows.items()})
        audit.record(
            action="jobs.pruned", subject_type="maintenance", subject_id="jobs.prune", detail=rows
        )
    return rows
