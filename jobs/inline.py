"""Runs jobs in this process, through the same claim, execution and settlement as a worker's.

For commands that have no worker to wait for, and for tests.
"""

from uuid import UUID

from django.db import connection

from jobs.executor import carry
from jobs.models import Job
from jobs.records import Settlement
from jobs.transitions import NOT_PAUSED

_DUE = f"""
    SELECT id FROM jobs_job AS j
    WHERE state IN ('scheduled', 'available', 'queued') AND scheduled_at <= clock_timestamp()
      AND {NOT_PAUSED}
    ORDER BY priority, scheduled_at LIMIT 100
"""


def run_job(job_id: UUID) -> Job:
    """Run this job here if nobody else runs it; returns its row as it is then."""
    carry([job_id], worker=None)
    return Job.objects.get(id=job_id)


def run_due() -> list[Settlement]:
    """Run every job that is due, and those they enqueue; returns how each attempt ended."""
    settlements: list[Settlement] = []
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_DUE)
            ids = [row[0] for row in cursor.fetchall()]
        carried = carry(ids, worker=None)
        if not carried:
            return settlements
        settlements += carried
