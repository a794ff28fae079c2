"""Every move of a job from state to state, and nothing else moves one.

Each move is one statement: a guarded ``UPDATE … RETURNING``, and the rows that must commit with it
(attempt, audit entry, dead letter, result) written by the same statement from what it returned.
Zero rows means somebody else won. All moves take a list of jobs, and all clocks are PostgreSQL's.

It is longer than a module should be because the moves are only safe when read side by side.
"""

import json
import os
import socket
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID, uuid4

from jobs import rollups
from jobs.conf import jobs_settings
from jobs.records import Claimed, Inserted, Line, NewJob, Settlement, Waiting
from jobs.sql import fetch
from jobs.states import FINAL, WAITING, Move, State

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

#: Says of the job ``j`` that it stands in its queue's line.
IN_LINE = "j.state IN ('available', 'queued') AND NOT j.parked"


def next_seat(row: str) -> str:
    """Return SQL for the seat of a job that joins the line of ``row``'s queue and priority.

    It is behind its tenant's last job, and not before the one whose turn it is. So tenants take
    turns, whatever number of jobs each has.
    """
    return f"""
        GREATEST(
            COALESCE((SELECT j.seat FROM jobs_job AS j
                      WHERE j.queue = {row}.queue AND j.priority = {row}.priority AND {IN_LINE}
                      ORDER BY j.seat, j.scheduled_at LIMIT 1), 0),
            COALESCE((SELECT j.seat + 1 FROM jobs_job AS j
                      WHERE j.queue = {row}.queue AND j.priority = {row}.priority
                        AND j.tenant = {row}.tenant AND j.state IN ('available', 'queued')
                      ORDER BY j.seat DESC LIMIT 1), 0))
    """


def not_before_the_line(row: str) -> str:
    """Return SQL for the seat of a job that is back in line: its own, but not of long ago.

    An old seat would pull the line back: all that a newcomer enqueues would go before the rest.
    """
    return f"""
        GREATEST({row}.seat, COALESCE((
            SELECT l.seat FROM jobs_job AS l
            WHERE l.queue = {row}.queue AND l.priority = {row}.priority
              AND l.state IN ('available', 'queued') AND NOT l.parked
            ORDER BY l.seat, l.scheduled_at LIMIT 1), 0))
    """


#: The columns of a new job that its caller decides, and how many join its tenant's line before it.
_ASKED = {
    "id": "uuid",
    "task": "text",
    "queue": "text",
    "priority": "smallint",
    "payload": "jsonb",
    "secrets": "text",
    "tenant": "text",
    "correlation_id": "text",
    "enqueued_by": "text",
    "replay_of": "uuid",
    "max_attempts": "smallint",
    "timeout": "integer",
    "run_at": "timestamptz",
    "delay": "float8",
    "unique_key": "text",
    "expires_at": "timestamptz",
    "expires_in": "float8",
    "gates": "jsonb",
    "root_id": "uuid",
    "parent_id": "uuid",
    "group_id": "uuid",
    "group_index": "integer",
    "canvas": "jsonb",
    "ahead": "integer",
}
_AS_JSON = {name for name, kind in _ASKED.items() if kind == "jsonb"}
#: What a column is when nobody says otherwise; such a value is not sent. Others are null then.
_USUAL = {"tenant": "", "unique_key": "", "delay": 0.0, "ahead": 0}
#: The columns of a job that is inserted by itself: nobody is ahead of it.
_ALONE = [(name, _USUAL.get(name)) for name in _ASKED if name != "ahead"]
_MANY = "SELECT * FROM jsonb_to_recordset(%s::jsonb) AS r({})".format(
    ", ".join(f"{name} {kind}" for name, kind in _ASKED.items())
)


@cache
def _one(given: tuple[str, ...]) -> str:
    """Return the row of one job with these columns, each a value of the statement."""
    unsaid = {name: f"'{value}'" for name, value in _USUAL.items()}
    return "SELECT " + ", ".join(
        f"{'%s' if name in given else unsaid.get(name, 'NULL')}::{kind} AS {name}"
        for name, kind in _ASKED.items()
    )


