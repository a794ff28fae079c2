"""Deletes finished jobs that are past their retention, with all that belongs to them.

A job is kept, whatever its age, while something may still need it: while its workflow goes on,
waits for a person, or has a part that is not past its retention (a workflow goes as a whole); while
a replay of it is unfinished or waits for a person; while it is the canary of a replay that goes on.
A dead job's time begins with a person's decision.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from jobs.maintenance.batches import bounded
from jobs.states import State

#: Oldest first, by the index jobs_job_finished.
_FINISHED = """
    SELECT id, finished_at, COALESCE(root_id, id) FROM jobs_job
    WHERE state = %(state)s AND finished_at < now() - %(keep)s
      AND (queue = ANY(%(queues)s)) = %(named)s AND (finished_at, id) > (%(at)s, %(id)s)
    ORDER BY finished_at, id LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
"""

#: Oldest decision first, by the index jobs_deadletter_decided.
_DECIDED = """
    SELECT j.id, l.decided_at, COALESCE(j.root_id, j.id)
    FROM jobs_deadletter AS l JOIN jobs_job AS j ON j.id = l.job_id
    WHERE l.decision <> '' AND l.decided_at < now() - %(keep)s
      AND (j.queue = ANY(%(queues)s)) = %(named)s AND (l.decided_at, l.job_id) > (%(at)s, %(id)s)
    ORDER BY l.decided_at, l.job_id LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
"""

#: Says of the job ``w`` that it is unfinished, or dead and waits for a person.
_UNSETTLED = """
    (w.state IN ('scheduled', 'available', 'queued', 'running')
     OR EXISTS (SELECT 1 FROM jobs_deadletter AS l WHERE l.job_id = w.id AND l.decision = ''))
"""

#: Ids of workflows, and of jobs, that are still needed.
_NEEDED = f"""
    SELECT w.root_id FROM jobs_job AS w
    WHERE w.root_id = ANY(%(roots)s) AND (w.finished_at >= now() - %(keep)s OR {_UNSETTLED})
    UNION
    SELECT w.id FROM jobs_job AS w WHERE w.id = ANY(%(roots)s) AND {_UNSETTLED}
    UNION
    SELECT w.replay_of_id FROM jobs_job AS w WHERE w.replay_of_id = ANY(%(ids)s) AND {_UNSETTLED}
    UNION
    SELECT canary_id FROM jobs_replaybatch WHERE canary_id = ANY(%(ids)s) AND finished_at IS NULL
"""

#: What points at a job goes before it. Arrays of ids, so that no statistics mislead the planner.
_DELETE = (
    "DELETE FROM jobs_attempt WHERE job_id = ANY(%(ids)s)",
    "DELETE FROM jobs_deadletter WHERE job_id = ANY(%(ids)s)",
    "DELETE FROM django_celery_results_taskresult WHERE task_id = ANY(%(ids)s::text[])",
    "DELETE FROM jobs_job WHERE id = ANY(%(ids)s)",
)

_BEGINNING = (datetime.min.replace(tzinfo=UTC), UUID(int=0))


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Finished jobs with one retention: of a state, on these queues, or on all but these."""

    state: State
    keep: timedelta
    queues: tuple[str, ...]
    #: False: on all queues but these.
    named: bool


def delete_finished(kind: Kind, batch: int) -> Iterator[int]:
    """Delete in batches, each a transaction of its own; yields how many jobs each has deleted.

    Those that are still needed are looked at once and passed over; those that somebody else has
    locked are left for the next run.
    """
    select = _DECIDED if kind.state == State.DEAD else _FINISHED
    reached = _BEGINNING
    while True:
        with bounded(), connection.cursor() as cursor:
            values: dict[str, Any] = {
                "state": kind.state,
                "keep": kind.keep,
                "queues": list(kind.queues),
                "named": kind.named,
                "at": reached[0],
                "id": reached[1],
                "limit": batch,
            }
            cursor.execute(select, values)
            rows: list[tuple[UUID, datetime, UUID]] = cursor.fetchall()
            ids = _no_longer_needed(rows, kind.keep)
            for statement in _DELETE if ids else ():
                cursor.execute(statement, {"ids": ids})
        yield len(ids)
        if len(rows) < batch:
            return
        reached = (rows[-1][1], rows[-1][0])


def _no_longer_needed(rows: list[tuple[UUID, datetime, UUID]], keep: timedelta) -> list[UUID]:
    if not rows:
        return []
    values: dict[str, Any] = {
        "ids": [id_ for id_, _, _ in rows],
        "roots": list({root for _, _, root in rows}),
        "keep": keep,
    }
    with connection.cursor() as cursor:
        cursor.execute(_NEEDED, values)
        needed = {row[0] for row in cursor.fetchall()}
    return [id_ for id_, _, root in rows if id_ not in needed and root not in needed]
