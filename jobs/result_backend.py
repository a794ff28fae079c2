"""``AsyncResult(job.id)``: what Celery is asked about a task is answered from the job's row.

So it is right from the first moment on, PENDING and RETRY included, and cannot be overtaken by a
late message. Nothing is ever stored through it: the settlement writes the result. A step of a
workflow that is not started, because the one before it failed, has no row but a result all the same
(:mod:`jobs.workflow_failures`), so that nobody waits for it in vain.
"""

import builtins
import json
from collections.abc import Sequence
from itertools import groupby
from typing import Any
from uuid import UUID

from celery import states
from celery.result import GroupResult
from celery.utils.serialization import create_exception_cls
from django.core.exceptions import ValidationError
from django_celery_results.backends import DatabaseBackend
from django_celery_results.models import TaskResult

from jobs import errors
from jobs.canvas import add_group
from jobs.models import DeadLetter, Job
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
            return meta | self._of_what_was_not_started(task_id)
        state = State(job.state)
        if state == State.DEAD and job.root_id is not None:
            # In a workflow, a replay has the dead job's place: who waits for it, waits for that.
            replay = DeadLetter.objects.filter(job=job).values_list("replayed_as", flat=True)
            if (instead := replay.first()) is not None:
                return self._get_task_meta_for(str(instead)) | {"task_id": task_id}
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
            "parent_id": job.parent_id and str(job.parent_id),
            "group_id": job.group_id and str(job.group_id),
            "children": _children(job) if status in states.READY_STATES else None,
        }

    def _of_what_was_not_started(self, task_id: str) -> dict[str, Any]:
        kept = TaskResult.objects.filter(
            task_id=task_id, status__in=states.PROPAGATE_STATES
        ).first()
        if kept is None:
            return {}
        error = json.loads(kept.result or "{}")
        if error["exc_module"] == "builtins":
            error["exc_module"] = _module_of(error["exc_type"])
        return {
            "status": kept.status,
            "result": self.exception_to_python(error),
            "date_done": kept.date_done,
            "name": kept.task_name,
        }

    def exception_to_python(self, exc: Any) -> Any:
        """Return the error that a row keeps: of its class, whatever else that asks for."""
        if not isinstance(exc, dict):
            return super().exception_to_python(exc)
        name, module, (text,) = exc["exc_type"], exc["exc_module"], exc["exc_message"]
        kind = getattr(errors, name, None) if module == errors.__name__ else None
        if isinstance(kind, type) and issubclass(kind, errors.JobsError):
            return kind.told(text)
        made = super().exception_to_python(exc)
        if type(made) is Exception and name != "Exception":  # its class has refused the text
            return create_exception_cls(name, module)(text)
        return made

    def _restore_group(self, group_id: str) -> dict[str, Any] | None:
        """Return a group by its id: as it was saved, or by the rows of its parts."""
        saved: dict[str, Any] | None = super()._restore_group(group_id)
        if saved and saved["result"]:
            return saved
        parts = Job.objects.filter(group_id=group_id, replay_of=None).order_by("group_index", "id")
        results = [self.app.AsyncResult(str(id_)) for id_ in parts.values_list("id", flat=True)]
        if not results:
            return None
        return {"result": GroupResult(group_id, results, app=self.app), "date_done": None}

    def apply_chord(
        self, header_result_args: tuple[str, Sequence[Any]], body: Any, **_: Any
    ) -> None:
        """Keep the header of a chord that starts: its parts are counted by their settlements."""
        group_id, results = header_result_args
        add_group(group_id, list(results), body)


def _children(job: Job) -> list[Any] | None:
    """Return the jobs that this one started, as Celery's ``result_from_tuple`` takes them."""
    started = (
        Job.objects.filter(parent_id=job.id)
        .order_by("group_id", "group_index", "id")
        .values_list("id", "group_id")
    )
    children: list[Any] = []
    for group_id, members in groupby(started, key=lambda row: row[1]):
        results = [((str(id_), None), None) for id_, _ in members]
        # A single one may be the end of a chain in a group that began elsewhere.
        if group_id is None or len(results) == 1:
            children += results
        else:
            children.append(((str(group_id), None), results))
    return children or None
