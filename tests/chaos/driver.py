"""Plays a plan: hands out the transactions, does the faults, keeps the time, then makes all whole."""

import heapq
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psycopg

from tests.chaos import timing
from tests.chaos.evidence import Evidence
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.hosts import ROOT, Host, end_all, marked
from tests.chaos.plan import Plan, Step
from tests.chaos.world import Strike, World

#: Seconds between two looks of the driver.
TICK = 0.02
#: Seconds for the workers to come up, and for everything to end when the faults are over.
READY_WITHIN, FINAL_WITHIN = 60.0, 90.0
#: Seconds from a restart of PostgreSQL in which a worker that starts may find none.
GIVES_UP_WITHIN = 20.0
#: The part of a run in which tomorrow's release comes.
UPGRADED_AFTER = 0.7

_EFFECTS = """
    CREATE TABLE chaos_effect (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, job_id uuid,
        key integer NOT NULL, attempt integer, pid integer NOT NULL,
        at timestamptz NOT NULL DEFAULT clock_timestamp())
"""
_JOBS_WAITED_FOR = """
    SELECT clock_timestamp(), 'job', id, queue, task, state, attempt, priority, seat, parked,
           dispatch, scheduled_at, published_at, pid
    FROM jobs_job WHERE finished_at IS NULL ORDER BY queue, priority, seat, scheduled_at
"""
_BACKENDS_AT_WORK = """
    SELECT clock_timestamp(), 'backend', a.pid, application_name, a.state, wait_event, xact_start,
           pg_blocking_pids(a.pid), left(regexp_replace(query, '\\s+', ' ', 'g'), 150)
    FROM pg_stat_activity AS a WHERE backend_type = 'client backend' AND a.state <> 'idle'
"""
_NOT_SIGNED_OFF = "SELECT pid FROM jobs_worker WHERE pid = ANY(%s) AND stopped_at IS NULL"
_UNFINISHED = "SELECT count(*) FROM jobs_job WHERE finished_at IS NULL"
_UNFINISHED_TODAY = f"{_UNFINISHED} AND task <> 'chaos.effect_of_tomorrow'"


@dataclass(order=True)
class Running:
    """A fault between two of its acts."""

    due: float
    number: int
    fault: Fault = field(compare=False)
    strike: Strike = field(compare=False)
    acts: Iterator[float] = field(compare=False)
    #: How it is called on the screen, until it has struck.
    untold: str = field(compare=False)


