"""What PostgreSQL knows of all jobs at a moment, and how it is made believe that time has passed."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.db import connection

from jobs.rollups import EVER
from jobs.sql import fetch


class Row(NamedTuple):
    """A job's row."""

    id: UUID
    task: str
    queue: str
    tenant: str
    priority: int
    state: str
    attempt: int
    failures: int
    crashes: int
    max_attempts: int
    timeout: int
    lease: UUID | None
    lease_until: datetime | None
    worker: UUID | None
    parked: bool
    gate: str
    gates: tuple[str, ...]
    seat: int
    unique_key: str
    parent_id: UUID | None
    replay_of_id: UUID | None
    scheduled_at: datetime
    expires_at: datetime | None
    enqueued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None


@dataclass(frozen=True)
class Tables:
    """All that was committed."""

    now: datetime
    jobs: dict[UUID, Row]
    #: What the audit log says happened to each job, in order, without ``job.``.
    told: dict[UUID, list[str]]
    #: At which gates it says that each job was parked, in order.
    gates: dict[UUID, list[str]]
    #: Number and outcome of each job's attempts.
    attempts: dict[UUID, list[tuple[int, str]]]
    #: What was decided about each dead letter; empty: nothing yet.
    letters: dict[UUID, str]
    #: What Celery's results say.
    statuses: dict[UUID, str]
    #: What the roll-ups say: how many ended by outcome and state.
    counted: Counter[tuple[str, str]]


_JOBS = f"""
    SELECT {", ".join(f"j.{name}" for name in Row._fields)},
           ARRAY(SELECT a.number FROM jobs_attempt AS a WHERE a.job_id = j.id ORDER BY a.id),
           ARRAY(SELECT a.outcome FROM jobs_attempt AS a WHERE a.job_id = j.id ORDER BY a.id),
           (SELECT l.decision FROM jobs_deadletter AS l WHERE l.job_id = j.id),
           (SELECT r.status FROM django_celery_results_taskresult AS r WHERE r.task_id = j.id::text)
    FROM jobs_job AS j ORDER BY j.id
"""
_AUDIT = """
    SELECT subject_id::uuid, array_agg(action ORDER BY id),
           array_agg(detail->>'gate' ORDER BY id) FILTER (WHERE action = 'job.parked')
    FROM jobs_auditentry WHERE subject_type = 'job' GROUP BY subject_id
"""

_COUNTED = f"""
    SELECT outcome, state, sum(count)::int FROM ({EVER}) AS ever GROUP BY outcome, state
"""


def clock() -> datetime:
    """Return the database's time."""
    ((now,),) = fetch("SELECT clock_timestamp()")
    assert isinstance(now, datetime)
    return now


def read() -> Tables:
    """Read everything."""
    tables = Tables(clock(), {}, defaultdict(list), defaultdict(list), {}, {}, {}, Counter())
    for *values, numbers, outcomes, decision, status in fetch(_JOBS):
        row = Row(*values)
        tables.jobs[row.id] = row._replace(gates=tuple(json.loads(str(row.gates or "[]"))))
        if numbers:
            tables.attempts[row.id] = list(zip(numbers, outcomes, strict=True))
        if decision is not None:
            tables.letters[row.id] = decision
        if status is not None:
            tables.statuses[row.id] = status
    for job_id, actions, gates in fetch(_AUDIT):
        tables.told[job_id] = [action.removeprefix("job.") for action in actions]
        tables.gates[job_id] = gates or []
    for outcome, state, count in fetch(_COUNTED):
        tables.counted[outcome, state] = count
    return tables


def empty() -> None:
    """Delete all jobs and what belongs to them."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")  # append-only tables too
        cursor.execute(
            "TRUNCATE jobs_job, jobs_auditentry, jobs_attempt, jobs_deadletter, jobs_workflow,"
            " jobs_rollup, jobs_rolluptotal, jobs_worker, jobs_queuestate, jobs_limitoverride, jobs_ratecount,"
            " django_celery_results_taskresult CASCADE"
        )
        cursor.execute("SET session_replication_role = origin")


_TIMES = (
    "scheduled_at", "published_at", "expires_at", "enqueued_at", "started_at", "finished_at",
    "lease_until", "cancel_requested_at",
)  # fmt: skip
_FAR = timedelta(days=10_000)


def let_time_pass(time: timedelta) -> None:
    """Move every instant into the past by so much. Nobody may hold a row."""
    moved = ", ".join(f"{name} = {name} - make_interval(secs => %(s)s)" for name in _TIMES)
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE jobs_job SET {moved}", {"s": time.total_seconds()})
        cursor.execute(
            "UPDATE jobs_worker SET heartbeat_at = heartbeat_at - make_interval(secs => %s)",
            [time.total_seconds()],
        )
        # In two steps, so that no slice comes by the place of another.
        for step in (time - _FAR, _FAR):
            cursor.execute(
                "UPDATE jobs_ratecount SET slice_at = slice_at - make_interval(secs => %(s)s),"
                " expires_at = expires_at - make_interval(secs => %(s)s)",
                {"s": step.total_seconds()},
            )
