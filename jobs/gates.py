"""Gates: a job with limits passes all of its gates at the claim, or waits at the first closed one.

Gates are kept in PostgreSQL, like the jobs: they hold across the cluster, survive Redis, and what
passes a gate commits with the claim. Rates count in slices of a sliding window, so that no window
of the period ever sees more than the limit. Who waits is *parked*: out of its queue's line, where
it costs nothing, until the stager (or the settlement that made room) puts it back. It spends no
attempt, and priorities and fair turns hold at a gate as they do in the line.

A critical job does not wait for a rate: it passes, and is counted.
"""

import time
from collections.abc import Iterable, Sequence
from threading import Lock
from uuid import UUID

from django.db import OperationalError, connection, transaction
from psycopg.errors import LockNotAvailable

from jobs import transitions
from jobs.conf import jobs_settings
from jobs.limits import SLICES, Concurrency, Limit, Rate, named
from jobs.models import LimitOverride, Priority
from jobs.queues import QUEUES
from jobs.records import Claimed, Waiting
from jobs.sql import fetch
from jobs.task import registry

#: Seconds that a process believes what operators set, before it asks again.
_BELIEVED = 1.0
#: Jobs let through at once where there is no limit any more.
_MANY = 1_000
#: The gate of jobs whose task no living worker knows: see :mod:`jobs.maintenance.strays`.
UNKNOWN_TASK = "unknown-task"
_LOCK_OF_STAGER = 7_305_001


def declared() -> dict[str, Limit]:
    """Return every declared limit by its name."""
    owners: list[tuple[str, Iterable[Limit]]] = [(q.name, q.limits) for q in QUEUES.values()]
    owners += [(name, task.definition.limits) for name, task in registry().items()]
    return {name: limit for owner, limits in owners for name, limit in named(owner, limits).items()}


class GateBusy(Exception):
    """Somebody else holds a gate for longer than claims take."""


