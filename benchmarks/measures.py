"""The measurements of one system, in the order that costs least: ask for jobs, then carry them.

**Enqueue**: one caller, one job after the other, each committed. **Bulk**: the system's own call
for many. **Drain**: the jobs are there before the workers start; the clock begins when all
processes are at work (:func:`benchmarks.effects.rate`), and ends when the last job has run and the
system's own records say that nothing is left. **Pickup**: from before a caller asks until the task
runs, at one job in about 50 ms. **Memory**: of all worker processes, after they drained.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import effects, figures, memory, programs
from benchmarks.errors import Failed
from benchmarks.peers.asking import PICKUP
from benchmarks.servers import Servers
from benchmarks.systems import Configuration, System

#: How often a drain is looked at, in seconds; how long workers rest before pickups.
_LOOK, _REST = 0.01, 1.0
#: Milliseconds between two jobs at low load.
GAP = 50

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured."""

    #: Jobs that a slow system is asked for; faster ones get a multiple.
    jobs: int
    pickups: int
    #: Seconds that one measurement may take.
    deadline: float


class Bench:
    """One system on its database, measured as often as wanted."""

    def __init__(self, system: System, python: Path, servers: Servers, redis: int) -> None:
        """Describe it; ``redis`` is its number there."""
        self.system = system
        #: Its database.
        self.database = f"bench_{system.name.replace('-', '_')}"
        #: Whether measurements work on what is in the database, rather than on an empty one.
        self.keeps_rows = False
        self.configuration = system.configurations[0]
        self._python = python
        self.servers = servers
        self._redis = redis

    @property
    def _effects(self) -> Path:
        return self.servers.data / f"{self.database}.effects"

    @property
    def template(self) -> str:
        """The prepared, empty database that each measurement gets a copy of."""
        return f"{self.database}_empty"

    def prepare(self, sizes: Sizes) -> None:
        """Create its tables."""
        self.servers.create(self.template)
        self.ask("prepare", within=sizes.deadline, database=self.template)

    def choose(self, sizes: Sizes) -> None:
        """Drain briefly in each configuration, and keep the fastest; raises ``Failed`` for none.

        Each has two tries, by turns, of which the better one counts: a moment in which the machine
        was busy decides nothing.
        """
        found: dict[str, float] = {}
        failure: Failed | None = None
        for configuration in self.system.configurations * 2:
            self.configuration = configuration
            try:
                rate = self._tried(sizes)
            except Failed as error:
                failure = error
            else:
                found[configuration.name] = max(rate, found.get(configuration.name, 0.0))
        if failure is not None and not found:
            raise failure
        best = max(found, key=lambda name: found[name])
        (self.configuration,) = (one for one in self.system.configurations if one.name == best)

    def _tried(self, sizes: Sizes) -> float:
        self.fresh()
        jobs = self.enqueue(max(200, sizes.jobs * self.system.many // 3), sizes)[1]
        with self.working() as workers:
            return self.drained(workers, jobs, sizes)

    def measurements(
        self, parts: set[str], sizes: Sizes
    ) -> Iterator[Callable[[], dict[str, float]]]:
        """Yield functions that measure and return figures; one may fail, the others go on."""
        if parts & {"enqueue", "drain", "pickup", "memory"}:
            yield partial(self.one_by_one, parts, sizes)
        if self.system.bulk and parts & {"bulk", "drain"}:
            yield partial(self.in_bulk, parts, sizes)
        # Its jobs stay where they are, so it needs a fresh database before and after.
        if not self.keeps_rows and self.system.with_row and "enqueue" in parts:
            yield partial(self.with_row, sizes)

    def one_by_one(self, parts: set[str], sizes: Sizes) -> dict[str, float]:
        """Enqueue, drain, pick up, weigh."""
        self.begin()
        rate, jobs = self.enqueue(sizes.jobs * self.system.many, sizes)
        found = {"enqueue": rate}
        if self.configuration.workers and parts & {"drain", "pickup", "memory"}:
            with self.working() as workers:
                found["drain"] = self.drained(workers, jobs, sizes)
                if "pickup" in parts:
                    found |= self.picked_up(workers, sizes)
                if "memory" in parts:
                    found |= _memory(workers)
        return found

    def in_bulk(self, parts: set[str], sizes: Sizes) -> dict[str, float]:
        """Enqueue in bulk, drain."""
        self.begin()
        jobs = sizes.jobs * self.system.many_in_bulk
        answer = self.ask("bulk", str(jobs), within=sizes.deadline)
        found = {"bulk": jobs / answer["seconds"]}
        if self.configuration.workers and "drain" in parts:
            with self.working() as workers:
                found["drain_bulk"] = self.drained(workers, answer["jobs"], sizes)
        return found

    def with_row(self, sizes: Sizes) -> dict[str, float]:
        """Enqueue in transactions that insert a row, too."""
        self.begin()
        answer = self.ask("with-row", str(sizes.jobs), within=sizes.deadline)
        return {"with_row": sizes.jobs / answer["seconds"]}

    def begin(self) -> None:
        """Have the database as a measurement wants it."""
        if self.keeps_rows:
            self.clear()
            self.servers.checkpoint()
        else:
            self.fresh()

    def fresh(self) -> None:
        """Begin with an empty database and an empty Redis."""
        self.servers.create(self.database, self.template)
        self.clear()

    def clear(self) -> None:
        """Begin with what is in the database, and an empty Redis."""
        self.servers.empty_redis(self._redis)
        self._effects.unlink(missing_ok=True)

    def enqueue(self, jobs: int, sizes: Sizes) -> tuple[float, int]:
        """Ask for jobs one by one; returns jobs per second, and how many there are now."""
        answer = self.ask("enqueue", str(jobs), within=sizes.deadline)
        return jobs / answer["seconds"], answer["jobs"]

    def working(self) -> programs.Workers:
        """Return workers, to be started by ``with``."""
        return programs.Workers(
            self._python,
            self.configuration.workers,
            self.environment(),
            self.servers.data / f"{self.database}.log",
        )

    def drained(self, workers: programs.Workers, jobs: int, sizes: Sizes) -> float:
        """Wait until ``jobs`` have been carried; returns jobs per second."""
        deadline = time.monotonic() + sizes.deadline

        def look(done: int) -> None:
            workers.check()
            if time.monotonic() > deadline:
                raise Failed(f"drain: {done} of {jobs} jobs after {sizes.deadline:.0f} s")
            time.sleep(_LOOK)

        while (done := effects.count(self._effects)) < jobs:
            look(done)
        ended = 0.0
        if self.system.left is not None:
            with self.servers.connect(self.database) as connection:
                while True:
                    row = connection.execute(self.system.left, {"jobs": jobs}).fetchone()
                    ended = time.time()
                    if row is not None and row[0] <= 0:
                        break
                    look(jobs)
        ran = effects.read(self._effects)
        return effects.rate(ran, max(ended, ran[-1].instant))

    def picked_up(self, workers: programs.Workers, sizes: Sizes) -> dict[str, float]:
        """Ask for jobs now and then; returns how long they took to start."""
        time.sleep(_REST)
        within = sizes.deadline + sizes.pickups * GAP / 1e3
        answer = self.ask("pickup", str(sizes.pickups), str(GAP), within=within)
        deadline = time.monotonic() + sizes.deadline
        while True:
            ran = effects.read(self._effects) if effects.count(self._effects) else []
            started = {effect.number: effect.instant for effect in reversed(ran)}
            waits = [
                (started[number] - before) * 1e3
                for number, before, _ in answer["asked"]
                if number >= PICKUP and number in started
            ]
            if len(waits) == sizes.pickups:
                return {
                    "pickup_p50": figures.quantile(waits, 0.5),
                    "pickup_p99": figures.quantile(waits, 0.99),
                }
            workers.check()
            if time.monotonic() > deadline:
                raise Failed(f"pickup: {len(waits)} of {sizes.pickups} jobs began")
            time.sleep(0.1)

    def ask(
        self, verb: str, *arguments: str, within: float, database: str | None = None
    ) -> dict[str, Any]:
        """Run a verb of the system's; raises ``Failed``."""
        program = ("-m", f"benchmarks.peers.{self.system.module}", verb, *arguments)
        return programs.ask(self._python, program, self.environment(database), within)

    def environment(self, database: str | None = None) -> dict[str, str]:
        """Return the variables of its callers and workers."""
        # Celery loads a Django project when it sees this variable; without one it is quicker.
        django = {"DJANGO_SETTINGS_MODULE": self.system.django} if self.system.django else {}
        return {
            **self.servers.environment(database or self.database, self._redis),
            **django,
            effects.VARIABLE: str(self._effects),
            **self.configuration.environment,
        }


def _memory(workers: programs.Workers) -> dict[str, float]:
    found = memory.measure(workers.family())
    parts = {"memory": found.total}
    return parts | ({"memory_keeper": found.keeper} if found.keeper else {})


def by_turns(items: Sequence[T], repeat: int) -> list[T]:
    """Return them so that each begins in one repeat, and none always follows the same one."""
    turn = repeat % max(1, len(items))
    return [*items[turn:], *items[:turn]]


def named(configuration: Configuration, of: System) -> str:
    """Return the configuration's name, and of how many it was the best."""
    tried = len(of.configurations)
    return configuration.name + (f" (best of {tried})" if tried > 1 else "")
