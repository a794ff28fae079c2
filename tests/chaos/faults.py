"""The faults: each a small function that yields the seconds it waits between its acts.

A list, and so longer than a module should be.

A fault names what nobody else may touch meanwhile (``needs``), so that two do not restart the same
server; apart from that they overlap. ``measures`` says whose return is recovery: the jobs
``running`` in the killed processes, those ``waiting`` for a message, or ``jobs`` known by name.
"""

import json
import os
import random
import signal
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import psycopg

from tests.chaos import timing
from tests.chaos.hosts import Host, signal_all
from tests.chaos.plan import QUEUES
from tests.chaos.servers import LOOK
from tests.chaos.world import Strike, World

Act = Callable[[World, Strike, random.Random], Iterator[float]]
#: What a promise is about: jobs of dead workers, or lost messages.
Promise = Literal["", "runs again", "made good"]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A kind of fault."""

    name: str
    act: Act
    #: How often, beside the others.
    weight: int
    needs: frozenset[str]
    measures: Literal["", "running", "waiting", "jobs"]
    promise: Promise
    #: It is about messages: many should wait.
    crowd: bool


FAULTS: dict[str, Fault] = {}


def fault(
    weight: int,
    *needs: str,
    measures: Literal["", "running", "waiting", "jobs"] = "",
    promise: Promise = "",
    crowd: bool = False,
) -> Callable[[Act], Act]:
    """Declare a fault, named as its function."""

    def declare(act: Act) -> Act:
        name = getattr(act, "__name__", "")
        FAULTS[name] = Fault(
            name=name,
            act=act,
            weight=weight,
            needs=frozenset(needs),
            measures=measures,
            promise=promise,
            crowd=crowd,
        )
        return act

    return declare


# --- processes are killed ------------------------------------------------------------------------


@fault(16, measures="running", promise="runs again")
def child_killed(world: World, strike: Strike, chance: random.Random) -> Iterator[float]:
    """SIGKILL for a process of a pool, one that runs a job if there is any."""
    host = world.host(chance)
    child = yield from world.pool_child(host, chance)
    strike.strikes(host.name, [child.pid] if child else [])
    if child is not None:
        signal_all([child], signal.SIGKILL)


@fault(10, measures="running", promise="runs again")
def celery_killed(world: World, strike: Strike, chance: random.Random) -> Iterator[float]:
    """SIGKILL for a Celery worker; its pool loses its head."""
    host = world.host(chance)
    pool = chance.choice(("threads", "prefork"))
    yield from world.until_busy(lambda: host.pool(pool))
    family = host.pool(pool)
    strike.strikes(f"{pool} of {host.name}", [one.pid for one in family])
    signal_all(family[:1], signal.SIGKILL)


@fault(8)
def keeper_killed(world: World, strike: Strike, chance: random.Random) -> Iterator[float]:
    """SIGKILL for a keeper: stager, lifeline and heartbeat of a host."""
    host = world.host(chance)
    keeper = host.keeper()
    strike.strikes(host.name)
    if keeper is not None:
        signal_all([keeper], signal.SIGKILL)
    yield 0


@fault(5, "host", measures="running", promise="runs again")
def supervisor_killed(world: World, strike: Strike, chance: random.Random) -> Iterator[float]:
    """SIGKILL for the command that started a host's processes, and another in its place."""
    host = world.host(chance)
    yield from world.until_busy(host.family)
    family = host.family()
    host.down = True
    strike.strikes(host.name, [one.pid for one in family])
    signal_all(family[:1], signal.SIGKILL)
    while host.running:
        yield LOOK
    yield chance.uniform(0.0, 2.0)
    yield from world.start_again(host)


@fault(7, "host", measures="running", promise="runs again")
def host_killed(world: World, strike: Strike, chance: random.Random) -> Iterator[float]:
    """A power cut: SIGKILL for everything of a host; it may stay away for longer than the lease."""
    host = world.host(chance)
    yield from world.until_busy(host.family)
    family = host.family()
    host.down = True
    strike.strikes(host.name, [one.pid for one in family])
    signal_all(family, signal.SIGKILL)
    while host.running:
        yield LOOK
    yield chance.choice((0.0, 1.0, timing.LEASE + 2))
    yield from world.start_again(host)


