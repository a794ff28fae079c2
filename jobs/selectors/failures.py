"""What has been going wrong lately, the same errors together."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs.selectors.sql import fetch

# Starts from the partial index jobs_attempt_failures; the text of an error is read for the newest
# of each group alone.
_FAILURES = """
WITH failed AS (
    SELECT job.task, job.queue, attempt.error_type, attempt.outcome,
           count(*) AS times, count(DISTINCT attempt.job_id) AS jobs,
           max(attempt.finished_at) AS last_at, max(attempt.id) AS newest
    FROM jobs_attempt AS attempt JOIN jobs_job AS job ON job.id = attempt.job_id
    WHERE attempt.outcome IN ('failed', 'crashed')
      AND attempt.finished_at > now() - make_interval(secs => %(seconds)s)
    GROUP BY 1, 2, 3, 4
)
SELECT failed.task, failed.queue, failed.error_type, failed.outcome, failed.times, failed.jobs,
       failed.last_at, newest.error, newest.job_id
FROM failed JOIN jobs_attempt AS newest ON newest.id = failed.newest
ORDER BY failed.last_at DESC, failed.newest DESC
LIMIT %(limit)s
"""


@dataclass(frozen=True, kw_only=True)
class FailureGroup:
    """Attempts of one task that ended with one type of error."""

    task: str
    queue: str
    #: The class of the exception; empty when the worker died.
    error_type: str
    #: ``failed`` or ``crashed``.
    outcome: str
    #: Attempts, and the jobs they belong to.
    times: int
    jobs: int
    last_at: datetime
    #: What the newest of them said, and whose it was.
    last_error: str
    last_job: uuid.UUID


def recent_failures(
    *, within: timedelta = timedelta(hours=24), limit: int = 20
) -> list[FailureGroup]:
    """Return the groups with a failure or crash ``within`` the time given, latest first."""
    rows = fetch(_FAILURES, {"seconds": within.total_seconds(), "limit": limit})
    return [
        FailureGroup(
            task=task,
            queue=queue,
            error_type=error_type,
            outcome=outcome,
            times=times,
            jobs=jobs,
            last_at=last_at,
            last_error=error,
            last_job=job_id,
        )
        for task, queue, error_type, outcome, times, jobs, last_at, error, job_id in rows
    ]
