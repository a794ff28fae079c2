"""Every move of a job from state to state, and nothing else moves one.

Each move is one statement: a guarded ``UPDATE … RETURNING``, and the rows that must commit with it
(attempt, audit entry, dead letter, result) written by the same statement from what it returned.
Zero rows means somebody else won. All moves take a list of jobs, and all clocks are PostgreSQL's.

It is longer than a module should be because the moves are only safe when read side by side.
"""

import json
import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from jobs.conf import jobs_settings
from jobs.models import Attempt
from jobs.states import FINAL, TRANSITIONS, WAITING, Move, State

_WAITING = sorted(WAITING)

#: Appends to the audit log what a move's ``moved`` rows say happened.
_AUDIT = """
    INSERT INTO jobs_auditentry
        (at, actor, action, subject_type, subject_id, tenant, correlation_id, detail)
    SELECT clock_timestamp(), {actor}, 'job.' || {move}, 'job', id::text, tenant, correlation_id,
           {detail}
    FROM moved
"""

#: Says of the job ``j`` that its queue is not paused.
NOT_PAUSED = """
    NOT EXISTS (SELECT 1 FROM jobs_queuestate q
                WHERE q.name = j.queue AND q.paused_at IS NOT NULL)
"""


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """A job about to be inserted. ``run_at`` or ``delay`` in seconds, or now."""

    id: str
    task: str
    queue: str
    priority: int
    payload: dict[str, Any]
    secrets: str | None  # base64
    tenant: str
    correlation_id: str
    enqueued_by: str
    follows: list[dict[str, Any]] | None
    replay_of: str | None
    max_attempts: int
    timeout: int  # seconds
    run_at: str | None  # ISO 8601
    delay: float


@dataclass(frozen=True, kw_only=True)
class Inserted:
    """What the database decided about a new job."""

    id: UUID
    state: State
    scheduled_at: datetime
    enqueued_at: datetime


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """A job that this process, and no other, runs now."""

    id: UUID
    task: str
    queue: str
    payload: dict[str, Any]
    secrets: bytes | None
    tenant: str
    correlation_id: str
    follows: list[dict[str, Any]] | None
    attempt: int
    failures: int
    crashes: int
    max_attempts: int
    lease: UUID
    waited: float  # seconds since it was due


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """How an attempt ended, and what becomes of its job."""

    id: UUID
    lease: UUID
    move: Move
    delay: float = 0.0
    run_at: str | None = None
    result: Any = None
    error_type: str = ""
    error: str = ""
    traceback: str = ""
    reason: str = ""  # of a dead letter
    failures: int = 0  # to add
    crashes: int = 0

    @property
    def state(self) -> State:
        """The state its job ends in: each of these moves has one."""
        (state,) = TRANSITIONS[self.move][1]
        return state

    @property
    def outcome(self) -> Attempt.Outcome:
        """How the attempt is called in the job's history."""
        if self.crashes:
            return Attempt.Outcome.CRASHED
        return _OUTCOMES[self.move]

    def as_row(self) -> dict[str, Any]:
        """Return what ``settle`` sends to the database."""
        return asdict(self) | {"state": self.state, "outcome": self.outcome}


_OUTCOMES = {
    Move.SUCCEEDED: Attempt.Outcome.SUCCEEDED,
    Move.RETRIED: Attempt.Outcome.FAILED,
    Move.DIED: Attempt.Outcome.FAILED,
    Move.SNOOZED: Attempt.Outcome.SNOOZED,
    Move.DISCARDED: Attempt.Outcome.DISCARDED,
    Move.CANCELLED: Attempt.Outcome.CANCELLED,
    Move.RELEASED: Attempt.Outcome.RELEASED,
}


