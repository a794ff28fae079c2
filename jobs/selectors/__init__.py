"""Every read about jobs, for the pages, the API, the metrics and the commands.

Nothing here writes. Ages and "now" are by the database's clock. The questions asked every two
seconds by an open dashboard (:mod:`~jobs.selectors.queues`) are answered from partial indexes.
"""

from jobs.selectors.dead_letters import DeadLetterFilter, count_dead_letters, list_dead_letters
from jobs.selectors.failures import FailureGroup, recent_failures
from jobs.selectors.job_detail import JobDetail, TimedAttempt, get_job, job_detail
from jobs.selectors.job_list import JobFilter, list_jobs
from jobs.selectors.pages import BadCursor, Page
from jobs.selectors.queues import Minute, QueueOverview, queue_overview, queue_overviews
from jobs.selectors.stats import TaskStats, job_stats
from jobs.selectors.workers import RunningJob, WorkerView, list_workers

__all__ = [
    "BadCursor",
    "DeadLetterFilter",
    "FailureGroup",
    "JobDetail",
    "JobFilter",
    "Minute",
    "Page",
    "QueueOverview",
    "RunningJob",
    "TaskStats",
    "TimedAttempt",
    "WorkerView",
    "count_dead_letters",
    "get_job",
    "job_detail",
    "job_stats",
    "list_dead_letters",
    "list_jobs",
    "list_workers",
    "queue_overview",
    "queue_overviews",
    "recent_failures",
]
