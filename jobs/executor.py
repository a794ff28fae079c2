"""Carrying jobs: claim, run, settle. It reads top-down as the life of an attempt."""

import json
import os
import time
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import structlog
from celery.exceptions import Ignore, Retry
from django.db import InterfaceError, OperationalError, connection, transaction

from jobs import payload, transitions
from jobs.context import job_context
from jobs.enqueue import enqueue_next
from jobs.errors import LeaseLost, PermanentError, UnknownTask
from jobs.queues import get_queue
from jobs.retry import settlement_of
from jobs.running import RunningJob, current
from jobs.states import Move, State
from jobs.task import JobTask, get_task
from jobs.transitions import Claimed, Settlement

log = structlog.get_logger(__name__)

#: Seconds between tries to write a settlement while PostgreSQL restarts.
_SETTLE_AGAIN_AFTER = (0.05, 0.5, 2.0, *[5.0] * 120)


class JobFailed(Exception):
    """What Celery and Flower see of a dead job; the reason is on its row, not in Redis."""


class TaskExited(Exception):
    """A body must not end its worker: it failed."""


def this_worker() -> UUID | None:
    """Return the id of the worker this process belongs to, or None outside of one."""
    named = os.environ.get("JOBS_WORKER_ID")
    return UUID(named) if named else None


def answer_message(job_id: str) -> None:
    """Carry the job of a Celery message, and tell Celery how it ended.

    Raises:
        Ignore: somebody else carries it, or it needs no carrying: a duplicate or late message.
        Retry: it is scheduled again. JobFailed: it is dead.
    """
    settlements = carry([job_id], worker=this_worker())
    if not settlements:
        raise Ignore
    (settlement,) = settlements
    if settlement.state in {State.SCHEDULED, State.AVAILABLE}:
        raise Retry(message="scheduled again", exc=None, when=None)
    if settlement.state == State.CANCELLED:
        raise Ignore
    if settlement.state == State.DEAD:
        raise JobFailed(f"{settlement.error_type}; see job {settlement.id}")


def carry(ids: Iterable[UUID | str], *, worker: UUID | None) -> list[Settlement]:
    """Claim these jobs and run to their settlement those that this process got.

    Returns the settlements that counted; a job taken back meanwhile is not among them.
    """
    wanted = list(ids)
    settled = []
    for job in _claim(wanted, worker):
        settlement = _run(job, worker)
        if settlement is not None:
            settled.append(settlement)
    return settled


def _claim(ids: list[UUID | str], worker: UUID | None) -> list[Claimed]:
    try:
        return transitions.claim(ids, worker=worker)
    except (OperationalError, InterfaceError):
        # The connection kept from the last job was cut while idle. If the cut came after the
        # claim was written, the second try finds nothing and the lifeline takes the job back.
        if connection.in_atomic_block:
            raise
        connection.close()
        return transitions.claim(ids, worker=worker)


def _run(job: Claimed, worker: UUID | None) -> Settlement | None:
    began = time.monotonic()
    names = {"job_id": str(job.id), "task": job.task, "queue": job.queue, "attempt": job.attempt}
    with (
        job_context(tenant=job.tenant, correlation_id=job.correlation_id, actor=f"job:{job.id}"),
        structlog.contextvars.bound_contextvars(**names),
    ):
        log.info("job_started", waited=round(job.waited, 3))
        try:
            settlement = _attempt(job, worker)
        except LeaseLost:
            log.warning("job_lost", reason="taken back while it ran; its outcome was refused")
            return None
        log.info(
            "job_settled",
            outcome=settlement.move.value,
            state=settlement.state.value,
            duration=round(time.monotonic() - began, 3),
            **({"error_type": settlement.error_type} if settlement.error_type else {}),
        )
        return settlement


def _attempt(job: Claimed, worker: UUID | None) -> Settlement:
    """Run the body and settle what came of it; raises :class:`LeaseLost`."""
    secrets: list[str] = []
    try:
        task = get_task(job.task)
    except UnknownTask as error:
        settlement = settlement_of(job, PermanentError(str(error)), get_queue(job.queue).backoff)
        _settle(job, settlement)
        return settlement
    try:
        arguments, secrets = payload.unseal(
            task.definition.arguments, job.task, job.payload, job.secrets
        )
        if task.definition.atomic:
            with transaction.atomic():
                settlement = _succeeded(job, _call(task, job, worker, arguments))
                _settle(job, settlement)
        else:
            settlement = _succeeded(job, _call(task, job, worker, arguments))
            _settle(job, settlement)
    except LeaseLost:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a task raises is settled
        settlement = settlement_of(
            job, error, task.definition.limits_on(job.queue).backoff, secrets
        )
        _settle(job, settlement)
    return settlement


def _call(
    task: JobTask[Any, Any], job: Claimed, worker: UUID | None, arguments: dict[str, Any]
) -> Any:
    running = RunningJob(
        id=job.id,
        task=job.task,
        queue=job.queue,
        tenant=job.tenant,
        correlation_id=job.correlation_id,
        attempt=job.attempt,
        worker=worker,
        lease=job.lease,
        atomic=task.definition.atomic,
    )
    token = current.set(running)
    try:
        return task.run(**arguments)
    except SystemExit as error:
        if type(error) is not SystemExit:  # Celery's own, by which a worker ends
            raise
        raise TaskExited("The task called sys.exit().") from error
    finally:
        current.reset(token)


def _succeeded(job: Claimed, result: Any) -> Settlement:
    if not _can_be_kept(result):
        raise PermanentError(f"{job.task} returned {type(result).__name__}, which JSON cannot hold")
    return Settlement(
        id=job.id,
        lease=job.lease,
        move=Move.SUCCEEDED,
        result=result,
    )


def _can_be_kept(result: Any) -> bool:
    try:
        told = json.dumps(result, allow_nan=False, ensure_ascii=False)
        told.encode()  # half a surrogate pair is a ValueError
    except (TypeError, ValueError, RecursionError):
        return False
    return not payload.holds_nul(told)


def _settle(job: Claimed, settlement: Settlement) -> None:
    """Write the settlement, on a new connection if the old one was cut.

    It is safe to write twice: if the first try was committed after all, the second finds another
    lease and raises :class:`LeaseLost`.
    """
    for pause in _SETTLE_AGAIN_AFTER:
        try:
            return _write(job, settlement)
        except (OperationalError, InterfaceError):
            if connection.in_atomic_block:
                raise  # the body's work is gone too: it is the attempt that failed
            connection.close()
            time.sleep(pause)
    return _write(job, settlement)


def _write(job: Claimed, settlement: Settlement) -> None:
    """Write the settlement and, with it, what follows the job."""
    with transaction.atomic():
        if job.id not in transitions.settle([settlement]):
            raise LeaseLost
        if settlement.state == State.SUCCEEDED and job.follows:
            enqueue_next(job.follows, tenant=job.tenant, correlation_id=job.correlation_id)
