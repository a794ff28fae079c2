"""The pruner deletes what is past its retention: finished jobs, and what the engine leaves behind.

Options: ``KEEP_SUCCEEDED``, ``KEEP_CANCELLED``, ``KEEP_DEAD``, ``RETENTION`` of single queues,
``KEEP_EFFECTS``, ``KEEP_ROLLUPS``, ``KEEP_FIRINGS`` (see :mod:`jobs.conf`). It goes in batches of
``BATCH`` rows, each a short transaction that waits for nobody; any number of runs may be cut off or
go on side by side. Emits the log event ``pruned`` and the audit entry ``jobs.pruned``, both with
the number of rows by kind.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from django.db import connection

from jobs import audit
from jobs.conf import Retention, jobs_settings
from jobs.errors import Cancelled, RetryLater
from jobs.maintenance.batches import BUDGET, Shift, bounded
from jobs.maintenance.finished_jobs import Kind, delete_finished
from jobs.states import State
from jobs.workflow_failures import NOT_STARTED

log = structlog.get_logger(__name__)

#: Rows in one transaction.
BATCH = 2_000

_WEEK = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """Rows ``t`` of a table that go when they are older than ``keep``."""

    name: str
    table: str
    keep: timedelta
    #: In SQL; ``%(keep)s`` is the age.
    condition: str


_LEFTOVERS = (
    # What holds jobs together goes with the last of them.
    Leftover(
        name="groups",
        table="jobs_group",
        keep=_WEEK,
        condition="""
            t.created_at < now() - %(keep)s
            AND NOT EXISTS (SELECT 1 FROM jobs_job AS j WHERE j.root_id = t.root_id)
        """,
    ),
    Leftover(
        name="workflows",
        table="jobs_workflow",
        keep=_WEEK,
        condition="""
            t.created_at < now() - %(keep)s
            AND NOT EXISTS (SELECT 1 FROM jobs_job AS j WHERE j.root_id = t.id)
        """,
    ),
    Leftover(
        name="results of what was not started",
        table="django_celery_results_taskresult",
        keep=_WEEK,
        condition=f"t.worker = '{NOT_STARTED}' AND t.date_done < now() - %(keep)s",
    ),
    Leftover(
        name="rate counts",
        table="jobs_ratecount",
        keep=timedelta(0),
        condition="t.expires_at < now() - %(keep)s",
    ),
    Leftover(
        name="workers",
        table="jobs_worker",
        keep=_WEEK,
        condition="""
            COALESCE(t.stopped_at, t.heartbeat_at) < now() - %(keep)s
            AND NOT EXISTS (SELECT 1 FROM jobs_job AS j
                            WHERE j.worker = t.id AND j.state = 'running')
        """,
    ),
    Leftover(
        name="probe runs",
        table="jobs_proberun",
        keep=_WEEK,
        condition="t.finished_at < now() - %(keep)s",
    ),
    Leftover(
        name="replays",
        table="jobs_replaybatch",
        keep=timedelta(days=90),
        condition="t.finished_at < now() - %(keep)s",
    ),
)


def _effects() -> Leftover:
    # A job that is still there may yet be run again, and must find what it did before.
    return Leftover(
        name="effects",
        table="jobs_effect",
        keep=jobs_settings().KEEP_EFFECTS,
        condition="""
            t.state = 'done' AND t.finished_at < now() - %(keep)s
            AND NOT EXISTS (SELECT 1 FROM jobs_job AS j WHERE j.id = t.job_id)
        """,
    )


def _rollups() -> Leftover:
    # Those that are not merged yet are not in the totals.
    return Leftover(
        name="roll-ups",
        table="jobs_rollup",
        keep=jobs_settings().KEEP_ROLLUPS,
        condition="t.shard = 0 AND t.minute < now() - %(keep)s",
    )


def _firings() -> Leftover:
    return Leftover(
        name="firings",
        table="jobs_firing",
        keep=jobs_settings().KEEP_FIRINGS,
        condition="t.fired_at < now() - %(keep)s",
    )


#: About how much there is to do, for the progress: two looks at the index jobs_job_finished.
_EXPECTED = """
    SELECT (SELECT count(*) FROM jobs_job
            WHERE state = 'succeeded' AND finished_at < now() - %(succeeded)s)
         + (SELECT count(*) FROM jobs_job
            WHERE state = 'cancelled' AND finished_at < now() - %(cancelled)s)
"""


def prune(*, budget: timedelta = BUDGET, batch: int = BATCH) -> dict[str, int]:
    """Delete what is past its retention; returns how many rows of each kind went.

    Raises:
        RetryLater: there is more to do than ``budget`` allows; call it again.
    """
    shift, gone, expected = Shift(budget), Counter[str](), _expected()
    try:
        for name, sweep in _sweeps(batch):
            for count in sweep:
                gone[name] += count
                shift.go_on(gone.total(), expected, name)
    except (RetryLater, Cancelled):
        _tell(gone)
        raise
    return _tell(gone)


def _sweeps(batch: int) -> Iterator[tuple[str, Iterator[int]]]:
    for kind in _kinds():
        yield f"{kind.state} jobs", delete_finished(kind, batch)
    for leftover in (_effects(), _rollups(), _firings(), *_LEFTOVERS):
        yield leftover.name, _delete(leftover, batch)


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


def _delete(leftover: Leftover, batch: int) -> Iterator[int]:
    """Delete rows in batches; those that somebody has locked are left for the next run."""
    sql = f"""
        DELETE FROM {leftover.table} WHERE ctid = ANY(ARRAY(
            SELECT t.ctid FROM {leftover.table} AS t WHERE {leftover.condition} LIMIT %(limit)s
            FOR UPDATE OF t SKIP LOCKED))
    """
    values: dict[str, Any] = {"keep": leftover.keep, "limit": batch}
    while True:
        with bounded(), connection.cursor() as cursor:
            cursor.execute(sql, values)
            count = cursor.rowcount
        yield count
        if count < batch:
            return


def _expected() -> int:
    retention = jobs_settings().retention
    values: dict[str, Any] = {
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
