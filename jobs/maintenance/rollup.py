"""Roll-ups of minutes that are over become one row each, and deep queues are counted.

While a minute lasts, each session of the database has rows of its own (:mod:`jobs.rollups`). One
keeper makes one of them, and adds them to the totals; the others find the lock taken, and leave it.
Options: none. Emits the log event ``rollups_merged`` (debug).

A page counts the jobs of a queue up to a number (:mod:`jobs.selectors.depths`). Of queues that are
deeper, the keeper of the oldest living worker counts them all, for a hundredth of its time, and
keeps the answer in ``jobs_queuedepth``.
"""

import time
from collections.abc import Sequence
from uuid import UUID

import structlog
from django.db import transaction

from jobs import rollups
from jobs.conf import jobs_settings
from jobs.maintenance.batches import bounded
from jobs.selectors.depths import waiting
from jobs.sql import fetch

log = structlog.get_logger(__name__)

#: Minutes that are left alone: their settlements may not have committed yet. Later ones are merged
#: all the same, when they come.
MARGIN_MINUTES = 2
#: Rows in one transaction, and transactions in one go: the keeper has other duties.
BATCH, _BATCHES = 1_000, 20
#: Seconds between two merges by one keeper, and between two looks at the depths.
_MERGES, _LOOKS = 20.0, 5.0
#: A census lasts for a hundredth of the time to the next one, but for that of a giant.
_SHARE, _LONGEST_REST = 100, 300.0

_LOCK_OF_MERGE, _LOCK_OF_CENSUS = 7_305_011, 7_305_012

# What waits by queue and state, for as many as there are.
_CENSUS = """
    WITH counted AS (
        SELECT queue, state, parked, count(*) AS count FROM jobs_job
        WHERE state IN ('scheduled', 'available', 'queued')
        GROUP BY queue, state, parked
    ), gone AS (
        DELETE FROM jobs_queuedepth AS d
        WHERE NOT EXISTS (SELECT 1 FROM counted AS c
                          WHERE (c.queue, c.state, c.parked) = (d.queue, d.state, d.parked))
    )
    INSERT INTO jobs_queuedepth AS d (queue, state, parked, count, counted_at)
    SELECT queue, state, parked, count, now() FROM counted
    ON CONFLICT (queue, state, parked)
        DO UPDATE SET count = EXCLUDED.count, counted_at = EXCLUDED.counted_at
    RETURNING 1
"""

_OLDEST_WORKER = """
    SELECT id = ANY(%s::uuid[]) FROM jobs_worker
    WHERE stopped_at IS NULL
      AND heartbeat_at > clock_timestamp() - make_interval(secs => %s::float8)
    ORDER BY started_at, id LIMIT 1
"""

_LAST_CENSUS = """
    SELECT extract(epoch FROM clock_timestamp() - max(counted_at))::float8 FROM jobs_queuedepth
"""


class Rollup:
    """A keeper's turns at it."""

    def __init__(self, workers: Sequence[UUID]) -> None:
        self._workers = [str(worker) for worker in workers]
        self._merges_at = self._looks_at = float("-inf")
        self._rest = 0.0

    def run_once(self) -> None:
        """Merge, and count, if it is time."""
        now = time.monotonic()
        if now >= self._merges_at:
            self._merges_at = now + _MERGES
            for _ in range(_BATCHES):
                if merge() < BATCH:
                    break
        if now >= self._looks_at:
            self._looks_at = now + _LOOKS
            if self._is_first() and not all(count.is_exact for count in waiting().values()):
                began = time.monotonic()
                if take_census(after=max(_LOOKS, self._rest)):
                    self._rest = min((time.monotonic() - began) * _SHARE, _LONGEST_REST)

    def _is_first(self) -> bool:
        """Say whether the oldest living worker is one of ours: looking costs, too."""
        lease = jobs_settings().LEASE.total_seconds()
        return any(mine for (mine,) in fetch(_OLDEST_WORKER, [self._workers, lease]))


def merge(*, batch: int = BATCH) -> int:
    """Merge up to ``batch`` rows of minutes that are over; returns how many there were."""
    with bounded():
        if not _is_mine(_LOCK_OF_MERGE):
            return 0
        ((count,),) = fetch(rollups.MERGE, [MARGIN_MINUTES, batch])
    if count:
        log.debug("rollups_merged", rows=count)
    return int(count)


def take_census(*, after: float = 0.0) -> bool:
    """Count what waits, if that was done more than ``after`` seconds ago; says whether it did."""
    with transaction.atomic():
        if not _is_mine(_LOCK_OF_CENSUS):
            return False
        ((age,),) = fetch(_LAST_CENSUS)
        if age is not None and age < after:
            return False
        fetch(_CENSUS)
        return True


def _is_mine(lock: int) -> bool:
    ((mine,),) = fetch("SELECT pg_try_advisory_xact_lock(%s::bigint)", [lock])
    return bool(mine)
