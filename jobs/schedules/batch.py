"""What a look of the scheduler writes: history, jobs and plans of many schedules, by statements."""

import json
from collections.abc import Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from jobs.enqueue import Prepared, insert_prepared
from jobs.models import Schedule
from jobs.schedules.models import Outcome
from jobs.sql import fetch


@dataclass(kw_only=True)
class Batch:
    """Schedules that are seen to together, and what will be written."""

    now: datetime
    #: Schedules whose last job is unfinished.
    busy: set[int]
    firings: list[dict[str, Any]] = field(default_factory=list)
    #: The jobs of firings, by their ids.
    jobs: dict[str, Prepared] = field(default_factory=dict)
    plans: list[dict[str, Any]] = field(default_factory=list)


def row_of(
    schedule: Schedule, due_at: datetime, batch: Batch, outcome: Outcome, reason: str, **more: Any
) -> dict[str, Any]:
    """Return the line of history of an instant."""
    return {
        "schedule_id": schedule.pk,
        "name": schedule.periodic_task.name,
        "due_at": text_of(due_at),
        "fired_at": text_of(batch.now),
        "outcome": outcome.value,
        "reason": reason,
        "instants": 1,
        "job_id": None,
    } | more


def plan_of(
    schedule: Schedule, seen_to: datetime, next_at: datetime | None, *, problem: str = ""
) -> dict[str, Any]:
    """Return what a schedule's rows will say: what was seen to, and when it is due next."""
    return {
        "id": schedule.pk,
        "seen_to": text_of(seen_to),
        "next_at": None if next_at is None else text_of(next_at),
        "problem": problem,
        "fired": 0,
        "ended": False,
        "last_due_at": None,
        "last_job_id": None,
    }


def text_of(instant: datetime) -> str:
    """Return the instant as JSON has it."""
    return instant.isoformat()


_FIRINGS = """
    INSERT INTO jobs_firing (schedule_id, name, due_at, fired_at, outcome, reason, instants, job_id)
    SELECT schedule_id, name, due_at, fired_at, outcome, reason, instants, job_id
    FROM jsonb_to_recordset(%s::jsonb) AS r
        (schedule_id int, name text, due_at timestamptz, fired_at timestamptz, outcome text,
         reason text, instants int, job_id uuid)
    ON CONFLICT (schedule_id, due_at, by_hand) DO NOTHING
    RETURNING job_id::text
"""
_TWIN = """
    UPDATE jobs_firing SET job_id = %s::uuid, reason = %s WHERE job_id = %s::uuid RETURNING id
"""
# Before the plans: it may switch a schedule off, which the trigger would have planned once more.
_RUNS = """
    UPDATE django_celery_beat_periodictask AS p
    SET last_run_at = r.last_due_at, total_run_count = p.total_run_count + r.fired,
        enabled = p.enabled AND NOT r.ended
    FROM jsonb_to_recordset(%s::jsonb) AS r
        (id int, fired int, ended boolean, last_due_at timestamptz)
    WHERE p.id = r.id AND (r.fired > 0 OR r.ended)
    RETURNING p.id
"""
_PLANS = """
    UPDATE jobs_schedule AS s
    SET next_at = r.next_at, wake_at = r.next_at, plan_after = r.seen_to, stale = false,
        problem = r.problem,
        last_due_at = COALESCE(r.last_due_at, s.last_due_at),
        last_job_id = COALESCE(r.last_job_id, s.last_job_id)
    FROM jsonb_to_recordset(%s::jsonb) AS r
        (id int, next_at timestamptz, seen_to timestamptz, problem text, last_due_at timestamptz,
         last_job_id uuid)
    WHERE s.periodic_task_id = r.id
    RETURNING s.periodic_task_id
"""


def write(batch: Batch) -> None:
    """Write history, jobs and plans, in the caller's transaction."""
    if batch.firings:
        new = {row[0] for row in fetch(_FIRINGS, [json.dumps(batch.firings)])}
        _forget(batch, batch.jobs.keys() - new)
        twins = insert_prepared([job for id_, job in batch.jobs.items() if id_ in new])
        for id_, twin in twins.items():
            _name_twin(batch, id_, twin)
    plans = json.dumps(batch.plans)
    fetch(_RUNS, [plans])
    fetch(_PLANS, [plans])


def _forget(batch: Batch, known: Set[str]) -> None:
    """Leave out jobs of instants that are in the history already: they were fired before."""
    batch.firings = [one for one in batch.firings if one["job_id"] not in known]
    for plan in batch.plans:
        if plan["last_job_id"] in known:
            plan |= {"fired": 0, "last_job_id": None}


def _name_twin(batch: Batch, id_: str, twin: str) -> None:
    """Have the firing and its schedule name the unique job that is there already."""
    fetch(_TWIN, [twin, "an equal job was there already", id_])
    for one in (*batch.plans, *batch.firings):
        for key in ("last_job_id", "job_id"):
            if one.get(key) == id_:
                one[key] = twin