class _Overrides:
    """What operators set, remembered for a moment."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._values: dict[str, int | None] = {}
        self._asked_at = float("-inf")

    def get(self) -> dict[str, int | None]:
        with self._lock:
            if time.monotonic() - self._asked_at > _BELIEVED:
                rows = LimitOverride.objects.values_list("name", "value")
                self._values = jobs_settings().LIMITS | dict(rows)
                self._asked_at = time.monotonic()
            return self._values

    def forget(self) -> None:
        self._asked_at = float("-inf")


overrides = _Overrides()


def value_of(name: str, limit: Limit) -> int | None:
    """Return the number in force for a limit; None: there is none."""
    return overrides.get().get(name, limit.limit)


def pass_or_park(
    waiting: Sequence[Waiting], *, worker: UUID | None, lease: UUID | None = None
) -> list[Claimed]:
    """Claim those of the jobs that pass all of their gates; park the others.

    Raises:
        GateBusy: somebody has held one of the gates for a second. Nothing was claimed.
    """
    try:
        return _pass_or_park(waiting, worker, lease)
    except OperationalError as error:
        if isinstance(error.__cause__, LockNotAvailable):
            raise GateBusy from None
        raise


def _pass_or_park(
    waiting: Sequence[Waiting], worker: UUID | None, lease: UUID | None
) -> list[Claimed]:
    gates = sorted({gate for job in waiting for gate in job.gates})
    alone = not connection.in_atomic_block
    with transaction.atomic():
        if alone:
            # A host that freezes here, or loses its power, must not keep the gates shut for all:
            # nor who got the lock, nor its other threads, that wait for it.
            fetch(
                "SELECT set_config('idle_in_transaction_session_timeout', '5s', true),"
                " set_config('lock_timeout', '1s', true)"
            )
        # Whoever counts at one of these gates waits for us: statements after this one see what
        # those before us did.
        fetch(
            "SELECT pg_advisory_xact_lock(hashtextextended(gate, 0))"
            " FROM unnest(%s::text[]) AS gate",
            [gates],
        )
        rooms = _rooms(gates)
        passing, parked = _decide(waiting, rooms)
        claimed = transitions.claim(passing, worker=worker, lease=lease) if passing else []
        _count(claimed)
        for gate, ids in parked.items():
            transitions.park(ids, gate=gate)
    return claimed


def let_through(gates: Sequence[str] | None = None) -> int:
    """Put jobs back in line whose gate has room; of these gates, or of all. Returns how many."""
    with transaction.atomic():
        ((mine,),) = fetch("SELECT pg_try_advisory_xact_lock(%s::bigint)", [_LOCK_OF_STAGER])
        if not mine:
            return 0  # somebody else does it right now
        shut = _with_waiting_jobs() if gates is None else list(gates)
        if not shut:
            return 0
        total = 0
        rooms = _rooms(shut)
        admitted = dict(fetch(_ADMITTED, [shut]))
        for gate in shut:
            if _name(gate) == UNKNOWN_TASK:
                continue
            room = rooms.get(gate)
            room = _MANY if room is None else room - admitted.get(gate, 0)
            if room > 0:
                total += transitions.admit(gate, room)
        return total


def concurrency_gates(jobs: Iterable[Claimed]) -> list[str]:
    """Return the gates that the end of these jobs gives room at once."""
    known = declared()
    gates = {gate for job in jobs for gate in job.gates or ()}
    return sorted(gate for gate in gates if isinstance(known.get(_name(gate)), Concurrency))


def _decide(
    waiting: Sequence[Waiting], rooms: dict[str, int | None]
) -> tuple[list[UUID], dict[str, list[UUID]]]:
    known = declared()
    passing: list[UUID] = []
    parked: dict[str, list[UUID]] = {}
    for job in waiting:
        for gate in job.gates:
            room = rooms.get(gate)
            waits = not isinstance(known.get(_name(gate)), Rate) or (
                job.priority != Priority.CRITICAL
            )
            if room is not None and room <= 0 and waits:
                parked.setdefault(gate, []).append(job.id)
                break
        else:
            passing.append(job.id)
            for gate in job.gates:
                room = rooms.get(gate)
                rooms[gate] = None if room is None else room - 1
    return passing, parked


def _rooms(gates: Sequence[str]) -> dict[str, int | None]:
    """Return how many jobs each gate would let through now; None: any number."""
    known = declared()
    limits = {gate: known[name] for gate in gates if (name := _name(gate)) in known}
    values = {gate: value_of(_name(gate), limit) for gate, limit in limits.items()}
    used: dict[str, int] = {}
    rates = [gate for gate, limit in limits.items() if isinstance(limit, Rate)]
    if rates:
        used |= dict(fetch(_PASSED, [rates]))
    others = [gate for gate, limit in limits.items() if isinstance(limit, Concurrency)]
    if others:
        used |= dict(fetch(_RUNNING, [others]))
    return {
        gate: None if value is None else value - used.get(gate, 0) for gate, value in values.items()
    }


def _count(jobs: Iterable[Claimed]) -> None:
    """Count the claimed jobs at their rates."""
    known = declared()
    passed: dict[str, int] = {}
    for job in jobs:
        for gate in job.gates or ():
            if isinstance(known.get(_name(gate)), Rate):
                passed[gate] = passed.get(gate, 0) + 1
    for gate, times in sorted(passed.items()):
        limit = known[_name(gate)]
        assert isinstance(limit, Rate)
        period = limit.per.total_seconds()
        fetch(_COUNT, [gate, period / SLICES, times, period + period / SLICES])


def _with_waiting_jobs() -> list[str]:
    return [row[0] for row in fetch(_SHUT)]


def _name(gate: str) -> str:
    return gate.partition("=")[0]


_PASSED = """
    SELECT gate, sum(passed)::int FROM jobs_ratecount
    WHERE gate = ANY(%s::text[]) AND expires_at > clock_timestamp() GROUP BY gate
"""

_RUNNING = """
    SELECT passed.gate, count(*)::int
    FROM jobs_job AS j JOIN unnest(%s::text[]) AS passed(gate) ON j.gates ? passed.gate
    WHERE j.state = 'running' GROUP BY passed.gate
"""

_ADMITTED = f"""
    SELECT j.gate, count(*)::int FROM jobs_job AS j
    WHERE j.gate = ANY(%s::text[]) AND NOT j.gate = '' AND NOT j.parked
      AND j.state IN ('available', 'queued') AND {transitions.NOT_PAUSED}
    GROUP BY j.gate
"""

_COUNT = """
    INSERT INTO jobs_ratecount AS r (gate, slice_at, passed, expires_at)
    SELECT gate, slice_at, times, slice_at + make_interval(secs => kept)
    FROM (SELECT %s::text AS gate,
                 date_bin(make_interval(secs => %s::float8), clock_timestamp(), 'epoch')
                     AS slice_at,
                 %s::int AS times, %s::float8 AS kept) AS passed
    ON CONFLICT (gate, slice_at) DO UPDATE SET passed = r.passed + EXCLUDED.passed
    RETURNING 1
"""

# From gate to gate, however many jobs wait at each: one look at the index for every gate.
_SHUT = """
    WITH RECURSIVE shut AS (
        (SELECT gate FROM jobs_job
         WHERE NOT gate = '' AND state IN ('available', 'queued') ORDER BY gate LIMIT 1)
        UNION ALL
        SELECT (SELECT j.gate FROM jobs_job AS j
                WHERE j.gate > shut.gate AND NOT j.gate = ''
                  AND j.state IN ('available', 'queued') ORDER BY j.gate LIMIT 1)
        FROM shut WHERE shut.gate IS NOT NULL
    )
    SELECT gate FROM shut WHERE gate IS NOT NULL
"""
