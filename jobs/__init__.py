"""The engine: durable jobs, carried by Celery. It knows no domain.

What writers of tasks need is imported from here: ``job_task``, ``current_job``, ``Step``,
``Priority``, ``ScheduledDate``, ``BegunDate``. The names are looked up when used, since models
cannot be imported before Django's apps are ready.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobs.canvas_tasks import FailedJob
    from jobs.definition import Step
    from jobs.models import Job, Priority
    from jobs.running import current_job
    from jobs.scheduled_date import BegunDate, ScheduledDate
    from jobs.task import job_task

__all__ = [
    "BegunDate",
    "FailedJob",
    "Job",
    "Priority",
    "ScheduledDate",
    "Step",
    "current_job",
    "job_task",
]

_HOME = {
    "BegunDate": "jobs.scheduled_date",
    "FailedJob": "jobs.canvas_tasks",
    "Job": "jobs.models",
    "Priority": "jobs.models",
    "ScheduledDate": "jobs.scheduled_date",
    "Step": "jobs.definition",
    "current_job": "jobs.running",
    "job_task": "jobs.task",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'jobs' has no attribute {name!r}")