#: What a claim sets. The values: lease, its margin in seconds, worker, pid.
_TAKE = """
    UPDATE jobs_job
    SET state = 'running', attempt = attempt + 1, lease = %s::uuid,
        lease_until = clock_timestamp() + make_interval(secs => timeout + %s::float8),
        worker = %s::uuid, pid = %s::int, started_at = clock_timestamp(), progress = NULL,
        parked = false, gate = ''
"""

#: What a process learns of a job ``m`` that it claimed.
_CLAIMED = """
    m.id, m.task, m.queue, m.payload, m.secrets, m.tenant, m.correlation_id, m.attempt,
    m.failures, m.crashes, m.max_attempts, m.timeout, m.lease,
    extract(epoch FROM m.started_at - m.scheduled_at)::float8, m.gates, m.root_id, m.group_id,
    m.group_index, m.canvas
"""


def insert(new: Sequence[NewJob], *, broker_is_up: bool = True) -> list[Inserted]:
    """Insert the jobs in the caller's transaction.

    A job that is due is inserted as ``queued``: the caller publishes it right after the commit, and
    if it dies in between, the stager finds that nothing rings for it. Where the broker is known to
    be down it is ``available``: the stager publishes it when the broker is back.

    A job that is not among the answers has an unfinished twin with its ``unique_key``.
    """
    if len(new) == 1:
        row = vars(new[0])
        given = [name for name, usual in _ALONE if row[name] != usual]
        asked = [json.dumps(row[name]) if name in _AS_JSON else row[name] for name in given]
        sql = _insert(_one(tuple(given)))
    else:
        sql, asked = _insert(_MANY), [json.dumps(_in_turn(new))]
    return [
        Inserted(
            id=id_,
            state=State(state),
            scheduled_at=scheduled_at or enqueued_at,
            enqueued_at=enqueued_at,
            expires_at=expires_at,
            seat=seat,
        )
        for id_, state, enqueued_at, scheduled_at, expires_at, seat in fetch(
            sql, [*asked, broker_is_up]
        )
    ]


@cache
def _insert(source: str) -> str:
    return f"""
        WITH asked AS (
            SELECT r.*, COALESCE(run_at, now() + make_interval(secs => delay)) AS at
            FROM ({source}) AS r
        ), dated AS (
            SELECT r.*, r.at <= now() AS due, r.at <= now() AND %s::bool AS rings,
                   CASE WHEN r.at <= now() THEN {next_seat("r")} + ahead ELSE 0 END AS seat
            FROM asked AS r
        ), moved AS (
            INSERT INTO jobs_job
                (id, task, queue, state, priority, payload, secrets, tenant, correlation_id,
                 enqueued_by, replay_of_id, attempt, failures, crashes, max_attempts,
                 timeout, scheduled_at, enqueued_at, dispatch, published_at, error_type, error,
                 seat, unique_key, expires_at, gates, gate, parked, root_id, parent_id, group_id,
                 group_index, canvas)
            SELECT id, task, queue, CASE WHEN rings THEN 'queued' WHEN due THEN 'available'
                       ELSE 'scheduled' END, priority,
                   payload, decode(secrets, 'base64'), tenant, correlation_id, enqueued_by,
                   replay_of, 0, 0, 0, max_attempts, timeout,
                   at, now(), rings::int, CASE WHEN rings THEN now() END, '', '',
                   seat, unique_key,
                   COALESCE(expires_at, now() + make_interval(secs => expires_in)),
                   NULLIF(gates, 'null'), '', false, root_id, parent_id, group_id, group_index,
                   NULLIF(canvas, 'null')
            FROM dated
            ON CONFLICT (unique_key) WHERE state IN ('scheduled', 'available', 'queued', 'running')
                AND NOT unique_key = '' DO NOTHING
            RETURNING *
        ), entries AS ({_AUDIT.format(actor="enqueued_by", move="'enqueued'", detail="NULL")})
        SELECT id, state, enqueued_at, NULLIF(scheduled_at, enqueued_at), expires_at, seat
        FROM moved
    """


