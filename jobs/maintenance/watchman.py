"""The watchman: bells that nobody answers, though a worker is here whose business they are.

A Celery worker may live and hear nothing: its connection to Redis was lost unnoticed, or its main
process is frozen. When jobs of its queues have stood in line for ``DEAF_AFTER`` seconds while it
ran none, it is ended, and its supervisor starts another. Emits the log event ``worker_deaf``.
"""

import time
from collections.abc import Sequence
from uuid import UUID

import structlog

from jobs import transitions
from jobs.sql import fetch
from jobs.task import registry

log = structlog.get_logger(__name__)

#: Seconds for which a worker may leave due jobs in line while it runs none.
DEAF_AFTER = 45.0

# It runs nothing, and its queues are neither empty nor paused. Jobs with limits do not count: they
# may be about to be parked.
_IDLE = f"""
    SELECT w.id FROM jobs_worker AS w
    WHERE w.id = ANY(%s::uuid[])
      AND NOT EXISTS (SELECT 1 FROM jobs_job AS j WHERE j.state = 'running' AND j.worker = w.id)
      AND EXISTS (
          SELECT 1 FROM jsonb_array_elements_text(w.queues) AS q(name)
          CROSS JOIN generate_series(0, 3) AS p(priority)
          CROSS JOIN LATERAL (
              SELECT j.scheduled_at FROM jobs_job AS j
              WHERE j.queue = q.name AND j.priority = p.priority AND {transitions.IN_LINE}
                AND j.task = ANY(%s::text[]) AND j.gates IS NULL AND {transitions.NOT_PAUSED}
              ORDER BY j.seat, j.scheduled_at LIMIT 1) AS head
          WHERE head.scheduled_at < clock_timestamp() - make_interval(secs => %s::float8))
"""


class Watchman:
    """Remembers since when a worker leaves its jobs in line."""

    def __init__(self, workers: Sequence[UUID]) -> None:
        self._workers = [str(worker) for worker in workers]
        self._idle_since: dict[UUID, float] = {}

    def deaf_workers(self) -> list[UUID]:
        """Return the workers that heard nothing for too long; asked every few seconds."""
        now = time.monotonic()
        rows = fetch(_IDLE, [self._workers, sorted(registry()), DEAF_AFTER])
        idle = {row[0] for row in rows}
        self._idle_since = {worker: self._idle_since.get(worker, now) for worker in idle}
        deaf = [worker for worker, since in self._idle_since.items() if now - since >= DEAF_AFTER]
        for worker in deaf:
            log.warning("worker_deaf", worker=str(worker), seconds=DEAF_AFTER)
            del self._idle_since[worker]
        return deaf