@fault(10, measures="jobs", promise="made good")
def enqueuer_killed_before_publishing(
    world: World, strike: Strike, _chance: random.Random
) -> Iterator[float]:
    """A process dies between the commit and the publishing: a transaction of this step does that."""
    doomed = {unit.number for unit in world.units if unit.dies}
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for enqueuer in world.enqueuers:
            for intent in enqueuer.journal.read():
                if intent.unit in doomed and intent.outcome == "committed":
                    strike.strikes(enqueuer.name)
                    strike.at, strike.jobs = intent.at, list(intent.jobs)
                    return
        yield LOOK
    strike.strikes("nobody: no transaction got that far")


@fault(5)
def enqueuer_killed(world: World, strike: Strike, chance: random.Random) -> Iterator[float]:
    """SIGKILL for a process that enqueues, wherever it is just now."""
    enqueuer = chance.choice(world.enqueuers)
    yield chance.uniform(0.0, 0.05)
    strike.strikes(enqueuer.name)
    enqueuer.kill()


# --- processes are frozen ------------------------------------------------------------------------


@fault(5, measures="running")
def child_frozen(world: World, strike: Strike, chance: random.Random) -> Iterator[float]:
    """SIGSTOP for a process of a pool, for longer than its job may run; then SIGCONT."""
    host = world.host(chance)
    child = yield from world.pool_child(host, chance)
    strike.strikes(host.name, [child.pid] if child else [])
    if child is not None:
        signal_all([child], signal.SIGSTOP)
        yield timing.HARD_LIMIT + timing.LEASE_MARGIN + 2
        signal_all([child], signal.SIGCONT)


@fault(4, "host", measures="running")
def celery_frozen(world: World, strike: Strike, chance: random.Random) -> Iterator[float]:
    """SIGSTOP for a Celery worker, for longer than its jobs may run: zombies in its threads."""
    host = world.host(chance)
    pool = chance.choice(("threads", "threads", "prefork"))
    yield from world.until_busy(lambda: host.pool(pool))
    frozen = host.pool(pool)[:1]
    strike.strikes(f"{pool} of {host.name}", [one.pid for one in frozen])
    signal_all(frozen, signal.SIGSTOP)
    yield timing.HARD_LIMIT + timing.LEASE_MARGIN + 2
    signal_all(frozen, signal.SIGCONT)


@fault(4, "host", measures="running", promise="runs again")
def host_frozen(world: World, strike: Strike, chance: random.Random) -> Iterator[float]:
    """SIGSTOP for everything of a host, for longer than the lease: all it ran comes back late."""
    host = world.host(chance)
    yield from world.until_busy(host.family)
    strike.strikes(host.name, [one.pid for one in host.family()])
    yield from _freeze(world, strike, host)


@fault(3, "host", "postgres", crowd=True)
def host_frozen_in_a_claim(world: World, strike: Strike, _chance: random.Random) -> Iterator[float]:
    """The same while the host holds the lock of a rate limit: the others must go on."""
    host = yield from _held_at(world, strike, "jobs_ratecount")
    if host is None:
        return
    yield from _freeze(world, strike, host)
    for waited, claimed in world.servers.ask(_LEFT_LYING, strike.at, strike.whole_at):
        if waited and not claimed:
            world.problems.append(
                f"no e-mail job ran while {host.name} was frozen in a claim: {waited} waited"
            )


@fault(3, "host", "postgres", measures="running", crowd=True)
def host_frozen_in_a_settlement(
    world: World, strike: Strike, _chance: random.Random
) -> Iterator[float]:
    """The same while the host holds the rows of jobs that it settles: they must be taken back."""
    host = yield from _held_at(world, strike, "jobs_attempt")
    if host is not None:
        yield from _freeze(world, strike, host)


def _held_at(world: World, strike: Strike, table: str) -> Generator[float, None, Host | None]:
    """Stop a host whose transaction wants to write to the table, and let its statement end.

    It keeps what it has locked until then.
    """
    host = None
    with suppress(psycopg.OperationalError), world.servers.connect() as holder:
        holder.execute("SET lock_timeout = '1s'")
        with holder.transaction():
            holder.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE".encode())
            for _ in range(60):
                yield LOOK
                names = {row[0] for row in holder.execute(_WAITING_FOR, [table])}
                host = next((one for one in world.hosts if f"chaos-{one.name}" in names), None)
                if host is not None:
                    break
            family = host.family() if host else []
            strike.strikes(host.name if host else "nobody came", [one.pid for one in family])
            signal_all(family, signal.SIGSTOP)
    if not strike.at:
        strike.strikes("nobody: PostgreSQL was away")
    return host


