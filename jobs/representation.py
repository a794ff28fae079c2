"""How jobs and their like look as JSON, in the API and in every command with ``--json``.

Ids are strings, times ISO 8601 with an offset, durations seconds. Secrets are masked, because the
rows hold nothing else.
"""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    computed_field,
)

from jobs.models import AuditEntry, DeadLetter, Job, ReplayBatch
from jobs.selectors import (
    DeadLetterGroup,
    FailureGroup,
    JobDetail,
    LimitView,
    QueueOverview,
    Stage,
    TaskStats,
    TimedAttempt,
    WorkerView,
    WorkflowDetail,
    WorkflowView,
    gate_in_words,
)
from jobs.selectors.workflows import Counts

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
    #: Not worth running after it.
    expires_at: Time | None
    enqueued_at: Time
    started_at: Time | None
    finished_at: Time | None
    replay_of_id: Id | None
    #: Whoever enqueues another like it, while it is unfinished at least, gets this one.
    unique: Annotated[
        bool, BeforeValidator(bool), Field(validation_alias=AliasChoices("unique", "unique_key"))
    ]
    #: It waits for a limit, at this gate: the limit's name, and what tells its gates apart.
    parked: bool
    gate: str
    progress: dict[str, Any] | None
    error_type: str
    error: str

    @computed_field
    def waits_at(self) -> str:
        """The limit it waits for, in words; empty when it waits for none."""
        return gate_in_words(self.gate) if self.parked else ""


class EnqueuedRow(JobRow):
    """The job that an enqueueing led to."""

    #: It was there already: a job is unique, and one like it is unfinished or was a moment ago.
    is_twin: bool

    @classmethod
    def of(cls, job: Job, *, is_twin: bool | None = None) -> "EnqueuedRow":
        """Represent what an enqueueing returned; ``is_twin`` of a job that was read anew."""
        row = JobRow.model_validate(job)
        return cls(**_fields(row), is_twin=job.is_twin if is_twin is None else is_twin)


def _fields(row: BaseModel) -> dict[str, Any]:
    return {name: getattr(row, name) for name in type(row).model_fields}


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


class DeadLetterGroupRow(_Row):
    """Dead letters that died alike."""

    task: str
    queue: str
    reason: str
    error_type: str
    count: int
    oldest: Time
    newest: Time


class ReplayRow(_Row):
    """A replay of many dead letters, and how far it is."""

    id: int
    #: ``canary``, ``running``, ``done`` or ``stopped``.
    state: str
    #: Which dead letters.
    filters: dict[str, Any]
    total: int
    replayed: int
    refused: int
    #: How many were refused for each reason.
    refusals: dict[str, int]
    #: The job that went first; the job that does the rest.
    canary_id: Id | None
    job_id: Id | None
    created_by: str
    created_at: Time
    finished_at: Time | None
    note: str


class JobDetailRow(JobRow):
    """A job with its history."""

    #: Host and process that run it now, or ran it last.
    worker: str
    #: The workflow that it belongs to.
    workflow: Id | None
    result: Any
    #: The limits it passes when it is claimed, in words.
    gates: list[str]
    follows: list[dict[str, Any]]
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
            **_fields(job),
            worker=detail.worker,
            workflow=detail.job.root_id,
            result=detail.job.result,
            gates=detail.gates,
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
    #: Those of the available ones that wait for a limit.
    parked: int
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
            parked=queue.parked,
            oldest_due_seconds=queue.oldest_due_seconds,
            dead_letters=queue.dead_letters,
            workers=queue.workers,
            slots=queue.slots,
            **depth,
            **hour,
        )