def _in_turn(new: Sequence[NewJob]) -> list[dict[str, Any]]:
    """Return the jobs as rows, each with the number of those that join its tenant's line first."""
    ahead: Counter[tuple[str, int, str]] = Counter()
    rows = []
    for job in new:
        line = (job.queue, job.priority, job.tenant)
        rows.append(vars(job) | {"ahead": ahead[line]})
        ahead[line] += 1
    return rows


def insert_dead(new: Sequence[tuple[NewJob, Exception]]) -> list[UUID]:
    """Insert jobs of a workflow that cannot be started, each with its dead letter; returns the ids.

    So a person sees what is wrong, mends it and replays it.
    """
    if not new:
        return []
    sql = f"""
        WITH moved AS (
            INSERT INTO jobs_job
                (id, task, queue, state, priority, payload, tenant, correlation_id, enqueued_by,
                 attempt, failures, crashes, max_attempts, timeout, scheduled_at, enqueued_at,
                 finished_at, dispatch, error_type, error, seat, unique_key, gate, parked, root_id,
                 parent_id, group_id, group_index, canvas)
            SELECT id, task, queue, 'dead', priority, payload, tenant, correlation_id, enqueued_by,
                   0, 0, 0, max_attempts, timeout, now(), now(), clock_timestamp(), 0, error_type,
                   error, 0, '', '', false, root_id, parent_id, group_id, group_index,
                   NULLIF(canvas, 'null')
            FROM jsonb_to_recordset(%s::jsonb) AS r(
                id uuid, task text, queue text, priority smallint, payload jsonb, tenant text,
                correlation_id text, enqueued_by text, max_attempts smallint, timeout integer,
                error_type text, error text, root_id uuid, parent_id uuid, group_id uuid,
                group_index integer, canvas jsonb)
            RETURNING *
        ), letters AS (
            INSERT INTO jobs_deadletter (job_id, queue, task, tenant, reason, error_type, error,
                                         died_at, decision, decided_by)
            SELECT id, queue, task, tenant, 'permanent', error_type, error, finished_at, '', ''
            FROM moved
        ), counted AS ({rollups.COUNT_ENDS}), entries AS ({
        _AUDIT.format(
            actor="enqueued_by",
            move="'enqueued'",
            detail="jsonb_build_object('state', state, 'error_type', error_type)",
        )
    })
        SELECT id FROM moved
    """
    rows = [
        vars(job) | {"error_type": type(error).__name__[:200], "error": _keepable(str(error))}
        for job, error in new
    ]
    return [row[0] for row in fetch(sql, [json.dumps(rows)])]


def _keepable(text: str) -> str:
    # PostgreSQL keeps neither half a surrogate pair nor NUL.
    return (
        text[:4_000].encode(errors="replace").decode().replace("\x00", "\N{REPLACEMENT CHARACTER}")
    )


def claim(
    ids: Iterable[UUID | str], *, worker: UUID | None, lease: UUID | None = None
) -> list[Claimed]:
    """Take these jobs for this process: those that are due, waiting, and in no paused queue.

    They get one lease, by which :func:`claimed_with` finds them should the answer be lost.

    Their limits are not asked: see :mod:`jobs.gates`. A job that another process took, or that is
    finished, is simply not among the answers.
    """
    sql = f"""
        WITH moved AS (
            {_TAKE}
            WHERE id IN (SELECT j.id FROM jobs_job AS j
                         WHERE j.id = ANY(%s::uuid[]) AND j.state = ANY(%s)
                           AND j.scheduled_at <= clock_timestamp()
                           AND (j.expires_at IS NULL OR j.expires_at > clock_timestamp())
                           AND {NOT_PAUSED}
                         FOR UPDATE SKIP LOCKED)
            RETURNING *
        ), entries AS ({
        _AUDIT.format(
            actor="%s::text", move="'claimed'", detail="jsonb_build_object('attempt', attempt)"
        )
    })
        SELECT {_CLAIMED} FROM moved AS m ORDER BY m.priority, m.seat, m.scheduled_at
    """
    values = [*_taker(worker, lease), [str(id_) for id_ in ids], _WAITING, process_name()]
    return [_claimed(row) for row in fetch(sql, values)]


