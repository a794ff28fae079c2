"""Jobs of tasks that no worker knows: out of the line for a while, then dead letters.

A newer release may have enqueued them: a worker claims only what it knows, and theirs come with the
next deployment. Until a living worker knows the task they wait at a gate of their own, so that the
line behind them goes on. When that lasts for ``UNKNOWN_TASK_GRACE``, the job dies, so that a person
sees it. Emits the log events ``jobs_of_unknown_tasks`` and ``job_of_unknown_task``.
"""

from datetime import timedelta

import structlog
from django.db import transaction

from jobs import transitions, workflows
from jobs.conf import jobs_settings
from jobs.errors import PermanentError, UnknownTask
from jobs.gates import UNKNOWN_TASK
from jobs.queues import QUEUES, Backoff
from jobs.records import Claimed, Settlement
from jobs.retry import settlement_of
from jobs.sql import fetch
from jobs.task import registry

log = structlog.get_logger(__name__)

#: Jobs at the head of each class of a queue that are looked at.
_AT_THE_HEAD = 200

_KNOWN = """
    WITH known AS MATERIALIZED (
        SELECT jsonb_array_elements_text(tasks) AS task FROM jobs_worker
        WHERE stopped_at IS NULL
          AND heartbeat_at > clock_timestamp() - make_interval(secs => %s::float8)
        UNION SELECT unnest(%s::text[])
    )
"""

_IN_THE_WAY = f"""
    {_KNOWN}
    SELECT head.task, array_agg(head.id)
    FROM unnest(%s::text[]) AS q(name)
    CROSS JOIN generate_series(0, 3) AS p(priority)
    CROSS JOIN LATERAL (
        SELECT j.id, j.task FROM jobs_job AS j
        WHERE j.queue = q.name AND j.priority = p.priority AND {transitions.IN_LINE}
        ORDER BY j.seat, j.scheduled_at LIMIT {_AT_THE_HEAD}) AS head
    WHERE NOT EXISTS (SELECT 1 FROM known WHERE known.task = head.task)
    GROUP BY head.task
"""

_KNOWN_AGAIN = f"""
    {_KNOWN}
    SELECT DISTINCT j.gate FROM jobs_job AS j JOIN known ON j.gate = %s || '=' || known.task
    WHERE NOT j.gate = '' AND j.parked AND j.state IN ('available', 'queued')
"""

_STRAYS = f"""
    {_KNOWN}
    SELECT j.id FROM jobs_job AS j
    WHERE j.state IN ('available', 'queued') AND NOT j.gate = '' AND j.parked
      AND j.gate LIKE %s || '=%%'
      AND j.scheduled_at < clock_timestamp() - make_interval(secs => %s::float8)
      AND NOT EXISTS (SELECT 1 FROM known WHERE known.task = j.task)
    LIMIT 100
"""


def look_after() -> int:
    """Take strays out of the line, put those back whose workers came, bury those of long ago.

    Returns how many were buried.
    """
    conf = jobs_settings()
    alive = [conf.LEASE.total_seconds(), sorted(registry())]
    for task, ids in fetch(_IN_THE_WAY, [*alive, list(QUEUES)]):
        parked = transitions.park(ids, gate=f"{UNKNOWN_TASK}={task}")
        log.warning("jobs_of_unknown_tasks", task=task, jobs=parked)
    for (gate,) in fetch(_KNOWN_AGAIN, [*alive, UNKNOWN_TASK]):
        while transitions.admit(gate, 500) == 500:
            pass
    grace = conf.UNKNOWN_TASK_GRACE.total_seconds()
    return _bury([row[0] for row in fetch(_STRAYS, [*alive, UNKNOWN_TASK, grace])])


def _bury(ids: list[object]) -> int:
    if not ids:
        return 0
    with transaction.atomic():
        claimed = transitions.claim([str(id_) for id_ in ids], worker=None)
        workflows.settle([_dead(job) for job in claimed], actor="keeper")
    for job in claimed:
        log.warning("job_of_unknown_task", job_id=str(job.id), task=job.task)
    return len(claimed)


def _dead(job: Claimed) -> Settlement:
    error = PermanentError(f"{UnknownTask(job.task)} No living worker knows it.")
    lane = QUEUES.get(job.queue)
    return settlement_of(job, error, lane.backoff if lane else Backoff(base=timedelta()))
