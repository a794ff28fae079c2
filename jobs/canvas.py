"""Celery's canvas becomes rows: what starts now is inserted, what follows waits on its row.

Celery's own ``chain``, ``group`` and ``chord`` do the composing, here and when a settlement goes on
(:mod:`jobs.workflows`). All that they send ends in :func:`apply`; what one call of them sends is
inserted as one workflow, all or nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any
from uuid import UUID

import uuid_utils.compat
from celery import canvas, current_app
from celery.result import AsyncResult, GroupResult
from django.db import transaction

from jobs import binding, payload, signatures
from jobs.canvas_tasks import mapping_of
from jobs.context import current_context, job_context
from jobs.definition import LONGEST_WAIT, Options
from jobs.enqueue import enqueue, new_job
from jobs.errors import EnqueueError, InvalidPayload
from jobs.models import Group
from jobs.options import check_options
from jobs.running import current_job
from jobs.task import get_task
from jobs.weave import (
    PASSED_ON_LIMIT,
    Weave,
    add_workflow,
    bear_dead,
    current_weave,
    ids_used_once,
    insert,
    kept,
    placement,
    uuid_in,
    weaving,
)

if TYPE_CHECKING:
    from jobs.task import JobTask

    AnyTask = JobTask[Any, Any]

Result = AsyncResult[Any]


def apply(
    task: "AnyTask", args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
) -> Result:
    """Make a job of one call of a task; see :meth:`jobs.task.JobTask.apply_async`."""
    weave = current_weave()
    if weave is not None:
        return _result(_collect(weave, task, args, kwargs, options))
    if any(options.get(name) for name in ("chain", "link", "link_error")):
        signature: Any = canvas.Signature(task, tuple(args), dict(kwargs), dict(options))
        result: Result = as_workflow(signature, lambda: apply(task, args, kwargs, options))
        return result
    arguments = binding.bind(task.run, task.name, args, kwargs)
    given = _options(task.name, options)
    if options.get("task_id"):
        given = replace(given, job_id=uuid_in(options, "task_id", task.name))
    return _result(str(enqueue(task, arguments, given).id))


def send(
    name: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
) -> Result:
    """Make a job of a call by name; raises :class:`UnknownTask`."""
    weave = current_weave()
    try:
        if name in {"celery.map", "celery.starmap"}:
            task, arguments, queue = mapping_of(kwargs["task"]["task"], name, kwargs["it"])
            return apply(task, (), arguments, {**options, "queue": options.get("queue") or queue})
        return apply(get_task(name), args, kwargs, options)
    except EnqueueError as error:
        if weave is None or not weave.continues:
            raise
        return _result(bear_dead(weave, name, _raw(args, kwargs), options, error))


def as_workflow(signature: signatures.Signature, start: Callable[[], Any]) -> Any:
    """Start a canvas by ``start``, as one workflow; its result gets a ``workflow_id``."""
    running = current_job()
    parent_id = str(running.id) if running else None
    weave = Weave(root_id=str(uuid_utils.compat.uuid7()), parent_id=parent_id)
    correlation_id = current_context().correlation_id or uuid_utils.compat.uuid7().hex
    with weaving(weave), job_context(correlation_id=correlation_id):
        result = start()
    if not weave.jobs:
        return result
    first = weave.jobs[0]
    if len(weave.jobs) == 1 and not first.canvas and not first.group_id:
        weave.jobs = [replace(first, root_id=None)]  # one job that nothing follows
        with ids_used_once(first.task), transaction.atomic():
            insert(weave)
        return result
    with ids_used_once(first.task), transaction.atomic():
        add_workflow(
            first,
            name=signatures.told(signature),
            total=sum(1 for _ in signatures.leaves(signature)),
        )
        insert(weave)
    result.workflow_id = weave.root_id
    return result


def workflow_id_of(started: Any) -> str:
    """Return the id of the workflow that a call of a canvas has started, by its result.

    Raises:
        LookupError: it was a single job, or nothing at all.
    """
    workflow_id = getattr(started, "workflow_id", None)
    if workflow_id is None:
        raise LookupError("This is no result of a chain, a group or a chord.")
    return str(workflow_id)


def add_group(group_id: str, results: Sequence[Any], body: signatures.Signature) -> None:
    """A chord starts: its parts are counted, and the last one's settlement starts the body."""
    weave = current_weave()
    assert weave is not None, "chords are started as parts of a workflow"
    shape = [_shape(result) for result in results]
    if not (total := _count(shape)):
        canvas.signature(dict(body)).apply_async((shape,))
        return
    group = Group(
        id=UUID(uuid_in({"group_id": group_id}, "group_id", body["task"])),
        root_id=UUID(weave.root_id),
        pending=total,
        total=total,
        # In a flat header the parts' numbers tell their order.
        shape=shape if any(isinstance(part, list) for part in shape) else None,
        body=kept(body["task"], signatures.plain(body)),
    )
    if not weave.continues:
        check_follow_up(group.body)
    weave.groups.append(group)


def _shape(result: Any) -> Any:
    if isinstance(result, GroupResult):
        return [_shape(part) for part in result.results or []]
    return str(result.id)


