"""The lifeline takes jobs back from workers that died.

A job is taken back when its process is gone, when its worker's heartbeat is older than ``LEASE``,
or when its lease has ended because it outlived its hard time limit. That counts as a crash, and
costs an attempt; a job with ``CRASH_LIMIT`` crashes ends as a dead letter. A job whose row is
locked is passed by: the transactions of dead workers are ended by :mod:`jobs.sessions`. Emits the
log event ``job_taken_back``.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import structlog
from django.db import connection, transaction

from jobs import workflows
from jobs.conf import jobs_settings
from jobs.models import DeadLetter
from jobs.queues import QUEUES
from jobs.records import Settlement
from jobs.retry import wait
from jobs.states import Move

log = structlog.get_logger(__name__)

_COLUMNS = "j.id, j.lease, j.queue, j.failures, j.crashes, j.max_attempts, j.pid"

_FORSAKEN = f"""
    SELECT {_COLUMNS},
           CASE WHEN w.stopped_at IS NOT NULL THEN 'its worker stopped'
                WHEN j.worker IS NOT NULL AND w.id IS NULL THEN 'its worker is gone'
                WHEN w.heartbeat_at < clock_timestamp() - %(lease)s THEN
                     'its worker sends no heartbeat'
                ELSE 'it outlived its hard time limit' END
    FROM jobs_job AS j LEFT JOIN jobs_worker AS w ON w.id = j.worker
    WHERE j.state = 'running' AND (
        j.lease_until < clock_timestamp() OR w.stopped_at IS NOT NULL
        OR (j.worker IS NOT NULL AND w.id IS NULL)
        OR w.heartbeat_at < clock_timestamp() - %(lease)s)
    LIMIT 500 FOR UPDATE OF j SKIP LOCKED
"""

_OF_WORKERS = f"""
    SELECT {_COLUMNS}, 'its process is gone'
    FROM jobs_job AS j WHERE j.state = 'running' AND j.worker = ANY(%(workers)s)
"""


def take_back_forsaken() -> int:
    """Take back what dead workers, wherever they were, left running. Returns how many."""
    with transaction.atomic():
        rows = _select(_FORSAKEN, {"lease": jobs_settings().LEASE})
        return _settle([crashed(row) for row in rows], rows)


def take_back_from_gone_processes(workers: Sequence[UUID], is_alive: Callable[[int], bool]) -> int:
    """Take back what processes of these workers, on this host, left running when they died."""
    rows = _select(_OF_WORKERS, {"workers": list(workers)})
    gone = [row for row in rows if not is_alive(row[6])]
    return _settle([crashed(row) for row in gone], gone)


def give_back(workers: Sequence[UUID]) -> int:
    """Give back what these workers, which have stopped, did not finish. Costs no attempt."""
    rows = _select(_OF_WORKERS, {"workers": list(workers)})
    released = [
        Settlement(
            id=row[0],
            lease=row[1],
            move=Move.RELEASED,
            error="its worker stopped",
        )
        for row in rows
    ]
    return _settle(released, rows)


def _select(sql: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def crashed(row: tuple[Any, ...]) -> Settlement:
    """Return what becomes of a job whose worker died, by the columns of this module's queries."""
    job_id, lease, queue, failures, crashes, max_attempts, _, why = row
    settlement = Settlement(
        id=job_id,
        lease=lease,
        move=Move.CRASHED,
        crashes=1,
        error_type="WorkerLost",
        error=f"The job was taken back: {why}.",
    )
    spent = failures + crashes + 1
    if crashes + 1 >= jobs_settings().CRASH_LIMIT or spent >= max_attempts:
        return replace(settlement, move=Move.DIED, reason=DeadLetter.Reason.CRASHED)
    lane = QUEUES.get(queue)
    # The first time it is hardly the job's fault: it runs again at once.
    return replace(settlement, delay=wait(lane.backoff, crashes) if lane and crashes else 0.0)


def _settle(settlements: list[Settlement], rows: list[tuple[Any, ...]]) -> int:
    if not settlements:
        return 0
    settled = workflows.settle(settlements, actor="lifeline")
    for settlement, row in zip(settlements, rows, strict=True):
        if settlement.id in settled:
            log.warning(
                "job_taken_back",
                job_id=str(settlement.id),
                queue=row[2],
                pid=row[6],
                outcome=settlement.move.value,
                reason=row[7],
            )
    return len(settled)
