"""Enqueueing many jobs at once: all calls become jobs, or, when one does not fit, none.

Calls are checked while the rows of those before them go in by ``COPY``: our process and
PostgreSQL work at the same time. Their seats follow each other, as if they came one by one. After
the commit the queue's bell is rung a few times: the workers that come go on claiming while
jobs are due, in chunks.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import chain, islice
from typing import TYPE_CHECKING, Any
from uuid import UUID

import uuid_utils
import uuid_utils.compat
from django.db import connection, transaction

from jobs import degraded
from jobs import payload as payloads
from jobs.breaker import breaker
from jobs.context import current_context
from jobs.definition import Options
from jobs.enqueue import enqueue, gates_on, new_job
from jobs.errors import EnqueueError, InvalidPayload
from jobs.payload import Sealed
from jobs.publish import publish_after_commit
from jobs.records import NewJob
from jobs.sql import fetch
from jobs.states import State
from jobs.transitions import next_seat

if TYPE_CHECKING:
    from jobs.task import JobTask

#: How often the bell is rung for them: each takes one process for a turn, and is passed on.
BELLS = 64
#: Lines that are sent at a time. PostgreSQL works on them while the next are made, as long as they
#: fit into what the socket holds: more of them at a time would be waited for.
_LINES = 100
#: Calls that one COPY takes. The next are asked for in between: they may come from the database.
_CALLS = 2_000

_JOB_COLUMNS = (
    "id, payload, secrets, seat, gates, task, queue, state, priority, tenant, correlation_id, "
    "enqueued_by, attempt, failures, crashes, max_attempts, timeout, scheduled_at, expires_at, "
    "enqueued_at, dispatch, published_at, error_type, error, unique_key, gate, parked"
)
_AUDIT_COLUMNS = "subject_id, at, actor, action, subject_type, tenant, correlation_id"


def enqueue_many(
    task: "JobTask[Any, Any]", calls: Iterable[Mapping[str, Any]], options: Options
) -> list[UUID]:
    """Make a job of each call; see :meth:`jobs.task.JobTask.enqueue_many`."""
    if options.follows:
        name = task.definition.name
        raise EnqueueError(f"{name}: nothing can follow jobs of a bulk; start a group of chains")
    context = current_context()
    correlation_id = context.correlation_id or uuid_utils.compat.uuid7().hex
    with transaction.atomic():
        if task.definition.unique or options.unique:
            # Each may have a twin, among the others too: they go in one by one.
            return [enqueue(task, call, options).id for call in _listed(task, calls)]
        rows: _Rows | None = None
        ids: list[str] = []
        coming = iter(calls)
        while some := list(islice(coming, _CALLS)):
            sealed = _sealed(task, some, first=len(ids))
            if rows is None:
                one = next(sealed)
                pattern = new_job(task, one, options, correlation_id=correlation_id)
                rows, sealed = _Rows(task, pattern), chain([one], sealed)
            ids += rows.copy_in(sealed)
        if rows is not None:
            rows.ring(ids)
        return [UUID(id_) for id_ in ids]


def _listed(
    task: "JobTask[Any, Any]", calls: Iterable[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    listed = list(calls)
    for _ in _sealed(task, listed, first=0):
        pass  # all are checked before the first is inserted
    return listed


def _sealed(
    task: "JobTask[Any, Any]", calls: Iterable[Mapping[str, Any]], *, first: int
) -> Iterator[Sealed]:
    """Check calls, the first of which has this place among all."""
    name, model = task.definition.name, task.definition.arguments
    given: Iterable[Any] = calls  # not every caller's types are checked
    for place, call in enumerate(given, start=first):
        if not isinstance(call, Mapping):
            kind = type(call).__name__
            raise InvalidPayload(name, {str(place): f"expected arguments by name, not {kind}"})
        try:
            yield payloads.seal(name, payloads.check(model, name, call))
        except InvalidPayload as error:
            problems = {f"{place}.{field}": what for field, what in error.problems.items()}
            raise type(error)(name, problems) from None


class _Rows:
    """The rows of one bulk, all like the ``pattern`` but for their arguments."""

    def __init__(self, task: "JobTask[Any, Any]", pattern: NewJob) -> None:
        rings = not breaker.is_open
        ((now, at, expires_at, due, seat),) = fetch(
            _BEGINNING,
            [
                pattern.expires_in, pattern.run_at, pattern.delay, pattern.expires_at,
                pattern.queue, pattern.priority, pattern.tenant,
            ],
        )  # fmt: skip
        self._pattern = pattern
        self._state = State.SCHEDULED if not due else State.QUEUED if rings else State.AVAILABLE
        published = now if self._state == State.QUEUED else None
        self._rest = _line(
            pattern.task, pattern.queue, self._state, pattern.priority, pattern.tenant,
            pattern.correlation_id, pattern.enqueued_by, 0, 0, 0, pattern.max_attempts,
            pattern.timeout, at, expires_at, now, int(published is not None), published, "", "",
            "", "", False,
        )  # fmt: skip
        self._entry = _line(
            now, pattern.enqueued_by, "job.enqueued", "job", pattern.tenant, pattern.correlation_id
        )
        self._seat, self._step = seat, 1 if due else 0
        self._limited = gates_on(task.definition, pattern.queue)
        self._problem: InvalidPayload | None = None

    def copy_in(self, sealed: Iterator[Sealed]) -> list[str]:
        """Copy these in, with their audit entries; returns their ids."""
        ids: list[str] = []
        _copy(f"COPY jobs_job ({_JOB_COLUMNS}) FROM STDIN", self._lines(sealed, ids))
        if self._problem is not None:
            raise self._problem  # here, so that PostgreSQL's log has nothing of it
        _copy(
            f"COPY jobs_auditentry ({_AUDIT_COLUMNS}) FROM STDIN",
            (f"{id_}\t{self._entry}\n" for id_ in ids),
        )
        return ids

    def _lines(self, sealed: Iterator[Sealed], ids: list[str]) -> Iterator[str]:
        try:
            for one in sealed:
                id_ = str(uuid_utils.uuid7())  # what is made and written by Rust costs a third
                ids.append(id_)
                payload = one.json
                if "\\" in payload:
                    payload = payload.replace("\\", r"\\")
                secrets = r"\N" if one.secrets is None else f"\\\\x{one.secrets.hex()}"
                gates = self._limited(self._pattern.tenant, one) if self._limited else None
                limits = _field(json.dumps(gates)) if gates else r"\N"
                yield f"{id_}\t{payload}\t{secrets}\t{self._seat}\t{limits}\t{self._rest}\n"
                self._seat += self._step
        except InvalidPayload as error:
            self._problem = error

    def ring(self, ids: list[str]) -> None:
        """Ring for some of them after the commit, or run them here when their queue says so."""
        messages = [(UUID(id_), self._pattern.task, self._pattern.queue, 1) for id_ in ids]
        if self._state == State.QUEUED:
            for message in messages[:BELLS]:
                publish_after_commit(message)
        if self._state == State.AVAILABLE:
            degraded.run_after_commit(messages)


_BEGINNING = f"""
    SELECT now(), at, COALESCE(expires_at, now() + make_interval(secs => %s::float8)),
           at <= now(), CASE WHEN at <= now() THEN {next_seat("r")} ELSE 0 END
    FROM (SELECT COALESCE(%s::timestamptz, now() + make_interval(secs => %s::float8)) AS at,
                 %s::timestamptz AS expires_at, %s::text AS queue, %s::smallint AS priority,
                 %s::text AS tenant) AS r
"""


def _copy(statement: str, lines: Iterator[str]) -> None:
    connection.ensure_connection()
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        buffer: list[str] = []
        for line in lines:
            buffer.append(line)
            if len(buffer) >= _LINES:
                copy.write("".join(buffer))
                buffer.clear()
        copy.write("".join(buffer))


def _line(*values: Any) -> str:
    return "\t".join(map(_field, values))


def _field(value: Any) -> str:
    if value is None:
        return r"\N"
    if isinstance(value, datetime):
        return value.isoformat()
    text = str(value)
    if "\\" in text or "\n" in text or "\t" in text or "\r" in text:
        text = text.replace("\\", r"\\").replace("\n", r"\n").replace("\t", r"\t")
        text = text.replace("\r", r"\r")
    return text
