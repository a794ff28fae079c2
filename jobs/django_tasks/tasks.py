"""The engine's tasks that carry those of the Tasks API, and how a call becomes a job of them."""

from datetime import datetime
from typing import Annotated, Any

from annotated_types import Ge, Le, MaxLen
from django_tasks.base import TASK_MAX_PRIORITY, TASK_MIN_PRIORITY, Task
from pydantic import AfterValidator, JsonValue
from pydantic_core import PydanticCustomError

from jobs.django_tasks.lookup import belongs_to_an_app
from jobs.django_tasks.runner import run
from jobs.errors import PermanentError
from jobs.models import Job, Priority
from jobs.running import current_job
from jobs.task import job_task

ONCE, RETRYING = "jobs.run_django_task", "jobs.retry_django_task"
CARRIERS = (ONCE, RETRYING)

#: From this priority of the API on, a task is critical; above 0 it is high, below 0 low.
CRITICAL_FROM = 50


def _of_an_app(path: str) -> str:
    if not belongs_to_an_app(path):
        raise PydanticCustomError("no_app", "expected the path of a task of an installed app")
    return path


Path = Annotated[str, MaxLen(400), AfterValidator(_of_an_app)]
ApiPriority = Annotated[int, Ge(TASK_MIN_PRIORITY), Le(TASK_MAX_PRIORITY)]


def _carry(
    *,
    path: Path,
    args: list[JsonValue] | None = None,
    kwargs: dict[str, JsonValue] | None = None,
    backend: str | None = None,
    queue_name: str | None = None,
    priority: ApiPriority | None = None,
    run_after: datetime | None = None,
) -> Any:
    """Run the task of Django's Tasks API that is found at a path, such as ``shop.tasks.tidy``.

    ``jobs.retry_django_task`` tries again when it raised, ``jobs.run_django_task`` does not. What
    comes after ``kwargs`` is how it was enqueued, for who asks the API; the job runs as it says.
    """
    running = current_job()
    if running is None:
        raise PermanentError("A task is carried only by a job; call the task itself.")
    return run(running.id, retries=running.task == RETRYING)


run_django_task = job_task(name=ONCE, queue="maintenance", on_error={Exception: "die"})(_carry)
retry_django_task = job_task(name=RETRYING, queue="maintenance")(_carry)


def carry(
    task: Task[Any, Any], args: list[Any], kwargs: dict[str, Any], *, lane: str, retries: bool
) -> Job:
    """Make a job of a call; raises :class:`~jobs.errors.EnqueueError`.

    Args:
        task: With its options, valid for its backend.
        args: JSON.
        kwargs: JSON.
        lane: The queue of ours where it runs.
        retries: Whether it is tried again when it raised.
    """
    carrier = retry_django_task if retries else run_django_task
    return carrier.using(
        queue=lane, priority=priority_of(task.priority), run_at=task.run_after
    ).enqueue(
        path=task.module_path,
        args=args,
        kwargs=kwargs,
        backend=task.backend,
        queue_name=task.queue_name,
        priority=task.priority,
        run_after=task.run_after,
    )


def priority_of(priority: int) -> Priority:
    """Return the class of one of the API's priorities, which go from -100 (last) to 100."""
    if priority >= CRITICAL_FROM:
        return Priority.CRITICAL
    if priority == 0:
        return Priority.NORMAL
    return Priority.HIGH if priority > 0 else Priority.LOW
