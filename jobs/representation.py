"""How jobs and their like look as JSON, in the API and in every command with ``--json``.

Ids are strings, times ISO 8601 with an offset, durations seconds. Secrets are masked, because the
rows hold nothing else.
"""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, PlainSerializer

from jobs.models import AuditEntry, DeadLetter, Job
from jobs.selectors import (
    FailureGroup,
    JobDetail,
    QueueOverview,
    TaskStats,
    TimedAttempt,
    WorkerView,
)

Id = Annotated[UUID, PlainSerializer(str, return_type=str)]
Time = Annotated[datetime, PlainSerializer(lambda at: at.isoformat(), return_type=str)]


class _Row(BaseModel):
    model_config = ConfigDict(from_attributes=True, frozen=True)


class JobRow(_Row):
    """A job in a list."""

    id: Id
    task: str
    queue: str
    state: str
    priority: int
    tenant: str
    correlation_id: str
    enqueued_by: str
    payload: dict[str, Any]
    attempt: int
    failures: int
    crashes: int
    max_attempts: int
    scheduled_at: Time
    enqueued_at: Time
    started_at: Time | None
    finished_at: Time | None
    replay_of_id: Id | None
    progress: dict[str, Any] | None
    error_type: str
    error: str


class AttemptRow(_Row):
    """One execution of a job."""

    number: int
    outcome: str
    started_at: Time
    finished_at: Time
    seconds: float
    worker: str
    error_type: str
    error: str
    traceback: str

    @classmethod
    def of(cls, timed: TimedAttempt) -> "AttemptRow":
        """Represent an attempt."""
        attempt = timed.attempt
        return cls(
            number=attempt.number,
            outcome=attempt.outcome,
            started_at=attempt.started_at,
            finished_at=attempt.finished_at,
            seconds=timed.seconds,
            worker=timed.worker,
            error_type=attempt.error_type,
            error=attempt.error,
            traceback=attempt.traceback,
        )


class AuditRow(_Row):
    """Who did what, and when."""

    id: int
    at: Time
    actor: str
    action: str
    detail: Any


class DeadLetterRow(_Row):
    """A job that died, why, and what a person decided."""

    job_id: Id
    queue: str
    task: str
    tenant: str
    reason: str
    error_type: str
    error: str
    died_at: Time
    decision: str
    decided_by: str
    decided_at: Time | None
    replayed_as_id: Id | None


class JobDetailRow(JobRow):
    """A job with its history."""

    #: Host and process that run it now, or ran it last.
    worker: str
    result: Any
    follows: list[dict[str, Any]] | None
    attempts: list[AttemptRow]
    audit: list[AuditRow]
    dead_letter: DeadLetterRow | None
    replays: list[Id]

    @classmethod
    def of(cls, detail: JobDetail) -> "JobDetailRow":
        """Represent a job with its history."""
        job = JobRow.model_validate(detail.job)
        letter = detail.dead_letter
        return cls(
            **dict(job),
            worker=detail.worker,
            result=detail.job.result,
            follows=detail.job.follows,
            attempts=[AttemptRow.of(timed) for timed in detail.attempts],
            audit=[AuditRow.model_validate(entry) for entry in detail.audit],
            dead_letter=DeadLetterRow.model_validate(letter) if letter else None,
            replays=[replay.id for replay in detail.replays],
        )


class QueueRow(_Row):
    """How a queue is doing; what ended is counted over the last hour."""

    name: str
    purpose: str
    paused: bool
    paused_at: Time | None
    paused_by: str
    scheduled: int
    available: int
    queued: int
    running: int
    oldest_due_seconds: float | None
    succeeded_last_hour: int
    cancelled_last_hour: int
    dead_last_hour: int
    dead_letters: int
    workers: int
    slots: int

    @classmethod
    def of(cls, queue: QueueOverview) -> "QueueRow":
        """Represent a queue."""
        depth = {state.value: count for state, count in queue.depth.items()}
        hour = {
            f"{s}_last_hour": sum(getattr(m, s) for m in queue.minutes)
            for s in ("succeeded", "cancelled", "dead")
        }
        return cls(
            name=queue.name,
            purpose=queue.declared.purpose if queue.declared else "",
            paused=queue.is_paused,
            paused_at=queue.paused_at,
            paused_by=queue.paused_by,
            oldest_due_seconds=queue.oldest_due_seconds,
            dead_letters=queue.dead_letters,
            workers=queue.workers,
            slots=queue.slots,
            **depth,
            **hour,
        )


class RunningRow(_Row):
    """A job that a worker runs now."""

    id: Id
    task: str
    queue: str
    tenant: str
    attempt: int
    started_at: Time | None
    seconds: float
    progress: dict[str, Any] | None


class WorkerRow(_Row):
    """A worker and what it does."""

    id: Id
    host: str
    pid: int
    queues: list[str]
    pool: str
    concurrency: int
    started_at: Time
    heartbeat_at: Time
    silent_seconds: float
    alive: bool
    running: list[RunningRow]

    @classmethod
    def of(cls, view: WorkerView) -> "WorkerRow":
        """Represent a worker."""
        worker = view.worker
        return cls(
            id=worker.id,
            host=worker.host,
            pid=worker.pid,
            queues=worker.queues,
            pool=worker.pool,
            concurrency=worker.concurrency,
            started_at=worker.started_at,
            heartbeat_at=worker.heartbeat_at,
            silent_seconds=view.silent_seconds,
            alive=view.is_alive,
            running=[RunningRow.model_validate(running) for running in view.running],
        )


class FailureRow(_Row):
    """Attempts that failed alike."""

    task: str
    queue: str
    error_type: str
    outcome: str
    times: int
    jobs: int
    last_at: Time
    last_error: str
    last_job: Id


class StatsRow(_Row):
    """Jobs of one task, queue and state. Times are seconds."""

    task: str
    queue: str
    state: str
    count: int
    wait_median: float | None
    wait_p95: float | None
    run_median: float | None
    run_p95: float | None


_ROWS: dict[type, type[_Row]] = {
    Job: JobRow,
    DeadLetter: DeadLetterRow,
    AuditEntry: AuditRow,
    FailureGroup: FailureRow,
    TaskStats: StatsRow,
}


def row_of(item: object) -> _Row:
    """Represent whatever a selector returned; raises ``KeyError`` for anything else."""
    match item:
        case JobDetail():
            return JobDetailRow.of(item)
        case QueueOverview():
            return QueueRow.of(item)
        case WorkerView():
            return WorkerRow.of(item)
        case _:
            return _ROWS[type(item)].model_validate(item)


def as_json(item: object) -> dict[str, Any]:
    """Represent whatever a selector returned as what ``json.dumps`` takes."""
    return row_of(item).model_dump(mode="json")