def _freeze(world: World, strike: Strike, host: Host) -> Iterator[float]:
    """Hold a host's processes for longer than the lease: its jobs must be taken back meanwhile."""
    family = host.family()
    signal_all(family, signal.SIGSTOP)
    yield timing.LEASE * 1.8
    rows = world.servers.ask(
        "SELECT id FROM jobs_job WHERE state = 'running' AND pid = ANY(%s)", strike.pids
    )
    signal_all(family, signal.SIGCONT)
    strike.is_over()
    if rows:
        world.problems.append(
            f"{host.name} was frozen for {timing.LEASE * 1.8:g} s, and nobody took back "
            + ", ".join(str(row[0]) for row in rows)
        )


#: Hosts with a transaction, begun by an earlier statement, that waits for a table.
_WAITING_FOR = """
    SELECT DISTINCT split_part(a.application_name, ' ', 1)
    FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
    WHERE l.relation = %s::regclass AND NOT l.granted
      AND a.xact_start < a.query_start - interval '1 ms'
"""
#: E-mail jobs that waited all the time from one instant to the other, and those claimed meanwhile.
_LEFT_LYING = """
    SELECT count(*) FILTER (WHERE scheduled_at < to_timestamp(since) + interval '1 s'
                            AND (started_at IS NULL OR started_at > to_timestamp(until))),
           count(*) FILTER (WHERE started_at > to_timestamp(since) + interval '1 s'
                            AND started_at < to_timestamp(until))
    FROM jobs_job, (SELECT %s::float8 AS since, %s::float8 AS until) AS s
    WHERE queue = 'email' AND NOT parked
"""


# --- an operator's day ---------------------------------------------------------------------------


@fault(7, "host", measures="running", promise="runs again")
def host_stopped(world: World, strike: Strike, chance: random.Random) -> Iterator[float]:
    """SIGTERM for a host, in the middle of its work, and another start."""
    host = world.host(chance)
    yield from world.until_busy(host.family)
    strike.strikes(host.name, [one.pid for one in host.family()])
    yield from world.stop_host(host)
    yield from world.start_again(host)


@fault(0, "host")
def host_upgraded(world: World, strike: Strike, _chance: random.Random) -> Iterator[float]:
    """The first host gets the release that knows tomorrow's task; the others keep the old one."""
    host = world.hosts[0]
    strike.strikes(host.name)
    yield from world.stop_host(host)
    host.release = "2"
    yield from world.start_again(host)


@fault(6)
def old_payload(_world: World, strike: Strike, _chance: random.Random) -> Iterator[float]:
    """A job whose arguments are those of an older release: a transaction of this step has it."""
    strike.strikes("a job")
    yield 0


@fault(6)
def task_of_tomorrow(_world: World, strike: Strike, _chance: random.Random) -> Iterator[float]:
    """A job whose task only the next release knows: it waits until a host has that."""
    strike.strikes("a job")
    yield 0


# --- Valkey --------------------------------------------------------------------------------------


@fault(8, "valkey", measures="waiting", promise="made good", crowd=True)
def valkey_restarted(world: World, strike: Strike, chance: random.Random) -> Iterator[float]:
    """Valkey ends, in order or killed, and comes back a moment later."""
    number = chance.choice((signal.SIGTERM, signal.SIGKILL))
    strike.strikes(number.name)
    yield from world.servers.restart(world.servers.valkey, number, chance.uniform(0.0, 2.5))
    strike.is_over()


@fault(12, "valkey", measures="waiting", promise="made good", crowd=True)
def valkey_flushed(world: World, strike: Strike, _chance: random.Random) -> Iterator[float]:
    """FLUSHALL: every message is lost."""
    strike.strikes(f"{sum(world.lengths().values())} messages")
    world.servers.redis.flushall()
    yield 0


@fault(8, "valkey", measures="waiting", promise="made good", crowd=True)
def valkey_frozen(world: World, strike: Strike, chance: random.Random) -> Iterator[float]:
    """Valkey accepts connections and answers nobody."""
    seconds = chance.uniform(1.0, 4.0)
    if chance.random() < 0.5:
        strike.strikes(f"SIGSTOP for {seconds:.1f} s")
        pid = world.servers.valkey.pid()
        if pid is not None:
            os.kill(pid, signal.SIGSTOP)
        yield seconds
        world.servers.thaw()
    else:
        strike.strikes(f"CLIENT PAUSE for {seconds:.1f} s")
        world.servers.redis.client_pause(int(seconds * 1000))
        yield seconds
    strike.is_over()


