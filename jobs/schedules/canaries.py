"""Canaries: a probe through each queue once a minute, from its schedule to the end of its job.

A queue whose canary is older than two minutes is not served: no beat, no Redis and no drain, no
worker, or all workers are busy with what came before. Switched off by ``JOBS_CANARY``.
"""

from jobs.running import current_job
from jobs.sql import fetch

_CAME_THROUGH = """
    INSERT INTO jobs_canary AS c (queue, enqueued_at, ran_at)
    SELECT %s, j.enqueued_at, clock_timestamp() FROM jobs_job AS j WHERE j.id = %s::uuid
    ON CONFLICT (queue) DO UPDATE
    SET enqueued_at = EXCLUDED.enqueued_at, ran_at = EXCLUDED.ran_at
    WHERE c.enqueued_at < EXCLUDED.enqueued_at
    RETURNING c.queue
"""


def came_through(queue: str) -> None:
    """Note that the running job reached a worker of its queue; a late one changes nothing."""
    if (running := current_job()) is not None:
        fetch(_CAME_THROUGH, [queue, str(running.id)])
