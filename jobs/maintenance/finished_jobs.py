"""Deletes finished jobs that are past their retention, with all that belongs to them.

A job is kept, whatever its age, while something may still need it: while its workflow goes on,
waits for a person, or has a part that is not past its retention (a workflow goes as a whole); while
a replay of it is unfinished or waits for a person; while it is the canary of a replay that goes on.
A dead job's time begins with a person's decision.

What would go is found by the same conditions, for all of it in one statement.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from jobs.maintenance.batches import bounded
from jobs.maintenance.instant import BEFORE, THEN
from jobs.states import State

# Of these texts, ``{jobs}`` is where jobs are.

#: By the index jobs_job_finished.
_FINISHED = f"""
    SELECT j.id, j.finished_at AS at, COALESCE(j.root_id, j.id) AS root FROM {{jobs}} AS j
    WHERE j.state = %(state)s AND j.finished_at < {BEFORE}
      AND (j.queue = ANY(%(queues)s)) = %(named)s
"""

#: By the index jobs_deadletter_decided.
_DECIDED = f"""
    SELECT j.id, l.decided_at AS at, COALESCE(j.root_id, j.id) AS root
    FROM jobs_deadletter AS l JOIN {{jobs}} AS j ON j.id = l.job_id
    WHERE l.decision <> '' AND l.decided_at < {BEFORE}
      AND (j.queue = ANY(%(queues)s)) = %(named)s
"""

#: The next batch of them, oldest first.
_FINISHED_BATCH = f"""
    {_FINISHED.format(jobs="jobs_job")} AND (j.finished_at, j.id) > (%(at)s, %(id)s)
    ORDER BY j.finished_at, j.id LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
"""
_DECIDED_BATCH = f"""
    {_DECIDED.format(jobs="jobs_job")} AND (l.decided_at, l.job_id) > (%(at)s, %(id)s)
    ORDER BY l.decided_at, l.job_id LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
"""

#: Says of the job ``w`` that it is unfinished, or dead and waits for a person: now, or then.
_UNSETTLED = f"""
    (w.state IN ('scheduled', 'available', 'queued', 'running') OR w.finished_at >= {THEN}
     OR EXISTS (SELECT 1 FROM jobs_deadletter AS l
                WHERE l.job_id = w.id AND (l.decision = '' OR l.decided_at >= {THEN})))
"""

#: Ids of workflows, and of jobs, that are still needed. ``{roots}`` and ``{ids}`` are which.
_NEEDED = f"""
    SELECT w.root_id AS id FROM {{jobs}} AS w
    WHERE w.root_id {{roots}} AND (w.finished_at >= {BEFORE} OR {_UNSETTLED})
    UNION
    SELECT w.id FROM {{jobs}} AS w WHERE w.id {{roots}} AND {_UNSETTLED}
    UNION
    SELECT w.replay_of_id FROM {{jobs}} AS w WHERE w.replay_of_id {{ids}} AND {_UNSETTLED}
    UNION
    SELECT canary_id FROM jobs_replaybatch
    WHERE canary_id {{ids}} AND (finished_at IS NULL OR finished_at >= {THEN})
"""
_NEEDED_OF_BATCH = _NEEDED.format(jobs="jobs_job", roots="= ANY(%(roots)s)", ids="= ANY(%(ids)s)")

#: What points at a job goes before it. Arrays of ids, so that no statistics mislead the planner.
_DELETE = (
    "DELETE FROM jobs_attempt WHERE job_id = ANY(%(ids)s)",
    "DELETE FROM jobs_deadletter WHERE job_id = ANY(%(ids)s)",
    "DELETE FROM django_celery_results_taskresult WHERE task_id = ANY(%(ids)s::text[])",
    "DELETE FROM jobs_job WHERE id = ANY(%(ids)s)",
)

_BEGINNING = (datetime.min.replace(tzinfo=UTC), UUID(int=0))

_NAMED = re.compile(r"%\((\w+)\)s")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Finished jobs with one retention: of a state, on these queues, or on all but these."""

    state: State
    keep: timedelta
    queues: tuple[str, ...]
    #: False: on all queues but these.
    named: bool

    @property
    def name(self) -> str:
        """What they are called."""
        return f"{self.state} jobs"

    def values(self, as_of: datetime | None) -> dict[str, Any]:
        """Return the values of its statements, counted from ``as_of`` (None: now)."""
        return {
            "as_of": as_of,
            "state": self.state,
            "keep": self.keep,
            "queues": list(self.queues),
            "named": self.named,
        }