class LimitRow(_Row):
    """A limit: what is in force, who set it, and what passes and waits."""

    name: str
    #: The queue or the task that declares it.
    owner: str
    #: ``rate`` (starts in a period) or ``concurrency`` (jobs at the same time).
    kind: str
    #: The argument, or ``tenant``, for each value of which it holds apart; empty: for all.
    by: str
    #: Of a rate, in seconds.
    period: float | None
    #: In force; null: no limit.
    value: int | None
    declared: int
    #: Whose word it is: ``declared``, ``settings`` or ``operator``.
    source: str
    changed_by: str
    changed_at: Time | None
    #: Passed in the present period, or running now; by a key: at the value that has most of them.
    used: int
    used_in_all: int
    keys: int
    #: Jobs that are parked at it.
    waiting: int
    in_words: str

    @classmethod
    def of(cls, view: LimitView) -> "LimitRow":
        """Represent a limit."""
        return cls(
            name=view.name,
            owner=view.owner,
            kind=view.kind,
            by=view.by,
            period=view.period,
            value=view.value,
            declared=view.declared.limit,
            source=view.source,
            changed_by=view.changed_by,
            changed_at=view.changed_at,
            used=view.used,
            used_in_all=view.used_in_all,
            keys=view.keys,
            waiting=view.waiting,
            in_words=view.in_words,
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


class WorkflowRow(_Row):
    """A workflow, and how far it is."""

    id: Id
    name: str
    #: ``running``, ``succeeded``, ``failed`` or ``cancelled``.
    state: str
    tenant: str
    correlation_id: str
    started_by: str
    created_at: Time
    finished_at: Time | None
    cancelled_at: Time | None
    #: Jobs: those that it takes when all goes well, and how many are where.
    total: int
    done: int
    running: int
    waiting: int
    dead: int
    cancelled: int
    #: Dead jobs whose replay has taken their place.
    replaced: int

    @classmethod
    def of(cls, view: WorkflowView) -> "WorkflowRow":
        """Represent a workflow."""
        return cls(**_of_workflow(view))


class StageRow(_Row):
    """Jobs of a workflow that began side by side."""

    tasks: list[str]
    is_group: bool
    done: int
    running: int
    waiting: int
    dead: int
    cancelled: int
    replaced: int
    #: Those that went wrong first; not all of a large stage.
    jobs: list[JobRow]

    @classmethod
    def of(cls, stage: Stage) -> "StageRow":
        """Represent a stage."""
        return cls(
            tasks=stage.tasks,
            is_group=stage.is_group,
            jobs=[JobRow.model_validate(job) for job in stage.jobs],
            **_counted(stage.counts),
        )


class WorkflowDetailRow(WorkflowRow):
    """A workflow with its stages, in the order in which they began."""

    stages: list[StageRow]
    #: What is still to be started, and how often.
    to_come: dict[str, int]

    @classmethod
    def of(cls, detail: WorkflowDetail) -> "WorkflowDetailRow":  # type: ignore[override] # more
        """Represent a workflow with its stages."""
        return cls(
            stages=[StageRow.of(stage) for stage in detail.stages],
            to_come=dict(detail.to_come),
            **_of_workflow(detail.view),
        )


def _of_workflow(view: WorkflowView) -> dict[str, Any]:
    workflow = view.workflow
    return {
        "id": workflow.id,
        "name": workflow.name,
        "state": view.state,
        "tenant": workflow.tenant,
        "correlation_id": workflow.correlation_id,
        "started_by": workflow.started_by,
        "created_at": workflow.created_at,
        "finished_at": view.finished_at,
        "cancelled_at": workflow.cancelled_at,
        "total": view.total,
        **_counted(view.counts),
    }


def _counted(counts: Counts) -> dict[str, int]:
    numbers = asdict(counts)
    return {"done": numbers.pop("succeeded"), **numbers}


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
    DeadLetterGroup: DeadLetterGroupRow,
    ReplayBatch: ReplayRow,
    AuditEntry: AuditRow,
    FailureGroup: FailureRow,
    TaskStats: StatsRow,
}


def row_of(item: object) -> _Row:
    """Represent whatever a selector returned; raises ``KeyError`` for anything else."""
    match item:
        case JobDetail():
            return JobDetailRow.of(item)
        case LimitView():
            return LimitRow.of(item)
        case QueueOverview():
            return QueueRow.of(item)
        case WorkerView():
            return WorkerRow.of(item)
        case WorkflowView():
            return WorkflowRow.of(item)
        case WorkflowDetail():
            return WorkflowDetailRow.of(item)
        case _:
            return _ROWS[type(item)].model_validate(item)


def as_json(item: object) -> dict[str, Any]:
    """Represent whatever a selector returned as what ``json.dumps`` takes."""
    return row_of(item).model_dump(mode="json")
