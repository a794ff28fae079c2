"""The engine's promises under whatever happens in whatever order, by several processes at once.

Hypothesis makes up the steps: enqueueing, claims, settlements, kills, pauses, cancellations, limits,
passing time; transactions stay open while others act. PostgreSQL is real, and so is all that is
called. After each step the tables are compared with :mod:`tests.jobs.properties.model`, and with
what is always true (:mod:`tests.jobs.properties.invariants`). At the end everything is let go, and
every job must come to its end. ``docs/how-to/test-tasks.md`` says how to run more of it, or again.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator

import pytest
from django.db.models import F
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule, run_state_machine_as_test

from jobs import executor, gates, operations
from jobs.breaker import breaker
from jobs.maintenance import lifeline, strays
from jobs.maintenance.stager import Stager
from jobs.models import LimitOverride, Worker
from jobs.states import FINAL
from tests.conftest import Live
from tests.jobs.properties import invariants, tables
from tests.jobs.properties.keeper import Keeper
from tests.jobs.properties.machine import OPERATOR, STEPS, World, step
from tests.jobs.properties.model import AGEING, HOUR
from tests.jobs.properties.people import People
from tests.jobs.properties.wishes import QUEUES, Wish, wishes
from tests.jobs.properties.workers import Workers

PROFILES = {
    "ordinary": settings(max_examples=11, stateful_step_count=40, database=None),
    "thorough": settings(max_examples=1_000, stateful_step_count=80),
}
PROFILE = settings(
    PROFILES[os.environ.get("HYPOTHESIS_PROFILE", "ordinary")],
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)

#: Steps without which some examples are: so that the others meet each other more often.
_RARE = sorted(name for name, one in STEPS.items() if one.weight <= 4)
#: Days in which nothing happens, when nothing holds it up, until it never will.
_PATIENCE = 4


class Engine(Workers, Keeper, People):
    """Clients, workers, a keeper and an operator."""

    def __init__(self) -> None:
        super().__init__()
        self._without: set[str] = set()
        self._around = sys.exc_info()[1]

    @initialize(jobs=wishes(3, 9), without=st.sets(st.sampled_from(_RARE)))
    def begin(self, jobs: list[Wish], without: set[str]) -> None:
        """Some jobs are there already, and some things do not happen this time."""
        self._without = without
        for job in jobs:
            self.enqueue_one(self.world.clients[0], job)

    @rule(data=st.data())
    def go_on(self, data: st.DataObject) -> None:
        """Something happens."""
        possible = ["nothing"]  # what the simplest examples are made of: they cost nothing
        possible += [
            name
            for name, one in sorted(STEPS.items(), key=lambda item: -item[1].weight)
            for _ in range(one.weight * one.when(self))
            if name not in self._without
        ]
        name = data.draw(st.sampled_from(possible), label="step")
        if name == "nothing":
            return
        arguments = data.draw(STEPS[name].arguments, label=name)
        self.happened[f"step {name}"] += 1
        getattr(self, name)(**arguments)

    @step(3, hours=st.sampled_from([1, 2, 4, 16]))
    def time_passes(self, hours: int) -> None:
        """Everybody comes to the end of what it is about, and time passes."""
        self.everybody_ends()
        tables.let_time_pass(hours * HOUR)
        alive = [id_ for id_ in self.worker_ids.values() if id_ not in self.model.silent]
        Worker.objects.filter(id__in=alive).update(heartbeat_at=F("heartbeat_at") + hours * HOUR)
        self.model.let_time_pass(hours * HOUR)

    @invariant()
    def everything_is_as_it_must_be(self) -> None:
        """Compare the tables with the model."""
        seen = tables.read()
        self.now = seen.now
        invariants.check(seen)
        self.model.compare(seen)

    def teardown(self) -> None:
        """Let everything come to its end, unless something is wrong already."""
        try:
            if sys.exc_info()[1] is self._around:
                self.everybody_ends()
                self.everything_is_as_it_must_be()
                self._let_go()
        finally:
            for session in self.world.sessions:
                if not self.is_free(session):
                    self.kill(session)
            breaker.reset()
            for job in self.model.jobs.values():
                self.happened.update(job.told)
            self.happened["turn"] += self.model.turns.count

    def _let_go(self) -> None:
        """Nothing is held up any more: every job must come to its end by itself."""
        Worker.objects.update(heartbeat_at=F("heartbeat_at") - 24 * HOUR)
        for queue in self.model.paused:
            operations.resume_queue(queue, actor=OPERATOR)
        LimitOverride.objects.filter(value=0).update(value=1)
        gates.overrides.forget()
        breaker.reset()
        told, idle = 0, 0
        while True:
            seen = tables.read()
            invariants.check(seen)
            for job in self.model.jobs.values():
                assert seen.told[job.id][: len(job.told)] == job.told, "the past has changed"
                assert job.state not in FINAL or seen.told[job.id] == job.told
            unfinished = [row for row in seen.jobs.values() if row.state not in FINAL]
            if not unfinished:
                return
            before, told = told, sum(map(len, seen.told.values()))
            idle = idle + 1 if told == before else 0
            stuck = [(row, seen.told[row.id]) for row in unfinished]
            assert idle < _PATIENCE, f"these never end: {stuck}"
            lifeline.take_back_forsaken()
            Stager().run_once()
            strays.look_after()
            for queue in QUEUES:
                list(executor.take_turn(queue, worker=None, seconds=60))
            tables.let_time_pass(24 * HOUR)


@pytest.fixture
def world(live: Live, conf: Callable[..., None]) -> Iterator[World]:
    """The processes, with settings for times that pass by the hour."""
    conf(
        AGEING=AGEING,
        BACKOFF_SCALE=1_000,
        CANCEL_GRACE=HOUR / 2,
        LEASE=HOUR / 2,
        UNKNOWN_TASK_GRACE=HOUR / 2,
    )
    logging.disable(logging.CRITICAL)  # a failure would be lost among thousands of lines
    world = World()
    yield world
    for session in world.sessions:
        session.end()
    logging.disable(logging.NOTSET)


@pytest.mark.processes
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_whatever_happens_in_whatever_order_the_engine_keeps_its_promises(
    world: World, number: int
) -> None:
    class Examples(Engine):
        pass

    Examples.world = world
    run_state_machine_as_test(seed(number)(Examples), settings=PROFILE)
    print(*sorted(world.happened.items()), sep="\n")
