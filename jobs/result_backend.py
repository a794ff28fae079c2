"""``AsyncResult(job.id)``: what Celery is asked about a task is answered from the job's row.

So it is right from the first moment on, PENDING and RETRY included, and cannot be overtaken by a
late message. Nothing is ever stored through it: the settlement writes the result.
"""

import builtins
from typing import Any
from uuid import UUID

from celery import states
from django.core.exceptions import ValidationError
from django_celery_results.backends import DatabaseBackend

from jobs.models import Job
from jobs.states import State

_CELERY_STATE = {
    State.AVAILABLE: states.PENDING,
    State.QUEUED: states.PENDING,
    State.RUNNING: states.STARTED,
    State.SUCCEEDED: states.SUCCESS,
    State.CANCELLED: states.REVOKED,
    State.DEAD: states.FAILURE,
}


def _module_of(error_type: str) -> str:
    return "builtins" if hasattr(builtins, error_type) else "jobs.errors"


class JobsBackend(DatabaseBackend):  # type: ignore[misc]
    """A Celery result backend that reads jobs and writes nothing."""

    def _store_result(self, *_args: Any, **_kwargs: Any) -> None:
        """Do nothing: the settlement has written it."""

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        meta: dict[str, Any] = {"task_id": task_id, "status": states.PENDING, "result": None}
        try:
            job = Job.objects.filter(id=UUID(task_id)).first()
        except (ValueError, ValidationError):
            return meta
        if job is None:
            return meta
        state = State(job.state)
        if state == State.SCHEDULED:
            status: str = states.RETRY if job.attempt else states.PENDING
        else:
            status = _CELERY_STATE[state]
        result: Any = job.result
        if state in {State.DEAD, State.CANCELLED} or status == states.RETRY:
            revoked = status == states.REVOKED  # what Celery's callers catch, whatever the reason
            result = {
                "exc_type": "TaskRevokedError" if revoked else job.error_type,
                "exc_message": [job.error],
                "exc_module": "celery.exceptions" if revoked else _module_of(job.error_type),
            }
        return meta | {
            "status": status,
            "result": self.exception_to_python(result)
            if status in states.EXCEPTION_STATES
            else result,
            "date_done": job.finished_at,
            "name": job.task,
            "queue": job.queue,
            "retries": job.failures,
        }