def claimed_with(lease: UUID, *, worker: UUID | None) -> list[Claimed]:
    """Return the jobs that a claim with this lease took, when its answer never arrived."""
    sql = f"""
        SELECT {_CLAIMED} FROM jobs_job AS m
        WHERE m.state = 'running' AND m.worker IS NOT DISTINCT FROM %s::uuid AND m.lease = %s::uuid
        ORDER BY m.priority, m.seat, m.scheduled_at
    """
    return [_claimed(row) for row in fetch(sql, [str(worker) if worker else None, str(lease)])]


#: Claims what is next in a queue's line: see :func:`claim_next`.
_NEXT = f"""
    WITH lanes AS (
        SELECT p.priority::smallint, head.scheduled_at
        FROM generate_series(0, 3) AS p(priority)
        CROSS JOIN LATERAL (
            SELECT j.scheduled_at FROM jobs_job AS j
            WHERE j.queue = %s AND j.priority = p.priority AND {IN_LINE}
            ORDER BY j.seat, j.scheduled_at LIMIT 1) AS head
        WHERE NOT EXISTS (SELECT 1 FROM jobs_queuestate AS q
                          WHERE q.name = %s AND q.paused_at IS NOT NULL)
    ), picked AS (
        SELECT best.id, best.gates, lane.priority, best.seat, best.scheduled_at
        FROM (SELECT priority FROM lanes
              ORDER BY CASE priority WHEN 0 THEN 0 ELSE GREATEST(1, priority - floor(
                  extract(epoch FROM clock_timestamp() - scheduled_at) / %s::float8)) END,
                  scheduled_at) AS lane
        CROSS JOIN LATERAL (
            SELECT j.id, j.gates, j.seat, j.scheduled_at FROM jobs_job AS j
            WHERE j.queue = %s AND j.priority = lane.priority AND {IN_LINE}
              AND j.task = ANY(%s::text[])
              AND (j.expires_at IS NULL OR j.expires_at > clock_timestamp())
            ORDER BY j.seat, j.scheduled_at LIMIT %s::int
            FOR UPDATE SKIP LOCKED) AS best
        LIMIT %s::int
    ), moved AS (
        {_TAKE}
        WHERE id = ANY(ARRAY(SELECT id FROM picked WHERE gates IS NULL))
        RETURNING *
    ), entries AS ({
    _AUDIT.format(
        actor="%s::text", move="'claimed'", detail="jsonb_build_object('attempt', attempt)"
    )
})
    SELECT p.id, p.priority, p.gates,
           (SELECT count(*) FROM lanes) > 1 OR EXISTS (
               SELECT 1 FROM jobs_job AS j
               WHERE j.queue = %s AND j.priority = (SELECT min(priority) FROM lanes)
                 AND {IN_LINE}
               ORDER BY j.seat, j.scheduled_at OFFSET %s::int),
           {_CLAIMED}
    FROM picked AS p LEFT JOIN moved AS m ON m.id = p.id
    WHERE p.gates IS NOT NULL OR m.id IS NOT NULL
    ORDER BY p.priority, p.seat, p.scheduled_at
"""


