"""Running a task of the Tasks API as the body of its job, and telling who listens to its signals.

``task_started`` is sent before the call. ``task_finished`` is sent after it, when no other attempt
will follow: just before the engine writes the outcome. A receiver that fails is logged, and changes
nothing.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError
from django.utils import timezone
from django_tasks.base import TaskContext, TaskError, TaskResult, TaskResultStatus
from django_tasks.signals import task_finished, task_started
from django_tasks.utils import get_exception_traceback, get_module_path, normalize_json

from jobs.conf import jobs_settings
from jobs.django_tasks.lookup import NoDjangoTask, UnknownDjangoTask
from jobs.django_tasks.results import result_of
from jobs.errors import Cancelled, Discard, LeaseLost, PermanentError, RetryLater
from jobs.models import Job

#: Until a task that this worker does not find is looked for again.
_LOOK_AGAIN_AFTER = timedelta(seconds=30)


def run(job_id: UUID, *, retries: bool) -> Any:
    """Run the job's task; returns what it returned, as JSON, and raises what it raised.

    Args:
        job_id: The job that runs here.
        retries: Whether the engine tries it again when it raised, while it has attempts left.

    Raises:
        RetryLater: it cannot be begun now: its code or the database is not there.
        UnknownDjangoTask: its code has not been there for ``UNKNOWN_TASK_GRACE``.
        NoDjangoTask: what is there is no task.
    """
    job, result = _begun(job_id)
    sender = type(result.task.get_backend())
    task_started.send_robust(sender, task_result=result)
    try:
        returned = normalize_json(_called(result))
    except (Exception, SystemExit) as error:
        if _is_final(job, error, retries=retries):
            failure = TaskError(
                exception_class_path=get_module_path(type(error)),
                traceback=get_exception_traceback(error),
            )
            result.errors.append(failure)
            _end(result, TaskResultStatus.FAILED)
            task_finished.send_robust(sender, task_result=result)
        raise
    object.__setattr__(result, "_return_value", returned)
    _end(result, TaskResultStatus.SUCCESSFUL)
    task_finished.send_robust(sender, task_result=result)
    return returned


def _begun(job_id: UUID) -> tuple[Job, TaskResult[Any]]:
    try:
        job = Job.objects.get(id=job_id)
        return job, result_of(job)
    except (OperationalError, InterfaceError) as error:
        # No failure of the task's, which knows nothing yet.
        raise RetryLater(f"The database did not answer: {error}") from error
    except NoDjangoTask:
        raise
    except UnknownDjangoTask as error:
        # This worker's code may be older than the task.
        if job.attempt * _LOOK_AGAIN_AFTER > jobs_settings().UNKNOWN_TASK_GRACE:
            raise
        raise RetryLater(str(error), after=_LOOK_AGAIN_AFTER) from error


def _called(result: TaskResult[Any]) -> Any:
    first = [TaskContext(task_result=result)] if result.task.takes_context else []
    return result.task.call(*first, *result.args, **result.kwargs)


def _is_final(job: Job, error: BaseException, *, retries: bool) -> bool:
    """Say whether the job ends with this error, as :mod:`jobs.retry` will decide."""
    match error:
        case LeaseLost() | RetryLater():
            return False
        case Discard() | Cancelled() | PermanentError():
            return True
        case SystemExit():
            if type(error) is not SystemExit:  # Celery's own, by which a worker ends
                return False
    return not retries or job.failures + job.crashes + 1 >= job.max_attempts


def _end(result: TaskResult[Any], status: TaskResultStatus) -> None:
    # The API's results are frozen for their readers; backends set them so.
    object.__setattr__(result, "finished_at", timezone.now())
    object.__setattr__(result, "status", status)
