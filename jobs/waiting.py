"""Waiting for a job to end, for commands: workers carry it, or this process when there is none."""

import time
from collections.abc import Callable
from uuid import UUID

from django.db import connection

from jobs.conf import jobs_settings
from jobs.errors import JobsError
from jobs.inline import run_job
from jobs.models import Job
from jobs.states import FINAL

_POLL_SECONDS = 0.05

_SERVED = """
    SELECT EXISTS (SELECT 1 FROM jobs_worker
                   WHERE stopped_at IS NULL
                     AND heartbeat_at > clock_timestamp() - make_interval(secs => %s)
                     AND queues ? %s)
"""
_DUE = """
    SELECT state <> 'running' AND scheduled_at <= clock_timestamp() FROM jobs_job WHERE id = %s
"""


class StillRunning(JobsError):
    """The job did not end in time; it goes on."""


def is_served(queue: str) -> bool:
    """Say whether a live worker works on this queue."""
    with connection.cursor() as cursor:
        cursor.execute(_SERVED, [jobs_settings().LEASE.total_seconds(), queue])
        (served,) = cursor.fetchone()
        return bool(served)


def wait_for(
    job_id: UUID,
    *,
    timeout: float | None = None,
    on_look: Callable[[Job], None] = lambda _: None,
    on_unserved: Callable[[Job], None] = lambda _: None,
) -> Job:
    """Return the job when it is final.

    When no worker serves its queue, it is run in this process, retries included.

    Args:
        job_id: The job, committed.
        timeout: Seconds to wait at most; None: as long as it takes.
        on_look: Told the job at every look, for progress.
        on_unserved: Told once, when it turns out that this process has to run it.

    Raises:
        StillRunning: it did not end in ``timeout``.
    """
    deadline = time.monotonic() + timeout if timeout is not None else float("inf")
    told = False
    while True:
        job = Job.objects.get(id=job_id)
        on_look(job)
        if job.state in FINAL:
            return job
        if time.monotonic() > deadline:
            raise StillRunning(f"The job is {job.state} after {timeout:g} seconds; it goes on.")
        if not is_served(job.queue) and _is_due(job_id):
            if not told:
                on_unserved(job)
                told = True
            run_job(job_id)
        else:
            time.sleep(_POLL_SECONDS)


def _is_due(job_id: UUID) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_DUE, [job_id])
        row = cursor.fetchone()
        return bool(row and row[0])