def claim_next(
    queue: str,
    limit: int,
    *,
    worker: UUID | None,
    tasks: Sequence[str],
    lease: UUID | None = None,
) -> Line:
    """Take up to ``limit`` of the jobs whose turn it is in ``queue``.

    Class by class, by priority; a class whose first job has waited for ``AGEING`` counts as the one
    above, but never as critical; of two classes that count alike, that whose first job waits for
    longer is served first. Jobs of other tasks than ``tasks`` are left to those who know
    them. Jobs with limits are only told: :mod:`jobs.gates` claims them.
    """
    ageing = jobs_settings().AGEING.total_seconds()
    values = [
        queue, queue, ageing, queue, list(tasks), limit, limit,
        *_taker(worker, lease), process_name(), queue, limit,
    ]  # fmt: skip
    rows = fetch(_NEXT, values)
    return Line(
        claimed=[_claimed(row[4:]) for row in rows if row[2] is None],
        gated=[
            Waiting(id=row[0], priority=row[1], gates=_loaded(row[2]))
            for row in rows
            if row[2] is not None
        ],
        more=bool(rows) and rows[0][3],
    )


#: How attempts ended, whatever it was. The values: the rows as JSON, states that a cancellation
#: overrules, final states, and twice those that are run again.
_ENDED = f"""
    WITH ended AS (
        SELECT id, lease, move, state, outcome, COALESCE(delay, 0) AS delay, run_at, result,
               COALESCE(error_type, '') AS error_type, COALESCE(error, '') AS error,
               COALESCE(traceback, '') AS traceback, COALESCE(reason, '') AS reason,
               COALESCE(failures, 0)::smallint AS failures,
               COALESCE(crashes, 0)::smallint AS crashes, began, ended
        FROM jsonb_to_recordset(%s::jsonb) AS r(
            id uuid, lease uuid, move text, state text, outcome text, delay float8,
            run_at timestamptz, result jsonb, error_type text, error text, traceback text,
            reason text, failures smallint, crashes smallint, began float8, ended float8)
    ), moved AS (
        UPDATE jobs_job AS j
        SET lease = NULL, lease_until = NULL,
            failures = j.failures + e.failures, crashes = j.crashes + e.crashes,
            -- What a person wanted cancelled is not run again. Asked of the row itself, which
            -- is locked now: the wish may have been committed while we waited for it.
            state = CASE WHEN e.state = ANY(%s) AND j.cancel_requested_at IS NOT NULL
                THEN 'cancelled' ELSE e.state END,
            finished_at = CASE WHEN e.state = ANY(%s)
                    OR e.state = ANY(%s) AND j.cancel_requested_at IS NOT NULL
                THEN COALESCE(j.started_at + make_interval(secs => e.ended),
                              clock_timestamp()) END,
            scheduled_at = CASE WHEN e.state = ANY(%s) THEN
                COALESCE(e.run_at, clock_timestamp() + make_interval(secs => e.delay))
                ELSE j.scheduled_at END,
            started_at = CASE WHEN e.began IS NULL THEN j.started_at
                ELSE j.started_at + make_interval(secs => e.began) END,
            seat = CASE e.state WHEN 'available' THEN {not_before_the_line("j")} ELSE j.seat END,
            result = NULLIF(e.result, 'null'), error_type = e.error_type, error = e.error
        FROM ended AS e
        WHERE j.id = e.id AND j.lease = e.lease
        RETURNING j.*, CASE WHEN j.state = e.state THEN e.move ELSE 'cancelled' END AS move,
                  e.outcome, e.traceback, e.reason, old.scheduled_at AS due_at,
                  COALESCE(j.finished_at, clock_timestamp()) AS ended_at
    ), letters AS (
        INSERT INTO jobs_deadletter (job_id, queue, task, tenant, reason, error_type, error,
                                     died_at, decision, decided_by)
        SELECT id, queue, task, tenant, reason, error_type, error, ended_at, '', ''
        FROM moved WHERE state = 'dead'
    ),
"""

