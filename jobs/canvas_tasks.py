"""The engine's tasks for Celery's ``map``, ``starmap`` and ``chunks``; what errbacks are told."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

from jobs import binding, payload
from jobs.errors import EnqueueError, InvalidPayload, UnknownTask
from jobs.running import current_job
from jobs.task import JobTask, get_task, job_task

AnyTask = JobTask[Any, Any]


class FailedJob(BaseModel):
    """The job that died, as an error callback may take it: ``def on_error(request: FailedJob, …)``.

    For a chord, the body that is not started.
    """

    model_config = ConfigDict(extra="forbid")

    id: str
    task: str
    args: list[Any] = []
    #: Its arguments; those that are secret are masked.
    kwargs: dict[str, Any]
    #: The workflow, the job that started it, its group.
    root_id: str | None
    parent_id: str | None
    group: str | None
    group_index: int | None
    #: Failures and crashes before the last.
    retries: int


def _mappable(name: str) -> str:
    """Let pass a task that may be mapped: whoever enqueues a mapping by hand is asked here."""
    try:
        task = get_task(name)
    except UnknownTask as error:
        raise ValueError(str(error)) from None
    if payload.takes_secrets(task.definition.arguments):
        raise ValueError(f"{name} takes secrets, so it cannot be mapped")
    return name


Mapped = Annotated[str, AfterValidator(_mappable)]


@job_task(name="jobs.map", queue="maintenance")
def run_each(*, task: Mapped, items: list[dict[str, Any]]) -> list[Any]:
    """Run a task for each of these arguments, one after the other; returns the results.

    What Celery's ``task.map(…)``, ``task.starmap(…)`` and ``task.chunks(…)`` become, on the queue
    of the task. When one fails, all run again.
    """
    return _run_each(task, items)


@job_task(name="jobs.map_atomic", queue="maintenance", atomic=True)
def run_each_atomically(*, task: Mapped, items: list[dict[str, Any]]) -> list[Any]:
    """Run an atomic task for each of these arguments, all in one transaction, or none."""
    return _run_each(task, items)


def _run_each(name: str, items: list[dict[str, Any]]) -> list[Any]:
    task, running, results = get_task(name), current_job(), []
    step = max(1, len(items) // 100)
    for done, item in enumerate(items, start=1):
        arguments, _ = payload.unseal(task.definition.arguments, name, item, None)
        results.append(task.run(**arguments))
        if running is not None and done % step == 0:
            running.progress(done, len(items))
    return results


def mapping_of(name: str, kind: str, items: Iterable[Any]) -> tuple[AnyTask, dict[str, Any], str]:
    """Return the task that maps, its arguments, and its queue.

    Args:
        name: The task to run for each item.
        kind: ``celery.map`` (an item is one argument) or ``celery.starmap`` (several).
        items: What it runs with. A task that takes keyword arguments only takes dictionaries.

    Raises:
        InvalidPayload: an item does not fit; ``problems`` name it by its place.
    """
    task = get_task(name)
    model = task.definition.arguments
    if payload.takes_secrets(model):
        raise EnqueueError(f"{name} takes secrets, so it cannot be mapped")
    checked = []
    for place, item in enumerate(items):
        try:
            named = _named(task, item if kind == "celery.starmap" else (item,))
            checked.append(payload.seal(name, payload.check(model, name, named)).payload)
        except InvalidPayload as error:
            problems = {f"{place}.{field}": what for field, what in error.problems.items()}
            raise type(error)(name, problems) from None
    engine = run_each_atomically if task.definition.atomic else run_each
    return engine, {"task": name, "items": checked}, task.definition.queue


def _named(task: AnyTask, args: Any) -> dict[str, Any]:
    if len(args) == 1 and isinstance(args[0], Mapping) and not binding.takes_positions(task.run):
        return dict(args[0])
    return binding.bind(task.run, task.name, args, {})
