"""What PostgreSQL knows of all jobs at a moment, and how it is made believe that time has passed."""

import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.db import connection

from tests.conftest import query


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
    #: Number and outcome of each job's attempts.
    attempts: dict[UUID, list[tuple[int, str]]]
    #: What was decided about the dead letters; empty: nothing yet.
    letters: dict[UUID, str]
    #: What Celery's results say.
    statuses: dict[UUID, str]


def clock() -> datetime:
    """Return the database's time."""
    ((now,),) = query("SELECT clock_timestamp()")
    assert isinstance(now, datetime)
    return now


def read() -> Tables:
    """Read everything."""
    jobs = {}
    for values in query(f"SELECT {', '.join(Row._fields)} FROM jobs_job ORDER BY id"):
        row = Row(*values)
        jobs[row.id] = row._replace(gates=tuple(json.loads(values[16] or "[]")))
    told: dict[UUID, list[str]] = defaultdict(list)
    for subject, action in query(
        "SELECT subject_id, action FROM jobs_auditentry WHERE subject_type = 'job' ORDER BY id"
    ):
        told[UUID(subject)].append(action.removeprefix("job."))
    attempts: dict[UUID, list[tuple[int, str]]] = defaultdict(list)
    for job_id, number, outcome in query(
        "SELECT job_id, number, outcome FROM jobs_attempt ORDER BY number"
    ):
        attempts[job_id].append((number, outcome))
    letters = dict(query("SELECT job_id, decision FROM jobs_deadletter"))
    results = query("SELECT task_id, status FROM django_celery_results_taskresult")
    return Tables(
        now=clock(),
        jobs=jobs,
        told=told,
        attempts=attempts,
        letters=letters,
        statuses={UUID(task_id): status for task_id, status in results},
    )


def empty() -> None:
    """Delete all jobs and what belongs to them."""
    tables = [
        name for name in connection.introspection.table_names() if name.startswith("jobs_")
    ] + ["django_celery_results_taskresult"]
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")  # append-only tables too
        cursor.execute(f"TRUNCATE {', '.join(tables)} CASCADE")
        cursor.execute("SET session_replication_role = origin")


_JOB_TIMES = (
    "scheduled_at", "published_at", "expires_at", "enqueued_at", "started_at", "finished_at",
    "lease_until", "cancel_requested_at",
)  # fmt: skip


def let_time_pass(time: timedelta) -> None:
    """Move every instant into the past by so much. Nobody may hold a row."""
    moved = ", ".join(f"{name} = {name} - %(time)s" for name in _JOB_TIMES)
    far = timedelta(days=10_000)
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE jobs_job SET {moved}", {"time": time})
        cursor.execute("UPDATE jobs_worker SET heartbeat_at = heartbeat_at - %s", [time])
        # In two steps, so that no slice comes by the place of another.
        for step in (time - far, far):
            cursor.execute(
                "UPDATE jobs_ratecount SET slice_at = slice_at - %s, expires_at = expires_at - %s",
                [step, step],
            )