#: The same for attempts that succeeded, which most do: a fifth less work for
#: PostgreSQL. The values: arrays of ids, leases, results, and of when the bodies began and ended.
_SUCCEEDED = """
    WITH moved AS (
        UPDATE jobs_job AS j
        SET lease = NULL, lease_until = NULL, state = 'succeeded',
            finished_at = COALESCE(j.started_at + make_interval(secs => e.ended),
                                   clock_timestamp()),
            started_at = COALESCE(j.started_at + make_interval(secs => e.began), j.started_at),
            result = e.result, error_type = '', error = ''
        FROM unnest(%s::uuid[], %s::uuid[], %s::jsonb[], %s::float8[], %s::float8[])
            AS e(id, lease, result, began, ended)
        WHERE j.id = e.id AND j.lease = e.lease
        RETURNING j.id, j.task, j.queue, j.tenant, j.correlation_id, j.state, j.attempt, j.worker,
                  j.pid, j.result, j.enqueued_at, j.started_at, j.scheduled_at,
                  j.scheduled_at AS due_at, j.finished_at AS ended_at, j.error_type, j.error,
                  'succeeded' AS move, 'succeeded' AS outcome, '' AS traceback
    ),
"""


@cache
def _settlement(ended: str, detail: str) -> str:
    """Return the statement that records how attempts ended, which ``ended`` says."""
    return f"""{ended}
        attempts AS (
            INSERT INTO jobs_attempt (job_id, number, outcome, started_at, finished_at, worker, pid,
                                      error_type, error, traceback)
            SELECT id, attempt, outcome, started_at, ended_at, worker, pid, error_type, error,
                   traceback
            FROM moved
        ), results AS (
            INSERT INTO django_celery_results_taskresult AS t
                (task_id, task_name, worker, status, content_type, content_encoding, result,
                 date_created, date_started, date_done, traceback)
            SELECT id::text, task, %s::text, CASE state WHEN 'succeeded' THEN 'SUCCESS'
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
        ), counted AS ({rollups.COUNT_ATTEMPTS}),
        entries AS ({_AUDIT.format(actor="%s::text", move="move", detail=detail)})
        SELECT id FROM moved
    """


_ATTEMPT = "jsonb_build_object('attempt', attempt)"
_ATTEMPT_AND_WHY = """
    jsonb_strip_nulls(jsonb_build_object(
        'attempt', attempt, 'error_type', NULLIF(error_type, ''),
        'until', CASE WHEN state = 'scheduled' THEN scheduled_at END))
"""


def settle(settlements: Sequence[Settlement], *, actor: str | None = None) -> set[UUID]:
    """Record how the attempts ended: job, attempt, audit entry, dead letter, result at once.

    Returns the ids that were settled. An id that is missing was taken back from this process
    meanwhile (its lease is another's), and nothing was written for it.
    """
    values: list[Any]
    if all(settlement.is_plain for settlement in settlements):
        sql = _settlement(_SUCCEEDED, _ATTEMPT)
        values = [
            _array(one.id for one in settlements),
            _array(one.lease for one in settlements),
            [None if one.result is None else json.dumps(one.result) for one in settlements],
            _array(one.began for one in settlements),
            _array(one.ended for one in settlements),
        ]
    else:
        sql = _settlement(_ENDED, _ATTEMPT_AND_WHY)
        rows = [settlement.as_row() for settlement in settlements]
        final, later = sorted(FINAL), [State.SCHEDULED, State.AVAILABLE]
        values = [json.dumps(rows), later, final, later, later]
    name = actor or process_name()
    return {row[0] for row in fetch(sql, [*values, name, name])}


def _array(values: Iterable[UUID | float | None]) -> str:
    """Return an array as PostgreSQL reads it, sooner than psycopg, which knows no types, does."""
    return f"{{{','.join('NULL' if value is None else str(value) for value in values)}}}"


