"""Brings jobs into any state by the engine's own moves, and tells everything known about one."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from threading import Barrier
from typing import Any, TypeVar
from uuid import UUID, uuid4

from django.db import connection, transaction
from django.db.models.functions import Now
from django_celery_results.models import TaskResult

from jobs import transitions
from jobs.models import Attempt, AuditEntry, DeadLetter, Job
from jobs.records import Claimed, Settlement
from jobs.states import Move, State
from jobs.tasks import probe

T = TypeVar("T")

QUEUE = "maintenance"


@dataclass(frozen=True)
class Staged:
    """A job in the state that was asked for, and the lease it last had."""

    id: UUID
    lease: UUID

    @property
    def state(self) -> State:
        """The state it has now."""
        return State(Job.objects.values_list("state", flat=True).get(id=self.id))


def claim(job_id: UUID) -> Claimed:
    """Claim a job that can be claimed."""
    (claimed,) = transitions.claim([job_id], worker=None)
    return claimed


def settle(claimed: Claimed | Staged, move: Move, **fields: Any) -> bool:
    """End an attempt by this move; says whether that counted."""
    if move == Move.DIED:
        fields = {"reason": DeadLetter.Reason.PERMANENT, **fields}
    if move == Move.CRASHED:
        fields = {"crashes": 1, **fields}
    settlement = Settlement(id=claimed.id, lease=claimed.lease, move=move, **fields)
    return claimed.id in transitions.settle([settlement])


def put_into(state: State) -> Staged:
    """Make a job and bring it into this state."""
    if state == State.SCHEDULED:
        return Staged(probe.using(delay=timedelta(hours=1)).enqueue(label="x").id, uuid4())
    job_id = probe.enqueue(label="x").id
    if state == State.AVAILABLE:
        transitions.unpublish([job_id])
    if state in {State.AVAILABLE, State.QUEUED}:
        return Staged(job_id, uuid4())
    claimed = claim(job_id)
    ends = {
        State.SUCCEEDED: Move.SUCCEEDED,
        State.CANCELLED: Move.CANCELLED,
        State.DEAD: Move.DIED,
    }
    if state in ends:
        assert settle(claimed, ends[state])
    return Staged(job_id, claimed.lease)


def let_time_pass(job_id: UUID) -> None:
    """Move the job's times into the past: it is due, and its message is long overdue."""
    past = Now() - timedelta(hours=2)
    Job.objects.filter(id=job_id).update(scheduled_at=past, published_at=past)


def everything_about(job_id: UUID) -> dict[str, list[Any]]:
    """Return all rows of the job, to compare before and after."""
    return {
        "job": list(Job.objects.filter(id=job_id).values()),
        "attempts": list(Attempt.objects.filter(job_id=job_id).values()),
        "letter": list(DeadLetter.objects.filter(job_id=job_id).values()),
        "audit": list(AuditEntry.objects.filter(subject_id=str(job_id)).values()),
        "result": list(TaskResult.objects.filter(task_id=str(job_id)).values()),
    }


def actions(job_id: UUID) -> list[str]:
    """Return what the audit log says happened to the job, in order."""
    entries = AuditEntry.objects.filter(subject_id=str(job_id)).order_by("id")
    return list(entries.values_list("action", flat=True))


def at_once(*calls: Callable[[], T]) -> list[T]:
    """Make these calls at the same moment, each in a thread with its own connection."""
    start = Barrier(len(calls))

    def run(call: Callable[[], T]) -> T:
        try:
            connection.ensure_connection()
            start.wait(30)
            return call()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as threads:
        return [future.result() for future in [threads.submit(run, call) for call in calls]]


def and_undo(call: Callable[[], object]) -> None:
    """Make the call in a transaction that is rolled back."""
    with transaction.atomic():
        call()
        transaction.set_rollback(True)