def delete_finished(kind: Kind, as_of: datetime | None, batch: int) -> Iterator[int]:
    """Delete in batches, each a transaction of its own; yields how many jobs each has deleted.

    Those that are still needed are looked at once and passed over; those that somebody else has
    locked are left for the next run.
    """
    select = _DECIDED_BATCH if kind.state == State.DEAD else _FINISHED_BATCH
    reached = _BEGINNING
    while True:
        with bounded(), connection.cursor() as cursor:
            values = kind.values(as_of) | {"at": reached[0], "id": reached[1], "limit": batch}
            cursor.execute(select, values)
            rows: list[tuple[UUID, datetime, UUID]] = cursor.fetchall()
            ids = _no_longer_needed(rows, kind.values(as_of))
            for statement in _DELETE if ids else ():
                cursor.execute(statement, {"ids": ids})
        yield len(ids)
        if len(rows) < batch:
            return
        reached = (rows[-1][1], rows[-1][0])


def _no_longer_needed(
    rows: list[tuple[UUID, datetime, UUID]], values: dict[str, Any]
) -> list[UUID]:
    if not rows:
        return []
    roots = {root for _, _, root in rows}
    # A part goes with its root: what keeps that keeps both, in one batch or in two.
    ids = roots | {id_ for id_, _, _ in rows}
    with connection.cursor() as cursor:
        cursor.execute(_NEEDED_OF_BATCH, values | {"ids": list(ids), "roots": list(roots)})
        needed = {row[0] for row in cursor.fetchall()}
    return [id_ for id_, _, root in rows if id_ not in needed and root not in needed]


@dataclass(frozen=True, kw_only=True)
class Going:
    """Queries in SQL, for after ``WITH``: what :func:`delete_finished` would delete, and leave."""

    #: ``gone_0``, ``gone_1``, … of each kind, and ``staying``.
    queries: str
    values: dict[str, Any]


def going(kinds: Sequence[Kind], as_of: datetime | None) -> Going:
    """Return what would go, kind after kind: what has gone with one does not hold the next."""
    queries: list[str] = []
    values: dict[str, Any] = {}
    for number, kind in enumerate(kinds):
        jobs = f"left_{number}"
        select = _DECIDED if kind.state == State.DEAD else _FINISHED
        needed = _NEEDED.format(
            jobs=jobs,
            roots=f"IN (SELECT root FROM old_{number})",
            ids=f"IN (SELECT id FROM old_{number} UNION SELECT root FROM old_{number})",
        )
        text = f"""
            {jobs} AS NOT MATERIALIZED ({_without(number)}),
            old_{number} AS MATERIALIZED ({select.format(jobs=jobs)}),
            needed_{number} AS MATERIALIZED ({needed}),
            gone_{number} AS MATERIALIZED (
                SELECT o.id FROM old_{number} AS o
                WHERE NOT EXISTS (SELECT 1 FROM needed_{number} AS n WHERE n.id = o.id)
                  AND NOT EXISTS (SELECT 1 FROM needed_{number} AS n WHERE n.id = o.root))
        """
        queries.append(_NAMED.sub(rf"%(\1_{number})s", text))
        values |= {f"{name}_{number}": value for name, value in kind.values(as_of).items()}
    queries.append(f"staying AS NOT MATERIALIZED ({_without(len(kinds))})")
    return Going(queries=",".join(queries), values=values)


def _without(kinds: int) -> str:
    """Return the query for the jobs that are there when so many kinds have gone."""
    if not kinds:
        return "SELECT * FROM jobs_job"
    gone = " UNION ALL ".join(f"SELECT id FROM gone_{number}" for number in range(kinds))
    return f"""
        SELECT j.* FROM jobs_job AS j
        WHERE NOT EXISTS (SELECT 1 FROM ({gone}) AS gone WHERE gone.id = j.id)
    """
