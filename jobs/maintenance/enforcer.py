"""The enforcer ends by force what does not end by itself, on its own host.

A job that outlives its hard time limit, and one that does not notice within ``CANCEL_GRACE`` that a
person cancelled it. In a pool of processes the process is killed, and Celery starts another; a
thread cannot be killed, so its job's lease ends and nothing it still does counts. Emits the log
event ``job_ended_by_force``.
"""

import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction

from jobs import workflows
from jobs.conf import jobs_settings
from jobs.maintenance.lifeline import crashed
from jobs.records import Settlement
from jobs.sql import fetch
from jobs.states import Move

log = structlog.get_logger(__name__)

# Locked, so that none of them can end by itself between the look and the kill.
_OVERDUE = """
    SELECT j.id, j.lease, j.queue, j.failures, j.crashes, j.max_attempts, j.pid,
           'it outlived its hard time limit of ' || j.timeout || ' s',
           j.cancel_requested_at IS NOT NULL, w.pool
    FROM jobs_job AS j JOIN jobs_worker AS w ON w.id = j.worker
    WHERE j.state = 'running' AND j.worker = ANY(%s::uuid[])
      AND (j.started_at + make_interval(secs => j.timeout) < clock_timestamp()
           OR j.cancel_requested_at < clock_timestamp() - make_interval(secs => %s::float8))
    FOR UPDATE OF j SKIP LOCKED
"""


def end_by_force(workers: Sequence[UUID], is_ours: Callable[[int], bool]) -> int:
    """End what is overdue in these workers; ``is_ours`` tells whose a process is."""
    grace = jobs_settings().CANCEL_GRACE.total_seconds()
    with transaction.atomic():
        overdue = fetch(_OVERDUE, [[str(worker) for worker in workers], grace])
        for row in overdue:
            pid, pool = row[6], row[9]
            if pool == "prefork" and is_ours(pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            log.warning(
                "job_ended_by_force",
                job_id=str(row[0]),
                queue=row[2],
                pid=pid,
                reason="a person cancelled it" if row[8] else row[7],
            )
        settlements = [_cancelled(row) if row[8] else crashed(row[:8]) for row in overdue]
        return len(workflows.settle(settlements, actor="enforcer")) if settlements else 0


def _cancelled(row: tuple[Any, ...]) -> Settlement:
    return Settlement(
        id=row[0],
        lease=row[1],
        move=Move.CANCELLED,
        error_type="Cancelled",
        error="A person cancelled it, and it did not end by itself.",
    )
