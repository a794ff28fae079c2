"""What an end without success stops: the rest of a chain, a chord's body; and who is told.

Other parts of the workflow go on. What is not started any more gets a result, so that nobody waits
for it for ever, and a dead job's error callbacks are jobs of their own. A replay of the dead job
takes all that back: the workflow goes on where it stood when it succeeds.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.utils import timezone
from django_celery_results.models import TaskResult

from jobs import binding, signatures
from jobs.ended import Ended, traceback_of
from jobs.errors import UnknownTask
from jobs.follow_ups import start
from jobs.models import Job
from jobs.sql import fetch
from jobs.states import State
from jobs.task import get_task
from jobs.weave import Weave

#: The "worker" of results that stand for jobs that were not started; the pruner knows them by it.
NOT_STARTED = "not started"

_FAIL = """
    UPDATE jobs_group
    SET failures = failures + 1, failed_at = COALESCE(failed_at, clock_timestamp())
    WHERE id = %s::uuid RETURNING failures, body
"""
_MEND = """
    UPDATE jobs_group
    SET failures = failures - 1, failed_at = CASE WHEN failures > 1 THEN failed_at END
    WHERE id = %s::uuid AND failures > 0 RETURNING failures, body
"""


@dataclass(frozen=True, kw_only=True)
class _Cause:
    """Why something is not started, as Celery keeps it."""

    status: str
    exc_type: str
    message: str
    module: str = "builtins"


def stop(weave: Weave, job: Ended, told: set[UUID]) -> None:
    """A job died, was cancelled, or its workflow was: stop what would have followed.

    Of a workflow that was cancelled, a chord is ``told`` once, not by each of its parts.
    """
    if job.state == State.DEAD and not job.stopped:
        for errback in job.canvas.get("link_error", []):
            _tell(weave, errback, job, str(job.id), job.task, job.told_error)
    if job.state == State.DEAD:
        cause = _Cause(status="FAILURE", exc_type=job.error_type, message=job.error)
    else:
        cause = _Cause(
            status="REVOKED",
            exc_type="TaskRevokedError",
            message=_why(job),
            module="celery.exceptions",
        )
    _never_start(_followers(job.canvas), cause)
    groups = _groups(job.canvas, job.group_id)
    for group_id in groups - told if job.stopped else groups:
        _fail_group(weave, group_id, job)
    told |= groups


def _why(job: Ended) -> str:
    if job.stopped:
        return "TaskRevokedError: the workflow was cancelled"
    if job.state == State.CANCELLED:
        return f"TaskRevokedError: {job.error or 'it was cancelled'}"
    return job.told_error


def _fail_group(weave: Weave, group_id: UUID, job: Ended) -> None:
    for failures, told in fetch(_FAIL, [str(group_id)]):
        if failures > 1:
            continue  # the first has told everybody
        body = json.loads(told)
        error = f"Dependency {job.id} raised {_why(job)}"
        cause = _Cause(
            status="FAILURE", exc_type="ChordError", message=error, module="celery.exceptions"
        )
        _never_start([body], cause)
        for part, errbacks in _errbacks(body):
            for errback in errbacks if not job.stopped else ():
                _tell(weave, errback, job, part["options"].get("task_id", ""), part["task"], error)
        for outer in _groups({"chain": [body]}, None):
            _fail_group(weave, outer, job)


def _errbacks(body: signatures.Signature) -> Iterator[tuple[signatures.Signature, list[Any]]]:
    """Yield who is told that a body is not started: those of a group are told of each task."""
    own = signatures.listed(body["options"].get("link_error"))
    match signatures.kind_of(body):
        case "group":
            for part in body["kwargs"]["tasks"]:
                theirs = signatures.listed(part["options"].get("link_error"))
                yield part, [*theirs, *(errback for errback in own if errback not in theirs)]
        case "chord" | "chain" as kind:
            given = body["kwargs"]
            inner = given["body"] if kind == "chord" else given["tasks"][0]
            yield inner, own
            yield from _errbacks(inner)
        case _:
            yield body, own


def _tell(
    weave: Weave, errback: signatures.Signature, job: Ended, failed: str, task: str, error: str
) -> None:
    """Start an error callback: with the failed job, its error and traceback, or with its id."""
    itself = failed == str(job.id)
    failure = {
        "request": {
            "id": failed,
            "task": task,
            "args": [],
            "kwargs": job.payload if itself else {},
            "root_id": str(job.root_id),
            "parent_id": str(job.parent_id) if itself and job.parent_id else None,
            "group": str(job.group_id) if itself and job.group_id else None,
            "group_index": job.group_index if itself else None,
            "retries": max(0, job.spent - 1) if itself else 0,
        },
        "exc": error,
        "traceback": traceback_of(job.id),
    }
    args: Sequence[Any] = (failed,)
    kwargs: dict[str, Any] = {}
    try:
        if signatures.kind_of(errback) == "task":
            args, kwargs = binding.bind_failure(
                get_task(errback["task"]).run,
                (errback["args"], errback["kwargs"]),
                job_id=failed,
                failure=failure,
            )
    except UnknownTask:
        pass  # it is dead at birth, and says so
    start(weave, errback, args, job, kwargs=kwargs)


# --- what is not started -------------------------------------------------------------------------


def _followers(canvas: dict[str, Any]) -> list[signatures.Signature]:
    return [*canvas.get("chain", []), *canvas.get("link", [])]


def _groups(canvas: dict[str, Any], group_id: UUID | None) -> set[UUID]:
    """Return the chords that wait for a job itself, or for what would have followed it."""
    waiting = {group_id} if canvas.get("chord") and group_id else set()
    if chain := canvas.get("chain"):
        for end in signatures.ends(chain[0]):
            if end["options"].get("chord"):
                waiting.add(UUID(end["options"]["group_id"]))
    return waiting


def _never_start(followers: Iterable[signatures.Signature], cause: _Cause) -> None:
    """Keep a result for each job that is not started, for those who wait for one."""
    told = json.dumps(
        {"exc_type": cause.exc_type, "exc_message": [cause.message], "exc_module": cause.module}
    )
    TaskResult.objects.bulk_create(
        [
            TaskResult(
                task_id=task_id,
                task_name=leaf["task"],
                worker=NOT_STARTED,
                status=cause.status,
                content_type="application/json",
                content_encoding="utf-8",
                result=told,
                date_done=timezone.now(),
            )
            for follower in followers
            for leaf in signatures.leaves(follower)
            if (task_id := leaf["options"].get("task_id"))
        ],
        ignore_conflicts=True,
    )


# --- the way back --------------------------------------------------------------------------------


def take_back(job: Job) -> None:
    """A dead job is replayed: what it stopped is waited for again. Part of the replay."""
    if job.canvas is None:
        return
    _wait_again(_followers(job.canvas))
    for group_id in _groups(job.canvas, job.group_id):
        _mend_group(group_id)


def _mend_group(group_id: UUID) -> None:
    for failures, told in fetch(_MEND, [str(group_id)]):
        if failures == 0:
            body = json.loads(told)
            _wait_again([body])
            for outer in _groups({"chain": [body]}, None):
                _mend_group(outer)


def _wait_again(followers: Iterable[signatures.Signature]) -> None:
    ids = [
        leaf["options"].get("task_id")
        for follower in followers
        for leaf in signatures.leaves(follower)
    ]
    TaskResult.objects.filter(task_id__in=[id_ for id_ in ids if id_]).delete()
