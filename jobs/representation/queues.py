"""Queues, their limits, their workers and their figures as JSON."""

from typing import Any

from jobs.representation.rows import Id, Row, Time
from jobs.selectors import Count, LimitView, QueueOverview, WorkerView


class QueueRow(Row):
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
    #: What the waiting figures are, of deep queues: ``exact``, ``about`` (counted by a keeper a
    #: moment ago) or ``at_least``.
    depth_is: str
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
            depth_is=Count.of(queue.depth.values()).certainty.name.lower(),
            oldest_due_seconds=queue.oldest_due_seconds,
            dead_letters=queue.dead_letters,
            workers=queue.workers,
            slots=queue.slots,
            **depth,
            **hour,
        )


class LimitRow(Row):
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


class RunningRow(Row):
    """A job that a worker runs now."""

    id: Id
    task: str
    queue: str
    tenant: str
    attempt: int
    started_at: Time | None
    seconds: float
    progress: dict[str, Any] | None


class WorkerRow(Row):
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


class FailureRow(Row):
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


class StatsRow(Row):
    """Attempts of one task and queue that ended alike. Times are seconds, estimated."""

    task: str
    queue: str
    #: How the attempts ended; empty: the jobs ended without one.
    outcome: str
    #: What became of the jobs: ``scheduled`` and ``available`` ones are tried again.
    state: str
    count: int
    wait_median: float | None
    wait_p95: float | None
    wait_p99: float | None
    run_median: float | None
    run_p95: float | None
    run_p99: float | None
