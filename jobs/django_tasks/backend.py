"""The backend: what ``TASKS`` may say, what it accepts, and how a task becomes a job.

Options, all of them optional:

- ``queues``: their queue names -> ours; what tasks call ``default`` runs in ``maintenance``.
- ``retry``: a task that raised is tried again, as its queue says. Off: it has failed.

Nothing here imports models at once: apps may declare tasks before Django has loaded any.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.core.checks import CheckMessage, Error
from django_tasks.backends.base import BaseTaskBackend
from django_tasks.base import DEFAULT_TASK_QUEUE_NAME, Task, TaskResult
from django_tasks.exceptions import InvalidTaskError, TaskResultDoesNotExist
from django_tasks.signals import task_enqueued
from django_tasks.utils import normalize_json

from jobs.queues import QUEUES

_OPTIONS = {"queues": dict, "retry": bool}


class JobsBackend(BaseTaskBackend):
    """Runs tasks as jobs of the engine."""

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        #: Whether a task that raised is tried again.
        self.retries = self.options.get("retry") is True
        named = self.options.get("queues")
        #: The name of a queue, as tasks say it -> the lane where they run.
        self.lanes = {name: name for name in QUEUES} | {DEFAULT_TASK_QUEUE_NAME: "maintenance"}
        self.lanes |= named if isinstance(named, dict) else {}  # if not, the check says so
        if "QUEUES" not in params:
            self.queues = set(self.lanes)

    def validate_task(self, task: Task[Any, Any]) -> None:
        """Raise ``InvalidTaskError`` when the backend cannot run the task."""
        known = set(self.lanes) & (self.queues or set(self.lanes))
        if task.queue_name not in known or self.lanes[task.queue_name] not in QUEUES:
            hint = _nearest(task.queue_name, known)
            raise InvalidTaskError(f"Queue '{task.queue_name}' is not valid for backend.{hint}")
        super().validate_task(task)

    def enqueue(
        self, task: Task[Any, Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> TaskResult[Any]:
        """Make a job of this call, in the caller's transaction.

        Raises:
            InvalidTaskError: workers could not run it, or not find it under its name.
            TypeError: an argument is nothing that JSON holds.
            EnqueueError: the engine refuses the arguments: too large, NaN, NUL characters.
        """
        from jobs.django_tasks.lookup import UnknownDjangoTask, find_task
        from jobs.django_tasks.results import result_of
        from jobs.django_tasks.tasks import carry

        self.validate_task(task)
        try:
            found = find_task(task.module_path)
        except UnknownDjangoTask as error:
            raise InvalidTaskError(f"Workers could not find the task. {error}") from error
        if found.func is not task.func:
            raise InvalidTaskError(f"{task.module_path!r} is another task.")
        job = carry(
            task,
            normalize_json(args),
            normalize_json(kwargs),
            lane=self.lanes[task.queue_name],
            retries=self.retries,
        )
        result = result_of(job, task)
        # Who listens is told, and cannot fail the caller: the job may be committed already.
        task_enqueued.send_robust(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> TaskResult[Any]:
        """Return what is known of a task by the id of its job.

        Raises:
            TaskResultDoesNotExist: there is no such job, or not any more, or of another kind.
            UnknownDjangoTask: the task itself is not there any more.
        """
        from jobs.django_tasks.results import result_of
        from jobs.django_tasks.tasks import CARRIERS
        from jobs.models import Job

        try:
            job = Job.objects.get(id=UUID(result_id), task__in=CARRIERS)
        except (Job.DoesNotExist, ValueError):
            raise TaskResultDoesNotExist(result_id) from None
        return result_of(job)

    def check(self, **_: Any) -> Iterable[CheckMessage]:
        """``jobs.E003``: ``TASKS`` says something that cannot be."""
        problems = [
            f"there is no option {name!r}.{_nearest(name, _OPTIONS)}"
            for name in self.options
            if name not in _OPTIONS
        ]
        problems += [
            f"the option {name!r} must be a {kind.__name__}."
            for name, kind in _OPTIONS.items()
            if name in self.options and not isinstance(self.options[name], kind)
        ]
        problems += [
            f"{name!r} is to run in {lane!r}, which is no queue.{_nearest(lane, QUEUES)}"
            for name, lane in self.lanes.items()
            if lane not in QUEUES
        ]
        problems += [
            f"the queue {name!r} has no lane: name one in the option 'queues'."
            for name in sorted(self.queues - set(self.lanes))
        ]
        for problem in problems:
            yield Error(
                f"TASKS[{self.alias!r}]: {problem}",
                hint="See docs/how-to/use-django-tasks.md.",
                id="jobs.E003",
            )


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
