"""Every read about jobs, for the pages, the API, the metrics and the commands.

Nothing here writes. Ages and "now" are by the database's clock. The questions asked every two
seconds by an open dashboard (:mod:`~jobs.selectors.queues`) are answered from partial indexes, up
to a number of jobs, and from roll-ups (:mod:`jobs.rollups`).
"""

from jobs.selectors.dead_letters import (
    DeadLetterFilter,
    DeadLetterGroup,
    count_dead_letters,
    group_dead_letters,
    list_dead_letters,
)
from jobs.selectors.depths import Certainty, Count
from jobs.selectors.failures import FailureGroup, recent_failures
from jobs.selectors.job_detail import JobDetail, TimedAttempt, get_job, job_detail
from jobs.selectors.job_list import JobFilter, list_jobs
from jobs.selectors.limits import (
    LimitView,
    gate_in_words,
    get_limit,
    list_limits,
    parked_by_limit,
)
from jobs.selectors.pages import BadCursor, Page
from jobs.selectors.queues import Minute, QueueOverview, queue_overview, queue_overviews
from jobs.selectors.replays import ReplayView, get_replay, list_replays
from jobs.selectors.schedules import (
    CanaryView,
    Instant,
    ScheduleHealth,
    ScheduleView,
    firings_of,
    get_schedule,
    instants,
    jobs_of,
    list_schedules,
    next_instants,
    schedule_health,
)
from jobs.selectors.stats import TaskStats, job_stats
from jobs.selectors.workers import RunningJob, WorkerView, list_workers
from jobs.selectors.workflows import (
    Stage,
    WorkflowDetail,
    WorkflowFilter,
    WorkflowView,
    get_workflow,
    list_workflows,
    workflow_detail,
)

__all__ = [
    "BadCursor",
    "CanaryView",
    "Certainty",
    "Count",
    "DeadLetterFilter",
    "DeadLetterGroup",
    "FailureGroup",
    "Instant",
    "JobDetail",
    "JobFilter",
    "LimitView",
    "Minute",
    "Page",
    "QueueOverview",
    "ReplayView",
    "RunningJob",
    "ScheduleHealth",
    "ScheduleView",
    "Stage",
    "TaskStats",
    "TimedAttempt",
    "WorkerView",
    "WorkflowDetail",
    "WorkflowFilter",
    "WorkflowView",
    "count_dead_letters",
    "firings_of",
    "gate_in_words",
    "get_job",
    "get_limit",
    "get_replay",
    "get_schedule",
    "get_workflow",
    "group_dead_letters",
    "instants",
    "job_detail",
    "job_stats",
    "jobs_of",
    "list_dead_letters",
    "list_jobs",
    "list_limits",
    "list_replays",
    "list_schedules",
    "list_workers",
    "list_workflows",
    "next_instants",
    "parked_by_limit",
    "queue_overview",
    "queue_overviews",
    "recent_failures",
    "schedule_health",
    "workflow_detail",
]