def insert(new: Sequence[NewJob], *, broker_is_up: bool = True) -> list[Inserted]:
    """Insert the jobs in the caller's transaction.

    A job that is due is inserted as ``queued``: the caller publishes it right after the commit, and
    if it dies in between, the stager finds that nothing rings for it. Where the broker is known to
    be down it is ``available``: the stager publishes it when the broker is back.
    """
    sql = f"""
        WITH moved AS (
            INSERT INTO jobs_job
                (id, task, queue, state, priority, payload, secrets, tenant, correlation_id,
                 enqueued_by, follows, replay_of_id, attempt, failures, crashes, max_attempts,
                 timeout, scheduled_at, enqueued_at, dispatch, published_at, error_type, error)
            SELECT id, task, queue, CASE WHEN rings THEN 'queued' WHEN due THEN 'available'
                       ELSE 'scheduled' END, priority,
                   payload, decode(secrets, 'base64'), tenant, correlation_id, enqueued_by,
                   NULLIF(follows, 'null'), replay_of, 0, 0, 0, max_attempts, timeout,
                   at, now(), rings::int, CASE WHEN rings THEN now() END, '', ''
            FROM (SELECT *, at <= now() AS due, at <= now() AND %s AS rings FROM (
                SELECT *, COALESCE(run_at, now() + make_interval(secs => delay)) AS at
                FROM jsonb_to_recordset(%s::jsonb) AS r(
                    id uuid, task text, queue text, priority smallint, payload jsonb, secrets text,
                    tenant text, correlation_id text, enqueued_by text, follows jsonb,
                    replay_of uuid, max_attempts smallint, timeout integer, run_at timestamptz,
                    delay double precision)) AS asked) AS dated
            RETURNING *
        ), entries AS ({_AUDIT.format(actor="enqueued_by", move="'enqueued'", detail="NULL")})
        SELECT id, state, scheduled_at, enqueued_at FROM moved
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, [broker_is_up, json.dumps([asdict(job) for job in new])])
        return [
            Inserted(id=row[0], state=State(row[1]), scheduled_at=row[2], enqueued_at=row[3])
            for row in cursor.fetchall()
        ]


def claim(ids: Iterable[UUID | str], *, worker: UUID | None) -> list[Claimed]:
    """Take these jobs for this process: those that are due, waiting, and in no paused queue.

    A job that another process took, or that is finished, is simply not among the answers.
    """
    sql = f"""
        WITH moved AS (
            UPDATE jobs_job AS j
            SET state = 'running', attempt = attempt + 1, lease = gen_random_uuid(),
                lease_until = clock_timestamp() + make_interval(secs => timeout + %s),
                worker = %s, pid = %s, started_at = clock_timestamp(), progress = NULL
            WHERE id = ANY(%s) AND state = ANY(%s) AND scheduled_at <= clock_timestamp()
              AND {NOT_PAUSED}
            RETURNING *
        ), entries AS ({
        _AUDIT.format(actor="%s", move="'claimed'", detail="jsonb_build_object('attempt', attempt)")
    })
        SELECT id, task, queue, payload, secrets, tenant, correlation_id, follows, attempt,
               failures, crashes, max_attempts, lease,
               extract(epoch FROM started_at - scheduled_at)
        FROM moved ORDER BY priority, scheduled_at
    """
    margin = jobs_settings().LEASE_MARGIN.total_seconds()
    with connection.cursor() as cursor:
        cursor.execute(
            sql, [margin, worker, os.getpid(), [str(id_) for id_ in ids], _WAITING, process_name()]
        )
        return [
            Claimed(
                id=row[0],
                task=row[1],
                queue=row[2],
                payload=_loaded(row[3]),
                secrets=row[4],
                tenant=row[5],
                correlation_id=row[6],
                follows=_loaded(row[7]),
                attempt=row[8],
                failures=row[9],
                crashes=row[10],
                max_attempts=row[11],
                lease=row[12],
                waited=float(row[13]),
            )
            for row in cursor.fetchall()
        ]


def settle(settlements: Sequence[Settlement], *, actor: str | None = None) -> set[UUID]:
    """Record how the attempts ended: job, attempt, audit entry, dead letter, result at once.

    Returns the ids that were settled. An id that is missing was taken back from this process
    meanwhile (its lease is another's), and nothing was written for it.
    """
    sql = f"""
        WITH ended AS (
            SELECT r.id, r.lease, outcome, delay, run_at, r.result, r.error_type, r.error,
                   traceback, reason, r.failures, r.crashes,
                   -- What a person wanted cancelled is not run again.
                   CASE WHEN unwanted THEN 'cancelled' ELSE r.state END AS state,
                   CASE WHEN unwanted THEN 'cancelled' ELSE move END AS move
            FROM jsonb_to_recordset(%s::jsonb) AS r(
                id uuid, lease uuid, move text, state text, outcome text, delay double precision,
                run_at timestamptz, result jsonb, error_type text, error text, traceback text,
                reason text, failures smallint, crashes smallint)
            JOIN jobs_job AS asked ON asked.id = r.id
            CROSS JOIN LATERAL (SELECT asked.cancel_requested_at IS NOT NULL
                                       AND r.state = ANY(%s) AS unwanted) AS wish
        ), moved AS (
            UPDATE jobs_job AS j
            SET state = e.state, lease = NULL, lease_until = NULL,
                failures = j.failures + e.failures, crashes = j.crashes + e.crashes,
                scheduled_at = CASE WHEN e.state = ANY(%s) THEN
                    COALESCE(e.run_at, clock_timestamp() + make_interval(secs => e.delay))
                    ELSE j.scheduled_at END,
                finished_at = CASE WHEN e.state = ANY(%s) THEN clock_timestamp() END,
                result = NULLIF(e.result, 'null'), error_type = e.error_type, error = e.error
            FROM ended AS e
            WHERE j.id = e.id AND j.lease = e.lease
            RETURNING j.*, e.move, e.outcome, e.traceback, e.reason, clock_timestamp() AS ended_at
        ), attempts AS (
            INSERT INTO jobs_attempt (job_id, number, outcome, started_at, finished_at, worker, pid,
                                      error_type, error, traceback)
            SELECT id, attempt, outcome, started_at, ended_at, worker, pid, error_type, error,
                   traceback
            FROM moved
        ), letters AS (
            INSERT INTO jobs_deadletter (job_id, queue, task, tenant, reason, error_type, error,
                                         died_at, decision, decided_by)
            SELECT id, queue, task, tenant, reason, error_type, error, ended_at, '', ''
            FROM moved WHERE state = 'dead'
        ), results AS (
            INSERT INTO django_celery_results_taskresult AS t
                (task_id, task_name, worker, status, content_type, content_encoding, result,
                 date_created, date_started, date_done, traceback)
            SELECT id::text, task, %s, CASE state WHEN 'succeeded' THEN 'SUCCESS'
                       WHEN 'dead' THEN 'FAILURE' WHEN 'cancelled' THEN 'REVOKED' ELSE 'RETRY' END,
                   'application/json', 'utf-8',
                   CASE WHEN error <> '' THEN jsonb_build_object('exc_type', error_type,
                        'exc_message', jsonb_build_array(error), 'exc_module', 'builtins')::text
                        ELSE COALESCE(result, 'null')::text END,
                   enqueued_at, started_at, ended_at, NULLIF(traceback, '')
            FROM moved
            ON CONFLICT (task_id) DO UPDATE
            SET status = EXCLUDED.status, worker = EXCLUDED.worker, result = EXCLUDED.result,
                date_started = EXCLUDED.date_started, date_done = EXCLUDED.date_done,
                traceback = EXCLUDED.traceback
            WHERE t.status NOT IN ('SUCCESS', 'FAILURE', 'REVOKED')
        ), entries AS ({
        _AUDIT.format(
            actor="%s",
            move="move",
            detail="jsonb_strip_nulls(jsonb_build_object("
            "'attempt', attempt, 'error_type', NULLIF(error_type, ''), "
            "'until', CASE WHEN state = 'scheduled' THEN scheduled_at END))",
        )
    })
        SELECT id FROM moved
    """
    rows = [settlement.as_row() for settlement in settlements]
    final = sorted(FINAL)
    later = [State.SCHEDULED, State.AVAILABLE]
    name = actor or process_name()
    with connection.cursor() as cursor:
        cursor.execute(sql, [json.dumps(rows, default=str), later, later, final, name, name])
        return {row[0] for row in cursor.fetchall()}


def stage(limit: int, lost: Sequence[str]) -> list[tuple[UUID, str, str, int]]:
    """Mark up to ``limit`` jobs as published: those due, and those whose message is lost.

    ``lost`` names the queues that hold no message any more: what is ``queued`` in them for longer
    than ``REPUBLISH_AFTER`` waits for a message that will never come. Returns (id, task, queue,
    dispatch) of each; the caller publishes them after its commit.
    """
    sql = f"""
        WITH due AS (
            SELECT id, state AS was FROM jobs_job AS j
            WHERE state = ANY(%s) AND scheduled_at <= clock_timestamp()
              AND (state <> 'queued'
                   OR (queue = ANY(%s)
                       AND published_at < clock_timestamp() - make_interval(secs => %s))
                   OR published_at < clock_timestamp() - make_interval(secs => %s))
              AND {NOT_PAUSED}
            ORDER BY priority, scheduled_at LIMIT %s
            FOR UPDATE SKIP LOCKED
        ), moved AS (
            UPDATE jobs_job AS j
            SET state = 'queued', dispatch = dispatch + 1, published_at = clock_timestamp()
            FROM due WHERE j.id = due.id
            RETURNING j.*, due.was
        ), entries AS ({
        _AUDIT.format(
            actor="'stager'",
            move="'published'",
            detail="jsonb_build_object('dispatch', dispatch, 'was', was)",
        )
    })
        SELECT id, task, queue, dispatch FROM moved ORDER BY priority, scheduled_at
    """
    conf = jobs_settings()
    with connection.cursor() as cursor:
        cursor.execute(
            sql,
            [
                _WAITING,
                list(lost),
                conf.REPUBLISH_AFTER.total_seconds(),
                conf.REPUBLISH_ALWAYS_AFTER.total_seconds(),
                limit,
            ],
        )
        return [(row[0], row[1], row[2], row[3]) for row in cursor.fetchall()]


def unpublish(ids: Iterable[UUID | str]) -> int:
    """The broker did not take these messages: the stager will try again. Returns how many."""
    return _move(
        Move.UNPUBLISHED,
        "state = 'queued' AND id = ANY(%s)",
        [[str(id_) for id_ in ids]],
        set_to="state = 'available'",
        actor=process_name(),
    )


def resume(queue: str, *, actor: str) -> int:
    """Messages of a paused queue were dropped at the claim: have the stager publish anew."""
    return _move(
        Move.RESUMED,
        "state = 'queued' AND queue = %s",
        [queue],
        set_to="state = 'available'",
        actor=actor,
    )


def cancel(id_: UUID, *, actor: str) -> bool:
    """Cancel a job that waits. Returns False when it does not wait (any more)."""
    return (
        _move(
            Move.CANCELLED,
            "id = %s AND state = ANY(%s)",
            [id_, _WAITING],
            set_to="state = 'cancelled', finished_at = clock_timestamp()",
            actor=actor,
        )
        > 0
    )


def hasten(id_: UUID, *, actor: str) -> bool:
    """Make a scheduled job due now. Returns False when it is not scheduled (any more)."""
    return (
        _move(
            Move.HASTENED,
            "id = %s AND state = 'scheduled'",
            [id_],
            set_to="state = 'available', scheduled_at = clock_timestamp()",
            actor=actor,
        )
        > 0
    )


def _move(move: Move, where: str, values: list[Any], *, set_to: str, actor: str) -> int:
    sql = f"""
        WITH moved AS (UPDATE jobs_job AS j SET {set_to} WHERE {where} RETURNING *),
             entries AS ({_AUDIT.format(actor="%s", move="%s", detail="NULL")})
        SELECT count(*) FROM moved
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, [*values, actor, move.value])
        (count,) = cursor.fetchone()
        return int(count)


def process_name() -> str:
    """Who this process is in the audit log: ``worker:<host>:<pid>``."""
    return f"worker:{socket.gethostname()}:{os.getpid()}"


def seconds(duration: timedelta | None) -> float:
    """Return the duration in seconds; none is zero."""
    return duration.total_seconds() if duration else 0.0


def _loaded(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value
