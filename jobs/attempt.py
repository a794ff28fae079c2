"""One attempt of a job, or of many in one call: the body is run, and what came of it is decided."""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import UUID

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection, transaction

from jobs import payload
from jobs.context import entered, job_context
from jobs.errors import LeaseLost, PermanentError, UnknownTask
from jobs.queues import get_queue
from jobs.records import Claimed, Settlement
from jobs.retry import settlement_of
from jobs.running import RunningJob, current
from jobs.states import Move
from jobs.task import JobTask, get_task
from jobs.time_limits import soft_time_limit

log = structlog.get_logger(__name__)

AnyTask = JobTask[Any, Any]
#: Writes outcomes in the present transaction; raises :class:`LeaseLost` when one does not count.
Settle = Callable[[list[tuple[Claimed, Settlement]]], None]


class TaskExited(Exception):
    """A body must not end its worker: it failed."""


def run(
    job: Claimed, worker: UUID | None, settle: Settle, claimed_at: float, *, alone: bool = True
) -> Settlement | None:
    """Run the body of a job; returns how it ended, or None when it was taken back meanwhile.

    The outcome of an atomic task that succeeded is written already, by ``settle``, and has no
    ``began``; any other is the caller's to write. ``claimed_at`` is by ``time.monotonic()``. Of a
    job that is not ``alone``, success is for the caller to log, with that of the others.
    """
    began, id_ = time.monotonic(), str(job.id)
    with job_context(
        tenant=job.tenant,
        correlation_id=job.correlation_id,
        actor=f"job:{id_}",
        job_id=id_,
        task=job.task,
        queue=job.queue,
        attempt=job.attempt,
    ):
        log.debug("job_started", waited=job.waited)
        try:
            settlement = _attempt(job, worker, settle)
        except LeaseLost:
            log.warning("job_lost", reason="taken back while it ran; its outcome was refused")
            return None
        ended = time.monotonic()
        if alone or settlement.error_type:
            _tell(job, settlement, ended - began)
        if settlement.ended is not None:
            settlement.ended = None  # written
        else:
            settlement.began, settlement.ended = began - claimed_at, ended - claimed_at
        return settlement


def _tell(job: Claimed, settlement: Settlement, duration: float) -> None:
    log.info(
        "job_ended",
        outcome=settlement.move.value,
        state=settlement.state.value,
        waited=round(job.waited, 3),
        duration=round(duration, 3),
        **({"error_type": settlement.error_type} if settlement.error_type else {}),
    )


def run_together(
    jobs: Sequence[Claimed], settle: Settle, claimed_at: float
) -> list[Settlement] | None:
    """Run jobs of one task that has a bulk body in one call; None: run them one by one.

    So it is when a bulk body raises, or one job's arguments do not fit: no job pays for another.
    """
    task = get_task(jobs[0].task)
    bulk = task.definition.bulk
    assert bulk is not None
    began = time.monotonic()
    with _context_of_all(jobs):
        try:
            model = task.definition.arguments
            calls = [
                payload.unseal(model, task.name, job.payload_json, job.secrets)[0] for job in jobs
            ]
            limit = task.definition.soft_seconds_on(jobs[0].queue)
            if task.definition.atomic:
                with transaction.atomic(), soft_time_limit(limit):
                    settlements = _of_bulk(jobs, bulk(calls))
                    settle(list(zip(jobs, settlements, strict=True)))
            else:
                with soft_time_limit(limit):
                    settlements = _of_bulk(jobs, bulk(calls))
        except (KeyboardInterrupt, SystemExit):  # of whoever ends this process
            raise
        except BaseException as error:  # noqa: BLE001 - each job has its own attempt
            log.warning("bulk_failed", error=type(error).__name__)
            _mend_connection(error)
            return None
        ended = time.monotonic()
        if task.definition.atomic:
            return settlements
        for one in settlements:
            one.began, one.ended = began - claimed_at, ended - claimed_at
        return settlements


