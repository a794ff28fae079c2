"""Jobs as JSON, with their attempts and their history."""

from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field, computed_field

from jobs.models import Job
from jobs.representation.dead_letters import DeadLetterRow
from jobs.representation.rows import Id, Row, Time, fields_of
from jobs.selectors import JobDetail, TimedAttempt, gate_in_words


class JobRow(Row):
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
        return cls(**fields_of(row), is_twin=job.is_twin if is_twin is None else is_twin)


class AttemptRow(Row):
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


class AuditRow(Row):
    """Who did what, and when."""

    id: int
    at: Time
    actor: str
    action: str
    detail: Any


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
            **fields_of(job),
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
