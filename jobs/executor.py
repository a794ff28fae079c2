"""Carrying jobs: claim, run, settle. It reads top-down as the life of a turn and of a chunk."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeVar
from uuid import UUID, uuid4

import structlog
from celery.exceptions import Ignore, Retry
from django.db import InterfaceError, OperationalError, connection, transaction

from jobs import attempt, gates, transitions, workflows
from jobs.chunk import Chunk, Done, watched
from jobs.errors import LeaseLost, OutcomeRefused
from jobs.events import News
from jobs.models import Job
from jobs.pace import pace
from jobs.publish import ring
from jobs.queues import get_queue
from jobs.records import Claimed, Line, Settlement, Waiting
from jobs.retry import settlement_of
from jobs.states import State
from jobs.task import registry

T = TypeVar("T")

log = structlog.get_logger(__name__)

#: Seconds that one message keeps a process on its queue, while jobs are due there.
TURN = 0.5
#: Seconds between tries to write a settlement while PostgreSQL restarts.
_SETTLE_AGAIN_AFTER = (0.05, 0.5, 2.0, *[5.0] * 120)


class JobFailed(Exception):
    """What Celery and Flower see of a dead job; the reason is on its row, not in Redis."""


def this_worker() -> UUID | None:
    """Return the id of the worker this process belongs to, or None outside of one."""
    named = os.environ.get("JOBS_WORKER_ID")
    return UUID(named) if named else None


def answer_message(job_id: str, queue: str | None) -> None:
    """Carry the jobs that are due in a message's queue; it may not lead to the one it names.

    Celery hears of no more than a death, for those who listen to its signals: an exception that
    says that nothing was to be done costs it more than a job. A message that came by no queue, as
    from ``task.apply()``, leads to its own job alone, and who called hears how it went.

    Raises:
        JobFailed: the job is dead.
        Ignore, Retry: of a call without a queue; it needed no carrying, or is scheduled again.
    """
    worker = this_worker()
    carried = take_turn(queue, worker=worker) if queue else carry([job_id], worker=worker)
    ours = None
    for settlement in carried:
        if str(settlement.id) == job_id:
            ours = settlement
    if ours is not None and ours.state == State.DEAD:
        raise JobFailed(f"{ours.error_type}; see job {ours.id}")
    if queue:
        return
    if ours is None or ours.state == State.CANCELLED:
        raise Ignore
    if ours.state in {State.SCHEDULED, State.AVAILABLE}:
        raise Retry(message="scheduled again", exc=None, when=None)


def take_turn(queue: str, *, worker: UUID | None, seconds: float = TURN) -> Iterator[Settlement]:
    """Run due jobs of the queue, best first, until there are none or the turn is over.

    A process that leaves due jobs behind rings the bell for them before it goes: so it does not
    matter how many messages there are, as long as there is one.
    """
    until = time.monotonic() + seconds
    while True:
        try:
            claimed, more = _claim_next(queue, worker)
        except gates.GateBusy:
            log.warning("gate_busy", queue=queue)
            ring(queue)
            return
        if not claimed:
            return
        for _, settlement in _carry(claimed, worker):
            yield settlement
        if not more and not any(job.gates for job in claimed):
            return  # the end of a limited one may have let another through
        if time.monotonic() > until:
            ring(queue)
            return


def carry(
    ids: Iterable[UUID | str], *, worker: UUID | None, limited: bool = False
) -> list[Settlement]:
    """Claim these jobs and run to their settlement those that this process got.

    A person's wish goes before limits; with ``limited``, those that do not pass are parked. Returns
    the settlements that counted; a job taken back meanwhile is not among them.
    """
    wanted, lease = list(ids), uuid4()
    if limited:
        rows = Job.objects.filter(id__in=wanted, gates__isnull=False)
        waiting = [Waiting(id=job.id, priority=job.priority, gates=job.gates or []) for job in rows]
        claimed = gates.pass_or_park(waiting, worker=worker) if waiting else []
        wanted = [id_ for id_ in wanted if id_ not in {job.id for job in waiting}]
    else:
        claimed = []
    claimed += _once_more(
        lambda: transitions.claim(wanted, worker=worker, lease=lease),
        lambda: transitions.claimed_with(lease, worker=worker),
    )
    return [settlement for job in claimed for _, settlement in _carry([job], worker)]


def _claim_next(queue: str, worker: UUID | None) -> tuple[list[Claimed], bool]:
    """Claim what is next in the queue; returns the jobs, and whether more are due."""
    while True:
        lease = uuid4()
        line = _once_more(partial(_look, queue, worker, lease), partial(_lost, worker, lease))
        claimed = line.claimed
        if line.gated:
            claimed = _at_their_gates(line, worker, lease)
        if claimed or not line.more or not line.gated:
            return claimed, line.more
        # Those whose turn it was are parked, or went to others: look at the next.


def _at_their_gates(line: Line, worker: UUID | None, lease: UUID) -> list[Claimed]:
    """Return what was claimed already, and what passes its gates."""
    try:
        return line.claimed + gates.pass_or_park(line.gated, worker=worker, lease=lease)
    except gates.GateBusy:
        if not line.claimed:
            raise
        return line.claimed
    except (OperationalError, InterfaceError):
        if connection.in_atomic_block:
            raise
        connection.close()
        return transitions.claimed_with(lease, worker=worker)


def _look(queue: str, worker: UUID | None, lease: UUID) -> Line:
    size, known = pace.jobs_at_once(queue), sorted(registry())
    return transitions.claim_next(queue, size, worker=worker, tasks=known, lease=lease)


def _lost(worker: UUID | None, lease: UUID) -> Line | None:
    found = transitions.claimed_with(lease, worker=worker)
    return Line(claimed=found, gated=[], more=True) if found else None


def _once_more(claim: Callable[[], T], lost: Callable[[], T | None]) -> T:
    """Claim; on a new connection if the old one, kept from the last job, was cut while idle."""
    try:
        return claim()
    except (OperationalError, InterfaceError):
        if connection.in_atomic_block:
            raise
        connection.close()
        # If the cut came after the claim was committed, its jobs are ours already.
        return lost() or claim()


def _carry(jobs: Sequence[Claimed], worker: UUID | None) -> list[Done]:
    """Run claimed jobs one after the other; their outcomes are written together, but soon."""
    claimed_at = time.monotonic()
    news = News(jobs)
    chunk = Chunk(jobs, _settle, news.tell)
    try:
        with watched(chunk, size=len(jobs)):
            _run_all(chunk, news, worker, claimed_at, alone=len(jobs) == 1)
        chunk.settle()
    except BaseException:
        # Whatever ends us: what was done counts, and what was not begun is for others.
        chunk.give_way()
        raise
    duration = time.monotonic() - claimed_at
    if chunk.size:
        pace.learn(jobs[0].queue, duration / chunk.size, chunk.size)
    if len(jobs) > 1:
        log.info(
            "jobs_ended", queue=jobs[0].queue, jobs=len(chunk.done), duration=round(duration, 3)
        )
    if shut := gates.concurrency_gates(job for job, _ in chunk.done):
        gates.let_through(shut)
    news.tell(chunk.done)
    return chunk.done


def _run_all(
    chunk: Chunk, news: News, worker: UUID | None, claimed_at: float, *, alone: bool
) -> None:
    #: Tasks whose bulk body raised: their jobs run one by one.
    apart: set[str] = set()
    while (job := chunk.next()) is not None:
        if job.crashes and not alone:
            # It may kill this process again: not with others in its hands.
            chunk.give_back()
            chunk.settle()
        mates = chunk.next_of(job.task) if _has_bulk_body(job) and job.task not in apart else []
        if mates:
            if _carry_together([job, *mates], chunk, news, claimed_at):
                continue
            apart.add(job.task)
            chunk.put_back(mates)
        news.begins([job])
        settlement = attempt.run(job, worker, _write, claimed_at, alone=alone)
        news.ended([job])
        _keep(chunk, job, settlement)


def _has_bulk_body(job: Claimed) -> bool:
    task = registry().get(job.task)
    return task is not None and task.definition.bulk is not None and not job.crashes


def _carry_together(jobs: list[Claimed], chunk: Chunk, news: News, claimed_at: float) -> bool:
    news.begins(jobs)
    settlements = attempt.run_together(jobs, _write, claimed_at)
    if settlements is None:
        return False
    news.ended(jobs)
    for job, settlement in zip(jobs, settlements, strict=True):
        _keep(chunk, job, settlement)
    return True


def _keep(chunk: Chunk, job: Claimed, settlement: Settlement | None) -> None:
    if settlement is None:
        return  # taken back
    if settlement.ended is None:
        chunk.done.append((job, settlement))  # written, in the transaction of its body
    else:
        chunk.ended((job, settlement))


def _settle(done: list[Done]) -> list[Done]:
    """Write the outcomes, on a new connection if the old one was cut; returns those that counted.

    It is safe to write twice: if the first try was committed after all, the second finds another
    lease and writes nothing.
    """
    for pause in (*_SETTLE_AGAIN_AFTER, None):
        try:
            settled = _written(done)
            break
        except (OperationalError, InterfaceError):
            if connection.in_atomic_block or pause is None:
                raise  # the body's work is gone too: it is the attempt that failed
            connection.close()
            time.sleep(pause)
        except Exception as error:
            if connection.in_atomic_block:
                raise
            return _settle_apart(done, error)
    for job, _ in done:
        if job.id not in settled:
            log.warning(
                "job_lost", job_id=str(job.id), reason="taken back; its outcome was refused"
            )
    return [(job, settlement) for job, settlement in done if job.id in settled]


def _settle_apart(done: list[Done], error: Exception) -> list[Done]:
    """One outcome cannot be written: it must not keep the others from it, and ends as failed.

    If not even that can be written, it ends as a dead letter; after that nothing is left to try.
    """
    if len(done) > 1:
        written, refused = [], None
        for one in done:
            try:
                written += _settle([one])
            except Exception as worse:  # noqa: BLE001 - the others come first
                refused = worse
        if refused is not None:
            raise refused
        return written
    ((job, settlement),) = done
    if settlement.error_type == OutcomeRefused.__name__:
        raise error
    log.error("outcome_refused", job_id=str(job.id), error=str(error))
    told = OutcomeRefused(str(error)) if settlement.error_type else error
    return _settle([(job, settlement_of(job, told, get_queue(job.queue).backoff))])


def _write(done: list[Done]) -> None:
    """Write the outcomes in the transaction of their bodies; raises :class:`LeaseLost`."""
    if len(_written(done)) < len(done):
        raise LeaseLost


def _written(done: list[Done]) -> set[UUID]:
    """Write the outcomes and, with them, what follows the jobs; returns the ids that counted."""
    settlements = [settlement for _, settlement in done]
    if not any(job.leads_on for job, _ in done):
        return transitions.settle(settlements)
    with transaction.atomic():
        settled = transitions.settle(settlements)
        workflows.start_next(one for one in done if one[0].id in settled)
    return settled