def _context_of_all(jobs: Sequence[Claimed]) -> entered:
    """Return the context of a bulk body: what is the same for all of its jobs."""
    first = jobs[0]
    return job_context(
        tenant=_same(job.tenant for job in jobs),
        correlation_id=_same(job.correlation_id for job in jobs),
        actor=f"job:{first.id}",
        task=first.task,
        queue=first.queue,
        jobs=len(jobs),
    )


def _same(values: Iterable[str]) -> str | None:
    """Return the value that all have; None: they differ."""
    found = set(values)
    return found.pop() if len(found) == 1 else None


def _of_bulk(jobs: Sequence[Claimed], results: list[Any] | None) -> list[Settlement]:
    if results is None:
        results = [None] * len(jobs)
    if len(results) != len(jobs):
        raise ValueError(f"a bulk body returned {len(results)} results for {len(jobs)} jobs")
    return [_succeeded(job, result) for job, result in zip(jobs, results, strict=True)]


def _attempt(job: Claimed, worker: UUID | None, settle: Settle) -> Settlement:
    """Run the body and decide what came of it; raises :class:`LeaseLost`."""
    secrets: list[str] = []
    try:
        task = get_task(job.task)
    except UnknownTask as error:
        return settlement_of(job, PermanentError(str(error)), get_queue(job.queue).backoff)
    try:
        arguments, secrets = payload.unseal(
            task.definition.arguments, job.task, job.payload_json, job.secrets
        )
        if not task.definition.atomic:
            return _succeeded(job, _call(task, job, worker, arguments))
        with transaction.atomic():
            settlement = _succeeded(job, _call(task, job, worker, arguments))
            settle([(job, settlement)])
        settlement.ended = 0.0
        return settlement
    except LeaseLost:
        raise
    except (KeyboardInterrupt, SystemExit):  # of whoever ends this process
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a task raises is settled
        _mend_connection(error)
        return _failed(task, job, error, secrets)


def _failed(task: AnyTask, job: Claimed, error: BaseException, secrets: list[str]) -> Settlement:
    declared = task.definition
    backoff = declared.limits_on(job.queue).backoff
    try:
        return settlement_of(job, error, backoff, secrets=secrets, on_error=declared.on_error)
    except Exception as odd:  # noqa: BLE001 - what an error says of itself is a task's code too
        what = f"{type(error).__name__} says what cannot be done: {odd}"
        return settlement_of(job, PermanentError(what), backoff, secrets=secrets)


def _call(task: AnyTask, job: Claimed, worker: UUID | None, arguments: dict[str, Any]) -> Any:
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
    limit = task.definition.soft_seconds_on(job.queue)
    token = current.set(running)
    try:
        with soft_time_limit(limit):
            return task.run(**arguments)
    except SystemExit as error:
        if type(error) is not SystemExit:  # Celery's own, by which a worker ends
            raise
        raise TaskExited("The task called sys.exit().") from error
    finally:
        current.reset(token)


def _mend_connection(error: BaseException) -> None:
    # The interruption may have come in the middle of a statement, whose answer nobody reads.
    if isinstance(error, SoftTimeLimitExceeded) and not connection.in_atomic_block:
        connection.close()


def _succeeded(job: Claimed, result: Any) -> Settlement:
    return Settlement(id=job.id, lease=job.lease, move=Move.SUCCEEDED, result=_kept(job, result))


def _kept(job: Claimed, result: Any) -> Any:
    """Return the result as it is now: a task may go on changing what it returned."""
    if result is None:
        return None
    try:
        told = json.dumps(result, allow_nan=False, ensure_ascii=False)
        told.encode()  # half a surrogate pair is a ValueError
    except (TypeError, ValueError, RecursionError):
        told = None
    if told is None or payload.holds_nul(told):
        raise PermanentError(f"{job.task} returned {type(result).__name__}, which JSON cannot hold")
    return json.loads(told) if isinstance(result, dict | list | tuple) else result