class Driver:
    """One run. ``pace`` is the seconds from one fault to the next."""

    def __init__(
        self, world: World, plan: Plan, *, pace: float, tell: Callable[[str], None]
    ) -> None:
        self.strikes: list[Strike] = []
        self.began = self.calm_at = self.final_at = 0.0
        self._world, self._plan, self._pace, self._tell = world, plan, pace, tell
        self._running: list[Running] = []
        self._given = 0
        self._counts = "no job yet"
        self._counted_at = 0.0

    def play(self) -> Evidence:
        """Run the plan from the first process to the last; returns what is left in the tables."""
        self._set_up()
        self.began = time.time()
        upgrade = self._upgrade_before()
        for step in self._plan.steps:
            if step.number == upgrade:
                self._begin("host_upgraded", self._plan.seed, "upgrade")
            self._play_step(step)
        self._calm_down()
        self._wait_for_the_end()
        return self._take_down()

    # --- before -----------------------------------------------------------------------------------

    def _set_up(self) -> None:
        world = self._world
        self._tell("PostgreSQL and Valkey run; the tables are made …")
        command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(command, cwd=ROOT, env=world.environment, check=True)
        world.servers.query(_EFFECTS)
        for host in world.hosts:
            host.start()
        for enqueuer in world.enqueuers:
            enqueuer.start()
        self._tell("the workers start …")
        if not self._wait(lambda: all(host.ready for host in world.hosts), READY_WITHIN):
            logs = "\n".join(
                (world.folder / f"{host.name}.log").read_text() for host in world.hosts
            )
            raise SystemExit(f"the workers did not start:\n{logs[-4000:]}")

    def _upgrade_before(self) -> int:
        known = [step.number for step in self._plan.steps if step.fault == "task_of_tomorrow"]
        return int(len(self._plan.steps) * UPGRADED_AFTER) if known else -1

    # --- during -----------------------------------------------------------------------------------

    def _play_step(self, step: Step) -> None:
        if step.alone:
            self._wait(self._is_calm, FINAL_WITHIN)
        began = time.monotonic()
        self._world.units = step.units
        for unit in step.units:
            self._world.enqueuers[self._given % len(self._world.enqueuers)].give(unit)
            self._given += 1
        if step.alone:
            self._wait(lambda: not any(one.undone() for one in self._world.enqueuers), FINAL_WITHIN)
        else:
            self._wait(lambda: False, step.pause)
        place = f"{step.number + 1}/{len(self._plan.steps)}{' alone' if step.alone else ''}"
        self._begin(step.fault, step.seed, place, alone=step.alone)
        if step.alone:
            self._wait(lambda: not self._running, timing.STOPPED_WITHIN * 3)
            self._wait(self._is_calm, FINAL_WITHIN)
            return
        self._wait(lambda: False, max(0.0, began + self._pace - time.monotonic()))

    def _is_calm(self) -> bool:
        """Say whether every host works, and no job waits but those of tomorrow."""
        world = self._world
        return (
            all(enqueuer.ready and not enqueuer.undone() for enqueuer in world.enqueuers)
            and all(host.ready for host in world.hosts)
            and world.servers.ask(_UNFINISHED_TODAY) == [(0,)]
        )

    def _begin(self, kind: str, seed: object, place: str, *, alone: bool = False) -> None:
        fault = FAULTS[kind]
        self._wait(lambda: not fault.needs & self._taken(), timing.STOPPED_WITHIN * 3)
        strike = Strike(number=len(self.strikes), kind=kind, alone=alone)
        self.strikes.append(strike)
        acts = fault.act(self._world, strike, random.Random(str(seed)))
        heapq.heappush(self._running, Running(0.0, strike.number, fault, strike, acts, place))
        self._act()

    def _taken(self) -> frozenset[str]:
        return frozenset().union(*(one.fault.needs for one in self._running))

    def _act(self) -> None:
        """Let every fault that is due go on."""
        later = []
        while self._running and self._running[0].due <= time.monotonic():
            one = heapq.heappop(self._running)
            try:
                one.due = time.monotonic() + next(one.acts)
                later.append(one)
            except StopIteration:
                pass
            except Exception as error:  # noqa: BLE001 - told, and the run goes on
                self._world.problems.append(
                    f"the fault {one.fault.name} failed: {type(error).__name__}: {error}"
                )
            if one.untold and one.strike.at:
                self._tell(f"[{one.untold}] {one.fault.name} {one.strike.whom} · {self._counts}")
                one.untold = ""
        for one in later:
            heapq.heappush(self._running, one)

    def _wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Look after everything until the condition holds, for so many seconds at most."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() >= deadline:
                return False
            self._act()
            self._look_after()
            time.sleep(TICK)
        return True

    def _look_after(self) -> None:
        world = self._world
        for host in world.hosts:
            if not host.down and not host.running:
                self._start_again(host)
        for enqueuer in world.enqueuers:
            if enqueuer.exit_code is not None and enqueuer.resolve():
                if enqueuer.exit_code != -9:
                    world.problems.append(
                        f"{enqueuer.name} ended by itself, exit code {enqueuer.exit_code}"
                    )
                enqueuer.start()
        if "valkey" not in self._taken():
            world.remember_messages()
        if time.monotonic() > self._counted_at + 1.0:
            self._counted_at = time.monotonic()
            rows = world.servers.ask(
                "SELECT count(*), count(*) FILTER (WHERE finished_at IS NULL), "
                "count(*) FILTER (WHERE state = 'running') FROM jobs_job"
            )
            for all_, unfinished, running in rows:
                self._counts = f"{all_} jobs, {unfinished} unfinished, {running} run"

    def _start_again(self, host: Host) -> None:
        """Do what a service manager does; a worker may only give up when it finds no database."""
        code = host.process.returncode if host.process else None
        away = [strike for strike in self.strikes if strike.kind == "postgres_restarted"]
        if not away or time.time() - max(away[-1].at, away[-1].whole_at) > GIVES_UP_WITHIN:
            self._world.problems.append(f"{host.name} ended by itself, exit code {code}")
        host.start()

    # --- after ------------------------------------------------------------------------------------

    def _calm_down(self) -> None:
        """End the faults, and have everything run that should."""
        world = self._world
        self._tell("the faults are over; all is made whole …")
        self._wait(lambda: not self._running, timing.STOPPED_WITHIN * 3)
        if self._running:
            world.problems.append(
                f"faults did not end: {[one.fault.name for one in self._running]}"
            )
        if not self._wait(
            lambda: not any(enqueuer.undone() for enqueuer in world.enqueuers), FINAL_WITHIN
        ):
            world.problems.append("the enqueuing processes did not get through")
        self.calm_at = time.time()

    def _wait_for_the_end(self) -> None:
        told = 0.0

        def all_final() -> bool:
            nonlocal told
            if time.monotonic() > told + 5:
                told = time.monotonic()
                self._tell(f"waiting for the last jobs: {self._counts}")
                self._note_what_is_waited_for()
            return self._world.servers.ask(_UNFINISHED) == [(0,)]

        self._wait(all_final, FINAL_WITHIN)
        self.final_at = time.time()

    def _note_what_is_waited_for(self) -> None:
        """Keep what everybody was doing, should the jobs be late."""
        world = self._world
        with (world.folder / "waiting.log").open("a") as log:
            for query in (_JOBS_WAITED_FOR, _BACKENDS_AT_WORK):
                for row in world.servers.ask(query):
                    log.write(" ".join(str(value) for value in row) + "\n")
            log.write(f"messages: {world.lengths()}\n\n")

    def _take_down(self) -> Evidence:
        """Stop everything in order; what zombies did until then is evidence, too."""
        world = self._world
        self._tell("stopping …")
        for enqueuer in world.enqueuers:
            enqueuer.close()
        for acts in [world.stop_host(host) for host in world.hosts]:
            for pause in acts:
                time.sleep(pause)
        pids = [host.process.pid for host in world.hosts if host.process]
        for (pid,) in world.servers.query(_NOT_SIGNED_OFF, pids):
            world.problems.append(f"a worker of process {pid} ended without saying so")
        deadline = time.monotonic() + timing.STOPPED_WITHIN
        while (left := marked(world.run)) and time.monotonic() < deadline:
            time.sleep(0.1)
        if left:
            told = "; ".join(" ".join(one.cmdline())[-120:] for one in left)
            world.problems.append(f"processes were left when all had been stopped: {told}")
            end_all(world.run)
        if count := world.talkative_messages():
            world.problems.append(f"{count} messages held arguments")
        intents = [intent for enqueuer in world.enqueuers for intent in enqueuer.journal.read()]
        with world.servers.connect() as connection:
            return Evidence.collect(connection, intents)


def kill_everything(world: World) -> None:
    """End all processes of a run that is given up, and its servers."""
    for host in world.hosts:
        host.down = True
    end_all(world.run)
    try:
        world.servers.stop()
    except (OSError, psycopg.Error) as error:
        print(f"the servers did not stop: {error}", file=sys.stderr)
