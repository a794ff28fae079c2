"""What the Tasks API tells of a task, read from its job and its attempts."""

import builtins
import re
from datetime import datetime
from typing import Any

from django_tasks.base import (
    DEFAULT_TASK_BACKEND_ALIAS,
    Task,
    TaskError,
    TaskResult,
    TaskResultStatus,
)
from django_tasks.exceptions import InvalidTaskBackendError, InvalidTaskError

from jobs import errors
from jobs.django_tasks.lookup import find_task
from jobs.models import Attempt, Job
from jobs.states import State

_STATUS = {
    State.SCHEDULED: TaskResultStatus.READY,
    State.AVAILABLE: TaskResultStatus.READY,
    State.QUEUED: TaskResultStatus.READY,
    State.RUNNING: TaskResultStatus.RUNNING,
    State.SUCCEEDED: TaskResultStatus.SUCCESSFUL,
    State.CANCELLED: TaskResultStatus.FAILED,
    State.DEAD: TaskResultStatus.FAILED,
}

_STOPPED = frozenset({Attempt.Outcome.DISCARDED, Attempt.Outcome.CANCELLED})
#: What the API calls an error. An attempt that was snoozed or given back is none.
_ERRORS = _STOPPED | {Attempt.Outcome.FAILED, Attempt.Outcome.CRASHED}

#: What the engine's names stand for, where they are no exceptions of its own.
_STAND_FOR = {
    "TaskExited": "builtins.SystemExit",
    "WorkerLost": "celery.exceptions.WorkerLostError",
}
#: How Python goes on after the traceback of an error that caused another.
_CAUSED = "\n\nThe above exception was the direct cause of the following exception:"

#: In place of a worker, where a test or a command runs the job itself.
_NO_WORKER = "none"


def result_of(job: Job, task: Task[Any, Any] | None = None) -> TaskResult[Any]:
    """Return what is known of the job of a task.

    Args:
        job: As it is in the database.
        task: As it was enqueued, if that is at hand; else it is found by its path.

    Raises:
        UnknownDjangoTask: it is not there any more.
    """
    runs = job.state == State.RUNNING
    last = job.attempt - runs  # that had ended when the job was read; mostly none: one query less
    ended = list(job.attempts.filter(number__lte=last)) if last else []
    # What was given back may not have begun, and does not count for the engine either.
    begun = [attempt for attempt in ended if attempt.outcome != Attempt.Outcome.RELEASED]
    starts = [attempt.started_at for attempt in begun] + ([job.started_at] if runs else [])
    workers = [attempt.worker for attempt in begun] + ([job.worker] if runs else [])
    result: TaskResult[Any] = TaskResult(
        task=task or _task_of(job),
        id=str(job.id),
        status=_STATUS[State(job.state)],
        enqueued_at=job.enqueued_at,
        started_at=starts[0] if starts else None,
        last_attempted_at=starts[-1] if starts else None,
        finished_at=job.finished_at,
        args=job.payload.get("args") or [],
        kwargs=job.payload.get("kwargs") or {},
        backend=job.payload.get("backend") or DEFAULT_TASK_BACKEND_ALIAS,
        errors=_errors_of(job, ended),
        worker_ids=[str(worker or _NO_WORKER) for worker in workers],
    )
    object.__setattr__(result, "_return_value", job.result)  # frozen, but meant to be set so
    return result


def _task_of(job: Job) -> Task[Any, Any]:
    declared = find_task(job.payload["path"])
    run_after = job.payload.get("run_after")
    try:
        return declared.using(
            backend=job.payload.get("backend"),
            queue_name=job.payload.get("queue_name"),
            priority=job.payload.get("priority"),
            run_after=datetime.fromisoformat(run_after) if run_after else None,
        )
    except (InvalidTaskError, InvalidTaskBackendError):
        # The settings have changed since it was enqueued; what was accepted is run all the same.
        return declared


def _errors_of(job: Job, ended: list[Attempt]) -> list[TaskError]:
    told = [
        _error(attempt.error_type, attempt.error, attempt.traceback)
        for attempt in ended
        if attempt.outcome in _ERRORS
    ]
    stopped = bool(ended) and ended[-1].outcome in _STOPPED
    if job.state == State.CANCELLED and not stopped:
        told.append(_error("Cancelled", "The job was cancelled while it waited.", ""))
    elif job.state == State.DEAD and not told:
        told.append(_error(job.error_type, job.error, ""))
    return told


def _error(kind: str, text: str, traceback: str) -> TaskError:
    if kind == "TaskExited" and _CAUSED in traceback:
        traceback = traceback.partition(_CAUSED)[0] + "\n"
    return TaskError(
        exception_class_path=_path_of(kind, traceback), traceback=traceback or f"{kind}: {text}\n"
    )


def _path_of(kind: str, traceback: str) -> str:
    """Return the dotted path of an exception's class, of which a job keeps the name alone.

    The line that ends the traceback has the whole of it, without a module for builtins.
    """
    if kind in _STAND_FOR:
        return _STAND_FOR[kind]
    line = rf"^[ |]*((?:[\w<>]+\.)*){re.escape(kind)}(?::|$)"
    builtin = hasattr(builtins, kind)
    for module in reversed(re.findall(line, traceback, re.MULTILINE)):
        if module or builtin:
            return f"{module or 'builtins.'}{kind}"
    if hasattr(errors, kind):
        return f"jobs.errors.{kind}"
    return f"builtins.{kind if builtin else 'Exception'}"