def stage(limit: int, *, broker_is_up: bool = True) -> list[tuple[UUID, str, str, int]]:
    """Put up to ``limit`` jobs that are due in line: as ``queued``, to be published.

    Returns (id, task, queue, dispatch) of each; the caller publishes them after its commit. While
    the broker is down, those whose time has come become ``available`` instead, for a claim without
    a message.
    """
    state, move = (
        (State.QUEUED, Move.PUBLISHED) if broker_is_up else (State.AVAILABLE, Move.MATURED)
    )
    sql = f"""
        WITH matured AS (
            SELECT id, state AS was FROM jobs_job AS j
            WHERE j.state = 'scheduled' AND j.scheduled_at <= clock_timestamp() AND {NOT_PAUSED}
            ORDER BY j.scheduled_at LIMIT %s::int FOR UPDATE SKIP LOCKED
        ), unrung AS (
            SELECT id, state AS was FROM jobs_job AS j
            WHERE j.state = 'available' AND NOT j.parked AND %s::bool AND {NOT_PAUSED}
            ORDER BY j.scheduled_at LIMIT %s::int FOR UPDATE SKIP LOCKED
        ), due AS (
            SELECT * FROM matured UNION ALL SELECT * FROM unrung
        ), seated AS (
            SELECT r.id, due.was, CASE due.was WHEN 'scheduled' THEN {next_seat("r")}
                       + row_number() OVER (PARTITION BY due.was, r.queue, r.priority, r.tenant
                                            ORDER BY r.scheduled_at) - 1
                   ELSE r.seat END AS seat
            FROM jobs_job AS r JOIN due ON due.id = r.id
        ), moved AS (
            UPDATE jobs_job AS j
            SET state = %s, seat = seated.seat, dispatch = dispatch + %s::int,
                published_at = CASE WHEN %s::bool THEN clock_timestamp() ELSE published_at END
            FROM seated WHERE j.id = seated.id
            RETURNING j.*, seated.was
        ), entries AS ({
        _AUDIT.format(
            actor="'stager'",
            move="%s::text",
            detail="jsonb_build_object('dispatch', dispatch, 'was', was)",
        )
    })
        SELECT id, task, queue, dispatch FROM moved ORDER BY priority, seat, scheduled_at
    """
    values = [limit, broker_is_up, limit, state, int(broker_is_up), broker_is_up, move]
    return [(row[0], row[1], row[2], row[3]) for row in fetch(sql, values)]


def unpublish(ids: Iterable[UUID | str]) -> int:
    """The broker did not take these messages: the stager will try again. Returns how many."""
    return _move(
        Move.UNPUBLISHED,
        "j.state = 'queued' AND j.id = ANY(%s::uuid[])",
        [[str(id_) for id_ in ids]],
        set_to="state = 'available'",
        actor=process_name(),
    )


def park(ids: Iterable[UUID | str], *, gate: str) -> int:
    """A limit is reached: these jobs leave the line and wait at the gate. Returns how many."""
    return _move(
        Move.PARKED,
        f"j.id = ANY(%s::uuid[]) AND {IN_LINE}",
        [gate, [str(id_) for id_ in ids]],
        set_to="state = 'available', parked = true, gate = %s",
        actor=process_name(),
        detail="jsonb_build_object('gate', gate)",
    )


def admit(gate: str, limit: int) -> int:
    """The limit has room: up to ``limit`` jobs that wait at the gate are back in line.

    They pass their gates when they are claimed. Returns how many.
    """
    return _move(
        Move.ADMITTED,
        """j.id = ANY(ARRAY(
            SELECT w.id FROM jobs_job AS w
            WHERE w.gate = %s AND NOT w.gate = '' AND w.parked
              AND w.state = 'available'
              AND NOT EXISTS (SELECT 1 FROM jobs_queuestate AS q
                              WHERE q.name = w.queue AND q.paused_at IS NOT NULL)
            ORDER BY w.priority, w.seat LIMIT %s::int FOR UPDATE SKIP LOCKED))""",
        [gate, limit],
        set_to=f"parked = false, seat = {not_before_the_line('j')}",
        actor="stager",
        detail="jsonb_build_object('gate', gate)",
    )


