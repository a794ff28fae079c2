"""What the engine leaves behind beside finished jobs, and until when it is kept."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from jobs.conf import jobs_settings
from jobs.maintenance.batches import bounded
from jobs.maintenance.instant import BEFORE
from jobs.workflow_failures import NOT_STARTED

_WEEK = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """Rows ``t`` of a table that go when they are older than ``keep``."""

    name: str
    table: str
    keep: timedelta
    #: In SQL: it is older.
    old: str
    #: In SQL: a job ``j`` because of which it is kept all the same; empty: there is no such.
    needed_by: str = ""

    def condition(self, jobs: str = "jobs_job") -> str:
        """Return in SQL which rows go, when ``jobs`` is where jobs are."""
        if not self.needed_by:
            return self.old
        return f"{self.old} AND NOT EXISTS (SELECT 1 FROM {jobs} AS j WHERE {self.needed_by})"

    def values(self, as_of: datetime | None) -> dict[str, Any]:
        """Return the values of its conditions, counted from ``as_of`` (None: now)."""
        return {"as_of": as_of, "keep": self.keep}

    def delete(self, as_of: datetime | None, batch: int) -> Iterator[int]:
        """Delete rows in batches; those that somebody has locked are left for the next run."""
        sql = f"""
            DELETE FROM {self.table} WHERE ctid = ANY(ARRAY(
                SELECT t.ctid FROM {self.table} AS t WHERE {self.condition()} LIMIT %(limit)s
                FOR UPDATE OF t SKIP LOCKED))
        """
        values = self.values(as_of) | {"limit": batch}
        while True:
            with bounded(), connection.cursor() as cursor:
                cursor.execute(sql, values)
                count = cursor.rowcount
            yield count
            if count < batch:
                return


def leftovers() -> tuple[Leftover, ...]:
    """Return all kinds, in the order in which they go."""
    conf = jobs_settings()
    return (
        # A job that is still there may yet be run again, and must find what it did before.
        Leftover(
            name="effects",
            table="jobs_effect",
            keep=conf.KEEP_EFFECTS,
            old=f"t.state = 'done' AND t.finished_at < {BEFORE}",
            needed_by="j.id = t.job_id",
        ),
        # Those that are not merged yet are not in the totals.
        Leftover(
            name="roll-ups",
            table="jobs_rollup",
            keep=conf.KEEP_ROLLUPS,
            old=f"t.shard = 0 AND t.minute < {BEFORE}",
        ),
        Leftover(
            name="firings",
            table="jobs_firing",
            keep=conf.KEEP_FIRINGS,
            old=f"t.fired_at < {BEFORE}",
        ),
        *_ALWAYS,
    )


_ALWAYS = (
    # What holds jobs together goes with the last of them.
    Leftover(
        name="groups",
        table="jobs_group",
        keep=_WEEK,
        old=f"t.created_at < {BEFORE}",
        needed_by="j.root_id = t.root_id",
    ),
    Leftover(
        name="workflows",
        table="jobs_workflow",
        keep=_WEEK,
        old=f"t.created_at < {BEFORE}",
        needed_by="j.root_id = t.id",
    ),
    Leftover(
        name="results of what was not started",
        table="django_celery_results_taskresult",
        keep=_WEEK,
        old=f"t.worker = '{NOT_STARTED}' AND t.date_done < {BEFORE}",
    ),
    Leftover(
        name="rate counts",
        table="jobs_ratecount",
        keep=timedelta(0),
        old=f"t.expires_at < {BEFORE}",
    ),
    Leftover(
        name="workers",
        table="jobs_worker",
        keep=_WEEK,
        old=f"COALESCE(t.stopped_at, t.heartbeat_at) < {BEFORE}",
        needed_by="j.worker = t.id AND j.state = 'running'",
    ),
    Leftover(
        name="probe runs",
        table="jobs_proberun",
        keep=_WEEK,
        old=f"t.finished_at < {BEFORE}",
    ),
    Leftover(
        name="replays",
        table="jobs_replaybatch",
        keep=timedelta(days=90),
        old=f"t.finished_at < {BEFORE}",
    ),
)
