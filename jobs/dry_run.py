"""Dry runs: what a task would do, found out by doing it in a transaction that is rolled back.

Only what the database knows is done, so only ``atomic`` tasks can be tried. Of a task that is not,
its preview is run instead, when it has one (:meth:`jobs.task.JobTask.preview`), in a transaction
that cannot write. The jobs that they enqueue are told of, and tried too when they can be; an
e-mail, or a PDF, is only told of. Code that reaches people by other ways than jobs, and previews,
say so with :func:`tell`.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db import InternalError, connection, transaction
from psycopg.errors import ReadOnlySqlTransaction

from jobs.errors import JobsError, NotPossible

if TYPE_CHECKING:
    from jobs.models import Job
    from jobs.task import JobTask

#: Jobs that one dry run tries; it only tells of those beyond.
MOST_TRIED = 1_000


class PreviewWrites(NotPossible):
    """A preview writes to the database; it may only look."""


class WouldFail(NotPossible):
    """The task would fail; its cause is what its body raised."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """Something that would happen."""

    #: Such as ``notice``, or the wire name of a task.
    what: str
    #: How often.
    count: int = 1
    #: The key of the tenant; empty: of none.
    tenant: str = ""
    #: Who would get it: an address, a user name; empty: nobody in particular.
    to: str = ""
    #: What it would say, by name; secrets are masked.
    detail: dict[str, Any] = field(default_factory=dict)


_told: ContextVar[list[Told] | None] = ContextVar("jobs_dry_run", default=None)


def is_dry_run() -> bool:
    """Whether this code is only tried: what it does in the database will be undone."""
    return _told.get() is not None


def tell(what: str, *, tenant: str = "", to: str = "", count: int = 1, **detail: Any) -> None:
    """Tell of something that would happen, ``count`` times; outside of a dry run, do nothing."""
    if (told := _told.get()) is not None:
        told.append(Told(what=what, tenant=tenant, to=to, count=count, detail=detail))


def try_out(
    task: "JobTask[Any, Any]", arguments: Mapping[str, Any], *, tenant: str = ""
) -> list[Told]:
    """Run the task and what it enqueues, undo it all, and return what would have happened.

    Of a task with a preview: run that.

    The first line is the task itself, with its result; a job that it enqueued and that failed has
    its ``error``. Locks are held until it is undone, as by the task itself.

    Raises:
        InvalidPayload: an argument does not fit.
        NotPossible: the task acts outside the database, where nothing can be undone, and has no
            preview; or its preview writes.
        WouldFail: its body raises something, which the text says.
    """
    import uuid_utils.compat

    from jobs import payload
    from jobs.context import job_context

    definition = task.definition
    if not definition.can_be_tried:
        raise NotPossible(
            f"{definition.name} acts outside the database, where nothing can be undone: only "
            "atomic tasks have a dry run, and those with a preview, which can be declared "
            "(@task.preview)."
        )
    checked = payload.check(definition.arguments, definition.name, arguments)
    sealed = payload.seal(definition.name, checked)
    correlation_id = f"dry-run-{uuid_utils.compat.uuid7().hex}"
    told: list[Told] = []
    context = job_context(correlation_id=correlation_id, tenant=tenant, dry_run=True)
    token = _told.set(told)
    try:
        with transaction.atomic(), context:
            try:
                try:
                    result = _run(task, sealed.payload, sealed.secrets)
                except PreviewWrites:
                    raise
                except Exception as error:
                    text = f"{definition.name} would fail: {_in_words(error)}"
                    raise WouldFail(text) from error
                told.insert(0, _line(definition.name, tenant, sealed.payload, result=result))
                _try_enqueued(correlation_id, told)
            finally:
                transaction.set_rollback(True)
    finally:
        _told.reset(token)
    return told


def _run(task: "JobTask[Any, Any]", arguments: dict[str, Any], secrets: bytes | None) -> Any:
    from jobs import payload

    values, _ = payload.unseal(task.definition.arguments, task.name, arguments, secrets)
    if task.definition.preview is None:
        return payload.jsonable(task.run(**values))
    with _only_looking(task.name):
        return payload.jsonable(task.definition.preview(**values))


@contextmanager
def _only_looking(name: str) -> Iterator[None]:
    """Have PostgreSQL refuse whatever writes, up to the end of the block."""
    try:
        with transaction.atomic():  # a savepoint: with it the restriction ends
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION READ ONLY")
            yield
            transaction.set_rollback(True)  # its settings, and what was to follow its commit
    except InternalError as error:
        if isinstance(error.__cause__, ReadOnlySqlTransaction):
            raise PreviewWrites(f"The preview of {name} may only look: {error}") from error
        raise


def _try_enqueued(correlation_id: str, told: list[Told]) -> None:
    """Try the jobs that were enqueued on the way, and those that these enqueue."""
    from jobs.models import Job

    known: set[Any] = set()
    waiting: deque[Job] = deque()

    def look() -> None:
        found = Job.objects.filter(Job.correlated_with(correlation_id)).exclude(id__in=known)
        for job in found.order_by("id"):
            known.add(job.id)
            waiting.append(job)

    look()
    for _ in range(MOST_TRIED):
        if not waiting:
            return
        if _try(waiting.popleft(), told):
            look()
    told += [_line(job.task, job.tenant, job.payload) for job in waiting]


def _try(job: "Job", told: list[Told]) -> bool:
    """Try a job, and tell of it before what it tells itself; says whether it was run."""
    from jobs.context import job_context
    from jobs.task import get_task

    task = get_task(job.task)
    before = len(told)
    more: dict[str, Any] = {}
    if task.definition.can_be_tried:
        try:
            with transaction.atomic(), job_context(tenant=job.tenant):
                more["result"] = _run(
                    task, job.payload, bytes(job.secrets) if job.secrets else None
                )
        except Exception as error:  # noqa: BLE001 - whatever it is, the job would fail with it
            more["error"] = _in_words(error)
            del told[before:]  # undone with it
    told.insert(before, _line(job.task, job.tenant, job.payload, **more))
    return task.definition.can_be_tried


def _in_words(error: Exception) -> str:
    return str(error) if isinstance(error, JobsError) else f"{type(error).__name__}: {error}"


def _line(task: str, tenant: str, payload: dict[str, Any], **more: Any) -> Told:
    to = payload.get("to")
    return Told(
        what=task,
        tenant=tenant,
        to=to if isinstance(to, str) else "",
        detail={**payload, **{name: value for name, value in more.items() if value is not None}},
    )