def expire(limit: int) -> list[UUID]:
    """Cancel up to ``limit`` waiting jobs that are not worth running any more. Returns which."""
    return _moved(
        Move.EXPIRED,
        """j.id = ANY(ARRAY(
            SELECT w.id FROM jobs_job AS w
            WHERE w.state IN ('scheduled', 'available', 'queued') AND w.expires_at IS NOT NULL
              AND w.expires_at <= clock_timestamp()
            LIMIT %s::int FOR UPDATE SKIP LOCKED))""",
        [limit],
        set_to="state = 'cancelled', parked = false, finished_at = clock_timestamp(), "
        "error_type = 'Expired', error = 'It was not run before it expired.'",
        actor="keeper",
        ends=True,
    )


def cancel(id_: UUID, *, actor: str) -> bool:
    """Cancel a job that waits. Returns False when it does not wait (any more)."""
    return bool(_cancel("j.id = %s::uuid", [str(id_)], actor))


def cancel_parts(root_id: UUID, *, actor: str) -> list[UUID]:
    """Cancel all jobs of a workflow that wait. Returns which."""
    return _cancel("j.root_id = %s::uuid", [str(root_id)], actor)


def _cancel(which: str, values: list[Any], actor: str) -> list[UUID]:
    return _moved(
        Move.CANCELLED,
        f"{which} AND j.state = ANY(%s)",
        [*values, _WAITING],
        set_to="state = 'cancelled', parked = false, finished_at = clock_timestamp()",
        actor=actor,
        ends=True,
    )


def hasten(id_: UUID, *, actor: str) -> bool:
    """Make a scheduled job due now. Returns False when it is not scheduled (any more)."""
    return (
        _move(
            Move.HASTENED,
            "j.id = %s::uuid AND j.state = 'scheduled'",
            [str(id_)],
            set_to="state = 'available', scheduled_at = clock_timestamp(), "
            f"seat = {not_before_the_line('j')}",
            actor=actor,
        )
        > 0
    )


def _move(
    move: Move, where: str, values: list[Any], *, set_to: str, actor: str, detail: str = "NULL"
) -> int:
    return len(_moved(move, where, values, set_to=set_to, actor=actor, detail=detail))


def _moved(
    move: Move,
    where: str,
    values: list[Any],
    *,
    set_to: str,
    actor: str,
    detail: str = "NULL",
    ends: bool = False,
) -> list[UUID]:
    sql = f"""
        WITH moved AS (UPDATE jobs_job AS j SET {set_to} WHERE {where} RETURNING *),
             {f"counted AS ({rollups.COUNT_ENDS})," if ends else ""}
             entries AS ({_AUDIT.format(actor="%s::text", move="%s::text", detail=detail)})
        SELECT id FROM moved
    """
    return [row[0] for row in fetch(sql, [*values, actor, move.value])]


@cache
def _host() -> str:
    return socket.gethostname()


def process_name() -> str:
    """Who this process is in the audit log: ``worker:<host>:<pid>``."""
    return f"worker:{_host()}:{os.getpid()}"


def seconds(duration: timedelta | None) -> float:
    """Return the duration in seconds; none is zero."""
    return duration.total_seconds() if duration else 0.0


def _taker(worker: UUID | None, lease: UUID | None) -> list[Any]:
    margin = jobs_settings().LEASE_MARGIN.total_seconds()
    return [str(lease or uuid4()), margin, str(worker) if worker else None, os.getpid()]


def _claimed(row: tuple[Any, ...]) -> Claimed:
    return Claimed(
        id=row[0],
        task=row[1],
        queue=row[2],
        payload_json=row[3],
        secrets=row[4],
        tenant=row[5],
        correlation_id=row[6],
        attempt=row[7],
        failures=row[8],
        crashes=row[9],
        max_attempts=row[10],
        timeout=row[11],
        lease=row[12],
        waited=row[13],
        gates=_loaded(row[14]),
        root_id=row[15],
        group_id=row[16],
        group_index=row[17],
        canvas=_loaded(row[18]),
    )


def _loaded(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value