def _count(shape: Any) -> int:
    return sum(map(_count, shape)) if isinstance(shape, list) else 1


def _collect(
    weave: Weave,
    task: "AnyTask",
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    options: Mapping[str, Any],
) -> str:
    name = task.definition.name
    arguments = _raw(args, kwargs)
    try:
        job_id = uuid_in(options, "task_id", name)
        placed = placement(weave, name, options)
        if not weave.continues:
            _check_what_follows(placed.canvas or {})
        bind = binding.bind_passed_on if weave.continues else binding.bind
        arguments = bind(task.run, name, args, kwargs)
        checked = payload.check(task.definition.arguments, name, arguments)
        sealed = payload.seal(name, checked, PASSED_ON_LIMIT if weave.continues else None)
        given = replace(_options(name, options), job_id=job_id, placed=placed)
        new = new_job(task, sealed, given)
    except EnqueueError as error:
        if not weave.continues:
            raise
        return bear_dead(weave, name, arguments, options, error)
    weave.jobs.append(new)
    return job_id


def _raw(args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {**kwargs, **({"args": list(args)} if args else {})}


def _result(job_id: str) -> Result:
    return AsyncResult(job_id, app=current_app)


def _options(task: str, options: Mapping[str, Any]) -> Options:
    countdown, eta, expires = (options.get(name) for name in ("countdown", "eta", "expires"))
    if countdown and eta:
        twice = dict.fromkeys(("countdown", "eta"), "expected one of countdown and eta, not both")
        raise InvalidPayload(task, twice)
    is_time = expires is None or isinstance(expires, str | datetime | timedelta)
    return Options(
        queue=options.get("queue"),
        priority=options.get("priority"),
        tenant=options.get("tenant"),
        delay=_seconds(task, "countdown", countdown) if countdown else None,
        run_at=_instant(task, "eta", eta),
        expires=(_instant if is_time else _seconds)(task, "expires", expires),
    )


def _seconds(task: str, name: str, value: Any) -> timedelta:
    try:
        return timedelta(seconds=value)
    except (TypeError, ValueError, OverflowError):
        problem = f"expected seconds, those of {LONGEST_WAIT.days} days at most, not {value!r}"
        raise InvalidPayload(task, {name: problem}) from None


def _instant(task: str, name: str, value: Any) -> Any:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise InvalidPayload(task, {name: "expected a time with a zone"}) from None


# --- what follows, checked when it is asked for --------------------------------------------------


def _check_what_follows(kept_canvas: Mapping[str, Any]) -> None:
    for name in ("chain", "link", "link_error"):
        for signature in kept_canvas.get(name, []):
            check_follow_up(signature)


def check_follow_up(signature: signatures.Signature) -> None:
    """Tell the caller what could never be started; the rest turns out when its time comes.

    Raises:
        UnknownTask: with "did you mean …?".
        InvalidPayload: an argument that the task does not have, or an option that makes no sense.
        EnqueueError: a task that takes secrets, which a row would tell to everybody.
    """
    for leaf in signatures.leaves(signature):
        if leaf["task"] in {"celery.map", "celery.starmap"}:
            mapping_of(leaf["kwargs"]["task"]["task"], leaf["task"], leaf["kwargs"]["it"])
            continue
        task = get_task(leaf["task"])
        name, model = task.definition.name, task.definition.arguments
        given = _options(name, leaf["options"])
        check_options(
            name, given, current_context().tenant if given.tenant is None else given.tenant
        )
        if payload.takes_secrets(model):
            raise EnqueueError(f"{name} takes secrets, so it cannot follow another job")
        arguments = binding.bind(task.run, name, leaf["args"], leaf["kwargs"])
        if unknown := sorted(arguments.keys() - model.model_fields.keys()):
            expected = ", ".join(model.model_fields) or "no arguments"
            problem = f"unknown argument; expected {expected}"
            raise InvalidPayload(name, dict.fromkeys(unknown, problem))


# --- what Celery is taught -----------------------------------------------------------------------


def teach_celery() -> None:
    """Have Celery's canvas start each of its calls as one workflow. May be called again."""
    # Jobs are listed in the order of their ids; Celery's own would be random.
    ours: Any = canvas
    ours.uuid = lambda: str(uuid_utils.compat.uuid7())
    for kind in (ours._chain, ours.group, ours._chord):
        if not hasattr(kind.apply_async, "starts_workflows"):
            kind.apply_async = _as_one(kind.apply_async)


def _as_one(apply_async: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(apply_async)
    def start(self: Any, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        if current_weave() is not None:
            return apply_async(self, args, kwargs, **options)
        whole = {
            **self,
            # A chord may get its body, and anything its callbacks, with the call.
            "kwargs": {**self["kwargs"], **_body_in(kwargs)},
            "options": {**self["options"], **options},
        }
        return as_workflow(whole, lambda: apply_async(self, args, kwargs, **options))

    start.starts_workflows = True  # type: ignore[attr-defined]
    return start


def _body_in(kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    body = (kwargs or {}).get("body")
    return {"body": body} if isinstance(body, canvas.Signature) else {}