@fault(8, "valkey", measures="waiting", promise="made good", crowd=True)
def valkey_full(world: World, strike: Strike, chance: random.Random) -> Iterator[float]:
    """No room for another message: what is written is refused."""
    seconds = chance.uniform(1.0, 4.0)
    strike.strikes(f"for {seconds:.1f} s")
    world.servers.redis.config_set("maxmemory", "1mb")
    yield seconds
    world.servers.redis.config_set("maxmemory", "0")
    strike.is_over()


@fault(10, "valkey", measures="waiting", promise="made good", crowd=True)
def valkey_clients_killed(world: World, strike: Strike, chance: random.Random) -> Iterator[float]:
    """Valkey cuts its clients' connections."""
    kind = chance.choice(("normal", "normal", "pubsub"))
    strike.strikes(kind)
    world.servers.redis.client_kill_filter(_type=kind, skipme=True)
    yield 0


@fault(10, "valkey", crowd=True)
def messages_doubled(world: World, strike: Strike, chance: random.Random) -> Iterator[float]:
    """Every message that waits arrives once more, and some old ones with them."""
    count = 0
    for queue in QUEUES:
        waiting = world.servers.redis.lrange(queue, 0, -1)
        old = world.remembered(queue)
        again = [*waiting, *chance.sample(old, min(len(old), 10))]
        if again:
            world.servers.redis.lpush(queue, *again)
        count += len(again)
    strike.strikes(f"{count} messages")
    yield 0


@fault(8, "valkey")
def messages_garbled(world: World, strike: Strike, chance: random.Random) -> Iterator[float]:
    """Messages that no publisher of ours sent."""
    queue = chance.choice(list(QUEUES))
    kind = chance.choice(("unknown task", "unknown job", "not JSON", "empty", "no body"))
    old = world.remembered(queue)
    if kind in {"unknown task", "unknown job", "no body"} and not old:
        kind = "empty"
    message = b"{}" if kind == "empty" else b"\x00 no JSON {"
    if kind in {"unknown task", "unknown job", "no body"}:
        told = json.loads(chance.choice(old))
        told["headers"]["id"] = told["properties"]["correlation_id"] = str(uuid.uuid4())
        if kind == "unknown task":
            told["headers"]["task"] = "chaos.nobody_knows"
        if kind == "no body":
            del told["body"]
        message = json.dumps(told).encode()
    strike.strikes(f"{kind}, to {queue}")
    world.servers.redis.lpush(queue, message)
    yield 0


# --- PostgreSQL ----------------------------------------------------------------------------------


@fault(8, "postgres", measures="waiting")
def postgres_restarted(world: World, strike: Strike, chance: random.Random) -> Iterator[float]:
    """PostgreSQL ends, in order (fast) or as in a crash (immediate), and starts again."""
    number, name = chance.choice(((signal.SIGINT, "fast"), (signal.SIGQUIT, "immediate")))
    strike.strikes(name)
    yield from world.servers.restart(world.servers.postgres, number, chance.uniform(0.0, 1.0))
    strike.is_over()


@fault(10, "postgres", measures="waiting")
def backends_terminated(world: World, strike: Strike, chance: random.Random) -> Iterator[float]:
    """Some connections are ended by the database, whatever they do."""
    rows = world.servers.ask(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' "
        "AND pid <> pg_backend_pid() ORDER BY backend_start"
    )
    pids = [row[0] for row in rows]
    chosen = chance.sample(pids, min(len(pids), chance.randint(1, 5)))
    strike.strikes(f"{len(chosen)} of {len(pids)}")
    for pid in chosen:
        world.servers.ask("SELECT pg_terminate_backend(%s)", pid)
    yield 0


@fault(12, "postgres")
def settlement_terminated(world: World, strike: Strike, chance: random.Random) -> Iterator[float]:
    """Connections are ended in the middle of a settlement: a lock holds it there for a moment."""
    with suppress(psycopg.OperationalError), world.servers.connect() as holder:
        holder.execute("SET lock_timeout = '1s'")
        with holder.transaction():
            holder.execute("LOCK TABLE jobs_attempt IN EXCLUSIVE MODE")
            found: list[int] = []
            for _ in range(40):
                yield LOOK
                rows = holder.execute(
                    "SELECT DISTINCT pid FROM pg_locks "
                    "WHERE relation = 'jobs_attempt'::regclass AND NOT granted ORDER BY pid"
                )
                found = [row[0] for row in rows]
                if found:
                    break
            chosen = chance.sample(found, min(len(found), chance.randint(1, 3)))
            strike.strikes(f"{len(chosen)} settlements")
            for pid in chosen:
                holder.execute("SELECT pg_terminate_backend(%s)", [pid])
    if not strike.at:
        strike.strikes("nobody: PostgreSQL was away")
