"""The engine's promises under whatever happens in whatever order, by several processes at once.

Hypothesis makes up the steps: enqueueing, claims, settlements, kills, pauses, cancellations, limits,
passing time, with transactions that stay open while others act. PostgreSQL is real, and so are all
functions of the engine. After each step the tables are compared with :mod:`tests.jobs.model`, and
with what is always true (:mod:`tests.jobs.invariants`). At the end everything is let go, and every
job must come to its end. ``docs/how-to/test-tasks.md`` says how to run more of it, and again.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar
from uuid import UUID, uuid4

import pytest
from django.db.models import F
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from jobs import executor, gates, job_task, operations, payload, transitions, workflows
from jobs.breaker import breaker
from jobs.definition import Options, Unique
from jobs.enqueue import new_job
from jobs.errors import Cancelled, Discard, NotPossible, PermanentError, RetryLater
from jobs.limits import Concurrency, Rate
from jobs.maintenance import enforcer, lifeline, strays
from jobs.maintenance.stager import Stager
from jobs.models import Job, LimitOverride, Priority, Worker
from jobs.queues import get_queue
from jobs.records import Claimed, Line, Settlement, Waiting
from jobs.retry import settlement_of
from jobs.states import FINAL, UNFINISHED, WAITING, Move, State
from jobs.task import JobTask, registry
from tests.conftest import Live
from tests.jobs import invariants, tables
from tests.jobs.model import AGEING, LIMITS, RATE_PERIOD, Model, ModelJob, Span
from tests.jobs.sessions import Answer, Session

settings.register_profile(
    "ordinary", max_examples=25, stateful_step_count=40, derandomize=True, database=None
)
settings.register_profile("thorough", max_examples=1_000, stateful_step_count=80)
settings.register_profile(
    "quick", settings.get_profile("ordinary"), phases=[Phase.generate], report_multiple_bugs=False
)
PROFILE = settings(
    settings.get_profile(os.environ.get("HYPOTHESIS_PROFILE", "ordinary")),
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)

HOUR = timedelta(hours=1)
PERIOD = 6 * HOUR
QUEUES = ("reports", "inventory")
TOMORROW = "tests.of_tomorrow"
OPERATOR = "user:ann"

Effect = Callable[[], object]
AnyTask = JobTask[..., None]


def declare_tasks() -> dict[str, AnyTask]:
    """Declare the tasks of these jobs; whoever is to fail does so each time."""
    lasting: Any = {"hard_time_limit": 12.5 * HOUR}
    wide, narrow = Concurrency(limit=2), Concurrency(limit=2, by="tenant")

    @job_task(name="tests.plain", queue="reports", **lasting)
    def plain(*, key: str = "", fails: bool = False) -> None:
        if fails:
            raise ValueError("it was asked to fail")

    @job_task(name="tests.single", queue="reports", unique=Unique(by=("key",)), **lasting)
    def single(*, key: str = "", fails: bool = False) -> None:
        plain.run(fails=fails)

    unique = Unique(by=("key",), period=PERIOD)

    @job_task(name="tests.seldom", queue="reports", unique=unique, **lasting)
    def seldom(*, key: str = "", fails: bool = False) -> None:
        plain.run(fails=fails)

    @job_task(name="tests.narrow", queue="inventory", limits=[narrow], atomic=True, **lasting)
    def narrowed(*, key: str = "", fails: bool = False) -> None:
        plain.run(fails=fails)

    rate = Rate(limit=LIMITS["tests.rated/rate"], per=RATE_PERIOD)

    @job_task(name="tests.rated", queue="inventory", limits=[rate, wide], **lasting)
    def rated(*, key: str = "", fails: bool = False) -> None:
        plain.run(fails=fails)

    return {task.definition.name: task for task in (plain, single, seldom, narrowed, rated)}


@dataclass(frozen=True)
class Wanted:
    """A job that somebody wants."""

    task: str
    queue: str
    tenant: str
    priority: Priority
    delay: int  # hours
    expires: int  # hours; 0: never
    key: str
    follows: int
    fails: bool

    @property
    def unique(self) -> tuple[tuple[str, str, str], timedelta | None] | None:
        """What makes it unique, and for how long from its enqueueing."""
        if self.task not in {"tests.single", "tests.seldom"}:
            return None
        return (self.task, self.tenant, self.key), PERIOD if self.task == "tests.seldom" else None


def wanted() -> st.SearchStrategy[Wanted]:
    """Make up jobs: mostly plain ones that are due."""
    priorities = [Priority.NORMAL, Priority.NORMAL, Priority.CRITICAL, Priority.LOW]
    return st.builds(
        Wanted,
        task=st.sampled_from(
            ["tests.plain"] * 3
            + ["tests.rated"] * 2
            + ["tests.narrow", "tests.single", "tests.seldom", TOMORROW]
        ),
        queue=st.sampled_from(["reports", "reports", "inventory"]),
        tenant=st.sampled_from("ab"),
        priority=st.sampled_from(priorities),
        delay=st.sampled_from([0, 0, 0, 2]),
        expires=st.sampled_from([0, 0, 0, 3]),
        key=st.sampled_from("xy"),
        follows=st.sampled_from([0, 0, 0, 2]),
        fails=st.booleans(),
    )


#: Which of several, counted from the newest.
PICK = st.integers(0, 5)
#: Whether a transaction stays open after its step.
STAYS_OPEN = st.sampled_from([False, False, False, True])
ENDINGS: dict[str, Exception | None] = {
    "succeeds": None,
    "fails": ValueError("it broke"),
    "dies": PermanentError("no use"),
    "snoozes": RetryLater(after=2 * HOUR),
    "is discarded": Discard("not worth it"),
    "notices its cancellation": Cancelled("a person cancelled it"),
    "is given back": None,
}


class World:
    """The processes of all examples."""

    def __init__(self) -> None:
        self.tasks = declare_tasks()
        self.clients = [Session("client 1"), Session("client 2")]
        self.workers = [Session("worker 1"), Session("worker 2"), Session("worker 3")]
        self.keeper, self.operator = Session("keeper"), Session("operator")
        self.sessions = [*self.clients, *self.workers, self.keeper, self.operator]


@dataclass
class Doing:
    """A call that a process is about."""

    session: Session
    began: datetime
    #: Checks the answer; returns what it changes and what it holds until the end of a transaction.
    finish: Callable[[Answer, Span], tuple[list[Effect], set[object]]]
    #: What it may hold while it waits.
    targets: set[object]


@dataclass
class Open:
    """What a process has done in its open transaction."""

    effects: list[Effect] = field(default_factory=list)
    held: set[object] = field(default_factory=set)


class Engine(RuleBasedStateMachine):
    """Clients, workers, a keeper and an operator; one step of one of them at a time."""

    world: ClassVar[World]

    def __init__(self) -> None:
        super().__init__()
        self._around = sys.exc_info()[1]
        tables.empty()
        gates.overrides.forget()
        breaker.reset()
        self.model = Model()
        self.now = tables.clock()
        self.waiting: Doing | None = None
        self.open: dict[Session, Open] = {}
        self.claims: list[Claimed] = []
        #: Jobs at the gates that a worker was told of, and has not asked yet.
        self.told: dict[Session, list[Waiting]] = {}
        self.broker_is_up = True
        self.worker_ids = {session: self._new_worker() for session in self.world.workers}

    @staticmethod
    def _new_worker() -> UUID:
        known = sorted(registry())
        worker = Worker.objects.create(
            id=uuid4(), host="here", pid=os.getpid(), pool="threads", concurrency=1, tasks=known
        )
        return worker.id

    # --- how a step is made ----------------------------------------------------------------------

    def perform(
        self,
        session: Session,
        call: Callable[[], Any],
        finish: Callable[[Answer, Span], tuple[list[Effect], set[object]]],
        *,
        stays_open: bool = False,
        targets: Iterable[object] = (),
        may_wait: bool = True,
    ) -> None:
        """Have the process make the call; what comes of it is seen now, or when its wait is over."""
        if stays_open and session not in self.open:
            session.begin()
            self.open[session] = Open()
        doing = Doing(session, tables.clock(), finish, set(targets))
        session.start(call)
        answer = session.answer(self._backends())
        if answer is not None:
            self._finish(doing, answer)
        elif self.waiting is None:
            assert may_wait, "it waits for a lock of another, and should pass by what is locked"
            self.waiting = doing
        else:  # one that waits is enough: this one is told to give up
            session.interrupt()
            if session in self.open:
                self._end(session, commit=False)

    def _backends(self) -> list[int]:
        return [session.backend for session in self.world.sessions]

    def _finish(self, doing: Doing, answer: Answer) -> None:
        effects, held = doing.finish(answer, (doing.began, tables.clock()))
        if doing.session in self.open:
            self.open[doing.session].effects += effects
            self.open[doing.session].held |= held
            return
        for effect in effects:
            effect()
        self._go_on()

    def _go_on(self) -> None:
        """Somebody let go of locks: whoever waited for them goes on."""
        if self.waiting is None:
            return
        answer = self.waiting.session.answer(self._backends())
        if answer is not None:
            doing, self.waiting = self.waiting, None
            self._finish(doing, answer)

    def _end(self, session: Session, *, commit: bool) -> None:
        done = self.open.pop(session)
        if commit:
            session.commit()
            for effect in done.effects:
                effect()
        else:
            session.roll_back()
            self._undone(done)
        self._go_on()

    def _undone(self, done: Open) -> None:
        for job_id in done.held:
            if isinstance(job_id, UUID) and job_id in self.model.jobs:
                self.model.turns.upset(self.model.jobs[job_id].cls)

    def _free(self, sessions: Sequence[Session], pick: int = 0) -> Session | None:
        """Return one that is neither waiting nor in the middle of a transaction."""
        busy = self.waiting.session if self.waiting else None
        free = [one for one in sessions if one is not busy and one not in self.open]
        return free[pick % len(free)] if free else None

    def _held(self) -> set[object]:
        """What somebody's open transaction surely holds."""
        return {held for done in self.open.values() for held in done.held}

    def _claimable(self, jobs: Iterable[ModelJob], span: Span) -> tuple[set[UUID], set[UUID]]:
        surely, at_all = self.model.claimable(jobs, span, held=self._held())
        return surely - (self.waiting.targets if self.waiting else set()), at_all

    def _some(self, jobs: Iterable[ModelJob], pick: int) -> ModelJob | None:
        """Return one of these jobs, or the newest other one now and then."""
        all_jobs, liked = list(self.model.jobs.values()), list(jobs)
        liked = liked[::-1] + [job for job in all_jobs[::-1] if job not in liked][:1]
        return liked[pick % len(liked)] if liked else None

    @invariant()
    def everything_is_as_it_must_be(self) -> None:
        seen = tables.read()
        self.now = seen.now
        invariants.check(seen)
        self.model.compare(seen)

    # --- clients ---------------------------------------------------------------------------------

    @initialize(jobs=st.lists(wanted(), min_size=2, max_size=6))
    def begin(self, jobs: list[Wanted]) -> None:
        self._enqueue(self.world.clients[0], jobs, stays_open=False)

    @rule(pick=PICK, jobs=st.lists(wanted(), min_size=1, max_size=3), stays_open=STAYS_OPEN)
    def enqueue(self, pick: int, jobs: list[Wanted], stays_open: bool) -> None:
        busy = self.waiting.session if self.waiting else None
        client = self.world.clients[pick % 2]
        if client is not busy:
            self._enqueue(client, jobs, stays_open=stays_open)

    def _enqueue(self, client: Session, jobs: list[Wanted], *, stays_open: bool) -> None:
        for job in jobs:
            if self.waiting and self.waiting.session is client:
                return
            self._set_breaker()
            self.perform(
                client,
                partial(self._enqueued, job),
                partial(self._check_enqueued, client, job),
                stays_open=stays_open,
            )

    def _set_breaker(self) -> None:
        breaker.reset() if self.broker_is_up else breaker.trip()

    def _enqueued(self, job: Wanted) -> Job:
        plain = self.world.tasks["tests.plain"]
        task = self.world.tasks.get(job.task, plain)
        options = Options(
            queue=job.queue if task is plain else None,
            priority=job.priority,
            tenant=job.tenant,
            delay=job.delay * HOUR,
            expires=job.expires * HOUR if job.expires else None,
            follows=[plain.step()] * (0 if job.task == TOMORROW else job.follows),
        )
        if job.task != TOMORROW:
            return task.using(**_told(options)).enqueue(key=job.key, fails=job.fails)
        checked = payload.check(task.definition.arguments, job.task, {"key": job.key})
        sealed = payload.seal(job.task, checked)
        new = replace(new_job(task, sealed, options), task=TOMORROW)
        (row,) = transitions.insert([new], broker_is_up=self.broker_is_up)
        return Job(id=row.id, state=row.state, queue=new.queue)

    def _check_enqueued(
        self, client: Session, job: Wanted, answer: Answer, span: Span
    ) -> tuple[list[Effect], set[object]]:
        found: Job = answer.value
        done = self.open.get(client)
        if job.unique:
            twins = self.model.twins(*job.unique, span)
            own = {made for made in done.held if isinstance(made, tuple)} if done else set()
            twins |= {id_ for key, id_ in own if key == job.unique[0]}
            assert found.is_twin == bool(twins), f"{job}: {found.id}, and there are {twins}"
            if found.is_twin:
                assert found.id in twins
                return [], set()
        expected = {State.SCHEDULED} if job.delay else {State.AVAILABLE, State.QUEUED}
        if self.broker_is_up is False and not job.delay:
            expected = {State.AVAILABLE}
        state = State(found.state)
        assert state in expected
        model = ModelJob(found.id, job.task, found.queue, job.tenant, job.priority, state)
        model.follows = 0 if job.task == TOMORROW else job.follows
        model.key = job.unique[0] if job.unique else None
        effects: list[Effect] = [partial(self.model.add, model)]
        if done:
            effects.append(partial(self.model.turns.upset, model.cls))
        return effects, {(model.key, model.id)} if model.key else set()

    @rule(
        pick=PICK,
        task=st.sampled_from(["tests.plain", "tests.plain", "tests.narrow"]),
        tenant=st.sampled_from("ab"),
        number=st.integers(2, 6),
        later=st.sampled_from([0, 0, 2]),
        stays_open=STAYS_OPEN,
    )
    def enqueue_many(
        self, pick: int, task: str, tenant: str, number: int, later: int, stays_open: bool
    ) -> None:
        client = self._free(self.world.clients, pick)
        if client is None:
            return
        self._set_breaker()
        options = Options(tenant=tenant, delay=later * HOUR)
        made = self.world.tasks[task]

        def finish(answer: Answer, _: Span) -> tuple[list[Effect], set[object]]:
            return [partial(self._meet, answer.value)], set()

        calls = [{"key": str(place)} for place in range(number)]
        self.perform(
            client, partial(made.enqueue_many, calls, options), finish, stays_open=stays_open
        )

    def _meet(self, ids: Sequence[UUID]) -> None:
        """Get to know jobs that were copied in."""
        rows = tables.read().jobs
        for id_ in ids:
            row = rows[id_]
            job = ModelJob(id_, row.task, row.queue, row.tenant, row.priority, State(row.state))
            self.model.add(job)

    # --- workers ---------------------------------------------------------------------------------

    @rule(
        pick=PICK,
        queue=st.sampled_from(QUEUES),
        limit=st.sampled_from([1, 1, 2, 4]),
        hesitates=STAYS_OPEN,
        stays_open=STAYS_OPEN,
        forgetful=STAYS_OPEN,
    )
    def claim_next(
        self, pick: int, queue: str, limit: int, hesitates: bool, stays_open: bool, forgetful: bool
    ) -> None:
        worker = self._free(self.world.workers, pick)
        if worker is None:
            return
        known = sorted(registry())
        if forgetful:  # of an older release
            known.remove("tests.narrow")
        self.perform(
            worker,
            partial(
                transitions.claim_next, queue, limit, worker=self.worker_ids[worker], tasks=known
            ),
            partial(self._check_claim_next, worker, queue, limit, known),
            stays_open=stays_open,
            may_wait=False,
        )
        if self.told.get(worker) and not hesitates:
            if worker in self.open:
                self._end(worker, commit=True)
            self._pass_gates(worker, stays_open=stays_open)

    def _check_claim_next(
        self,
        worker: Session,
        queue: str,
        limit: int,
        known: list[str],
        answer: Answer,
        span: Span,
    ) -> tuple[list[Effect], set[object]]:
        line: Line = answer.value
        model = self.model
        got = [job.id for job in line.claimed] + [job.id for job in line.gated]
        standing = [job for job in model.line(queue) if job.task in known]
        surely, at_all = self._claimable(standing, span)
        assert set(got) <= at_all, "a claim took what was not to be had"
        assert len(set(got)) == len(got) <= limit
        assert all(job.gates is None for job in line.claimed)
        assert {job.id for job in line.gated} == {id_ for id_ in got if model.jobs[id_].row.gates}
        left = surely - set(got)
        if left:
            assert len(got) == limit, f"it left {left}"
            assert line.more, "there is more, and it did not say so"
            best = min(model.place(model.jobs[id_], span[0]) for id_ in left)
            worst = max(model.place(model.jobs[id_], span[1]) for id_ in got)
            assert worst <= best, f"it took {worst} and left {best}"
        self._take_turns(queue, [job.id for job in line.claimed], left, known)
        self.told[worker] = line.gated
        self.claims += line.claimed
        effects = self._claimed(line.claimed, self.worker_ids[worker], None)
        return effects, set(got)

    def _take_turns(
        self, queue: str, got: Sequence[UUID], left: set[UUID], known: list[str]
    ) -> None:
        model = self.model
        for job in model.line(queue):
            if job.row.gates or job.task not in known or job.id not in {*got, *left}:
                model.turns.upset(job.cls)  # its turn is not to be had, or not here
        remaining = {*got, *left}
        for id_ in got:
            job = model.jobs[id_]
            remaining.discard(id_)
            others = (model.jobs[other] for other in remaining)
            model.turns.take(job, (other.tenant for other in others if other.cls == job.cls))

    def _claimed(
        self, claimed: Iterable[Claimed], worker: UUID | None, at: datetime | None
    ) -> list[Effect]:
        return [partial(self.model.claim, job, worker, at) for job in claimed]

    @precondition(lambda self: any(self.told.values()))
    @rule(pick=PICK, stays_open=STAYS_OPEN)
    def pass_gates(self, pick: int, stays_open: bool) -> None:
        worker = self._free([one for one in self.world.workers if self.told.get(one)], pick)
        if worker is not None:
            self._pass_gates(worker, stays_open=stays_open)

    def _pass_gates(self, worker: Session, *, stays_open: bool) -> None:
        waiting = self.told.pop(worker)
        worker_id = self.worker_ids[worker]
        went_on: list[None] = []

        def finish(answer: Answer, span: Span) -> tuple[list[Effect], set[object]]:
            claimed: list[Claimed] = answer.value
            got = {job.id for job in claimed}
            asked = [self.model.jobs[job.id] for job in waiting]
            surely, at_all = self._claimable(asked, span)
            assert got <= at_all, "what was not to be had passed its gates"
            self.model.check_limits(claimed, span[1])
            passing, stopped = self.model.decide(waiting, span[1])
            if not went_on:  # nothing happened in between
                assert passing & surely <= got <= passing
            self.claims += claimed

            def parked() -> None:
                seen = tables.read()
                moved = self.model.follow([job.id for job in waiting], Move.PARKED, seen)
                if not went_on:
                    assert moved.items() <= stopped.items(), "parked at an open gate"
                    assert in_line & set(stopped) <= set(moved), "not parked at a shut gate"

            in_line = {job.id for job in asked if job.in_line and job.id not in self._held()}
            if self.waiting:
                in_line -= self.waiting.targets  # type: ignore[operator]
            effects: list[Effect] = [parked, *self._claimed(claimed, worker_id, span[1])]
            return effects, {job.id for job in waiting if job.id in got | in_line}

        self.perform(
            worker,
            partial(gates.pass_or_park, waiting, worker=worker_id),
            finish,
            stays_open=stays_open,
            targets=[job.id for job in waiting],
        )
        if self.waiting and self.waiting.session is worker:
            went_on.append(None)

    @rule(
        pick=PICK, picks=st.lists(PICK, min_size=1, max_size=3, unique=True), stays_open=STAYS_OPEN
    )
    def claim_by_id(self, pick: int, picks: list[int], stays_open: bool) -> None:
        """As a drain or a command does; limits are not asked, so none of those."""
        worker = self._free(self.world.workers, pick)
        free = [job for job in self.model.jobs.values() if not job.row.gates]
        free = [job for job in free if job.state in WAITING] or free
        if worker is None or not free:
            return
        jobs = list(
            {id(job): job for job in (free[-1 - one % len(free)] for one in picks)}.values()
        )

        def finish(answer: Answer, span: Span) -> tuple[list[Effect], set[object]]:
            claimed: list[Claimed] = answer.value
            got = {job.id for job in claimed}
            surely, at_all = self._claimable(jobs, span)
            assert surely <= got <= at_all
            for job in jobs:
                if job.in_line:
                    self.model.turns.upset(job.cls)
            self.claims += claimed
            return self._claimed(claimed, self.worker_ids[worker], None), set(got)

        call = partial(transitions.claim, [job.id for job in jobs], worker=self.worker_ids[worker])
        self.perform(worker, call, finish, stays_open=stays_open, may_wait=False)

    @precondition(lambda self: self.claims)
    @rule(
        pick=PICK,
        picks=st.lists(PICK, min_size=1, max_size=3, unique=True),
        ending=st.sampled_from(["succeeds", *ENDINGS]),
        late=STAYS_OPEN,
        stays_open=STAYS_OPEN,
    )
    def settle(
        self, pick: int, picks: list[int], ending: str, late: bool, stays_open: bool
    ) -> None:
        """End attempts; ``late``: those that were taken back, or settled already, again."""
        worker = self._free(self.world.workers, pick)
        chosen = [claim for claim in self.claims if self._is_running(claim) is not late]
        if worker is None or not chosen:
            return
        chosen = list(
            {one.lease: one for one in (chosen[-1 - n % len(chosen)] for n in picks)}.values()
        )
        done = [(claimed, _settlement(claimed, ending)) for claimed in chosen]

        def finish(answer: Answer, _: Span) -> tuple[list[Effect], set[object]]:
            settled: set[UUID] = answer.value
            counting = [one for claimed, one in done if self._is_running(claimed)]
            assert settled == {one.id for one in counting}, "of settlements, the wrong ones counted"
            return [partial(self.model.settle, one) for one in counting], set(settled)

        self.perform(
            worker,
            partial(executor._written, done),
            finish,
            stays_open=stays_open,
            targets=[claimed.id for claimed in chosen],
        )
        if worker not in self.open and not (self.waiting and self.waiting.session is worker):
            if shut := gates.concurrency_gates(chosen):
                self._let_through(worker, shut)

    def _is_running(self, claimed: Claimed) -> bool:
        job = self.model.jobs.get(claimed.id)
        return job is not None and job.lease == claimed.lease

    @precondition(lambda self: self.open)
    @rule(pick=PICK, commit=st.sampled_from([True, True, False]))
    def end_a_transaction(self, pick: int, commit: bool) -> None:
        busy = self.waiting.session if self.waiting else None
        open_ones = [session for session in self.open if session is not busy]
        if open_ones:
            self._end(open_ones[pick % len(open_ones)], commit=commit)

    @rule(pick=PICK, fate=st.sampled_from(["killed", "silent", "stopped"]))
    def lose_a_worker(self, pick: int, fate: str) -> None:
        """Its process is killed, its heartbeat fails (it may be a zombie), or it stops."""
        worker = self.world.workers[pick % 3]
        if fate == "killed":
            self._kill(worker)
        elif self._free([worker]) is None:
            return
        lost = Worker.objects.filter(id=self.worker_ids[worker])
        if fate == "stopped":
            lost.update(stopped_at=F("heartbeat_at"))
        else:
            lost.update(heartbeat_at=F("heartbeat_at") - 24 * HOUR)
        self.model.silent.add(self.worker_ids[worker])
        if fate != "silent":
            self.told.pop(worker, None)
            self.worker_ids[worker] = self._new_worker()

    def _kill(self, session: Session) -> None:
        session.kill()
        if self.waiting and self.waiting.session is session:
            self.waiting = None
        if session in self.open:
            self._undone(self.open.pop(session))
        self._go_on()

    # --- the keeper ------------------------------------------------------------------------------

    @rule(stays_open=STAYS_OPEN)
    def stage(self, stays_open: bool) -> None:
        keeper = self._free([self.world.keeper])
        if keeper is None:
            return
        broker_is_up = self.broker_is_up

        def finish(answer: Answer, span: Span) -> tuple[list[Effect], set[object]]:
            staged = {message[0] for message in answer.value}
            model = self.model
            waiting = [
                job
                for job in model.jobs.values()
                if job.state == State.SCHEDULED
                or (broker_is_up and job.state == State.AVAILABLE and not job.parked)
            ]
            free = [
                job
                for job in waiting
                if job.queue not in model.paused and job.id not in self._held()
            ]
            surely = {job.id for job in free if job.is_due(span[0])}
            surely -= self.waiting.targets if self.waiting else set()  # type: ignore[operator]
            assert surely <= staged <= {job.id for job in free if job.is_due(span[1])}
            move, state = (
                (Move.PUBLISHED, State.QUEUED) if broker_is_up else (Move.MATURED, State.AVAILABLE)
            )
            jobs = [model.jobs[id_] for id_ in staged]
            for job in jobs:
                if stays_open or any(other.state == State.AVAILABLE for other in jobs):
                    model.turns.upset(job.cls)
            return [partial(job.move, move, state) for job in jobs], set(staged)

        call = partial(transitions.stage, 500, broker_is_up=broker_is_up)
        self.perform(keeper, call, finish, stays_open=stays_open, may_wait=False)

    @rule(stays_open=STAYS_OPEN)
    def let_through(self, stays_open: bool) -> None:
        keeper = self._free([self.world.keeper])
        if keeper is not None:
            self._let_through(keeper, None, stays_open=stays_open)

    def _let_through(
        self, session: Session, shut: list[str] | None, *, stays_open: bool = False
    ) -> None:
        model = self.model

        def finish(answer: Answer, span: Span) -> tuple[list[Effect], set[object]]:
            held = self._held()
            if "let through" in held:
                assert answer.value == 0
                return [], set()
            unsure = self.waiting.targets if self.waiting else set()
            most = least = 0
            parked: dict[str, list[ModelJob]] = {}
            for job in model.jobs.values():
                if job.parked and job.id not in held and (shut is None or job.gate in shut):
                    parked.setdefault(job.gate, []).append(job)
            for gate, jobs in parked.items():
                let_in = sum(job.in_line and job.gate == gate for job in model.jobs.values())
                room = max(0, model.room(gate, span[1]) - let_in)
                most += min(room, len(jobs))
                least += min(room, sum(job.id not in unsure for job in jobs))
            assert least <= answer.value <= most, f"{answer.value} of {parked}"
            ids = [job.id for jobs in parked.values() for job in jobs]

            def admitted() -> None:
                moved = model.follow(ids, Move.ADMITTED, tables.read())
                assert len(moved) == answer.value
                for gate, jobs in parked.items():
                    places = [(job.priority, job.row.seat) for job in jobs if job.id in moved]
                    left = [
                        (job.priority, job.row.seat)
                        for job in jobs
                        if job.id not in moved and job.id not in unsure
                    ]
                    assert not places or not left or max(places) <= min(left), gate

            # Which of them it holds is seen after its commit.
            return [admitted], {"let through", *(ids if answer.value else [])}

        call = partial(gates.let_through, shut)
        self.perform(session, call, finish, stays_open=stays_open, may_wait=False)

    @rule(stays_open=STAYS_OPEN)
    def expire(self, stays_open: bool) -> None:
        keeper = self._free([self.world.keeper])
        if keeper is None:
            return

        def finish(answer: Answer, span: Span) -> tuple[list[Effect], set[object]]:
            unsure = self.waiting.targets if self.waiting else set()
            free = [
                job
                for job in self.model.jobs.values()
                if job.state in WAITING and job.id not in self._held()
            ]
            late = [job for job in free if job.is_expired(span[1])]
            # Those that are told by the audit log: it is not said which.
            surely = sum(job.is_expired(span[0]) and job.id not in unsure for job in late)
            assert surely <= answer.value <= len(late)
            if answer.value < len(late):
                late = [job for job in late if job.id not in unsure]
            effects: list[Effect] = [
                partial(self.model.leave, job.id, Move.EXPIRED) for job in late
            ]
            return effects, {job.id for job in late}

        call = partial(workflows.expire, 500)
        self.perform(keeper, call, finish, stays_open=stays_open, may_wait=False)

    @rule(pick=PICK, how=st.sampled_from(["forsaken", "forsaken", "gone", "stopped", "by force"]))
    def take_back(self, pick: int, how: str) -> None:
        keeper = self._free([self.world.keeper])
        workers = sorted(self.model.silent, key=str) if how != "by force" else []
        keys = [*dict.fromkeys(job.worker for job in self.model.jobs.values() if job.worker)]
        workers = [key for key in keys if key in workers or how == "by force"]
        if keeper is None:
            return
        chosen = [workers[-1 - pick % len(workers)]] if workers else []
        calls: dict[str, Callable[[], int]] = {
            "forsaken": lifeline.take_back_forsaken,
            "gone": partial(lifeline.take_back_from_gone_processes, chosen, lambda _: False),
            "stopped": partial(lifeline.give_back, chosen),
            "by force": partial(enforcer.end_by_force, chosen, lambda _: False),
        }
        settled = [
            (job.id, job.lease, self._taken(job, how))
            for job in self.model.jobs.values()
            if job.state == State.RUNNING and self._is_lost(job, how, chosen)
        ]

        def finish(answer: Answer, _: Span) -> tuple[list[Effect], set[object]]:
            counting = [
                settlement
                for job_id, lease, settlement in settled
                if self.model.jobs[job_id].lease == lease
                and (how in {"gone", "stopped"} or job_id not in held)
            ]
            assert answer.value == len(counting), f"{how}: {answer.value} of {counting}"
            return [partial(self.model.settle, one) for one in counting], {
                one.id for one in counting
            }

        held = self._held() | (self.waiting.targets if self.waiting else set())
        if how in {"forsaken", "by force"} and self.waiting:
            return  # it is not said which of those that are waited for are held
        self.perform(
            keeper,
            calls[how],
            finish,
            targets=[job_id for job_id, _, _ in settled],
            may_wait=how in {"gone", "stopped"},
        )

    def _is_lost(self, job: ModelJob, how: str, workers: Sequence[UUID]) -> bool:
        row = job.row
        assert row.started_at is not None
        if how in {"gone", "stopped"}:
            return job.worker in workers
        overdue = row.started_at + timedelta(seconds=row.timeout)
        if how == "by force":
            asked = row.cancel_requested_at
            ignored = asked is not None and asked < self.now - HOUR / 2
            return job.worker in workers and (overdue < self.now or ignored)
        return job.worker in self.model.silent or overdue < self.now - timedelta(minutes=1)

    @staticmethod
    def _taken(job: ModelJob, how: str) -> Settlement:
        """Return what becomes of a job that is taken back."""
        assert job.lease is not None
        settlement = Settlement(id=job.id, lease=job.lease, move=Move.CRASHED, crashes=1)
        if how == "stopped":
            return replace(settlement, move=Move.RELEASED, crashes=0)
        if how == "by force" and job.row.cancel_requested_at:
            return replace(settlement, move=Move.CANCELLED, crashes=0)
        spent = job.failures + job.crashes + 1
        if job.crashes + 1 >= 3 or spent >= job.row.max_attempts:
            return replace(settlement, move=Move.DIED)
        return settlement

    @rule()
    def look_after_strays(self) -> None:
        """Jobs of a task that nobody knows leave the line, and die when that lasts."""
        keeper = self._free([self.world.keeper])
        if keeper is None:
            return
        strays_ = [job for job in self.model.jobs.values() if job.task == TOMORROW]

        def finish(answer: Answer, span: Span) -> tuple[list[Effect], set[object]]:
            held = self._held() | (self.waiting.targets if self.waiting else set())
            self.model.follow([job.id for job in strays_], Move.PARKED, tables.read())
            assert not [job for job in strays_ if job.in_line and job.id not in held]
            late = [
                job for job in strays_ if job.parked and job.row.scheduled_at < span[0] - HOUR / 2
            ]
            surely, at_all = self._claimable(late, span)
            assert len(surely) <= answer.value <= len(at_all)
            dead = at_all if answer.value == len(at_all) else surely
            return [partial(self._buried, self.model.jobs[id_]) for id_ in dead], set(dead)

        targets = [job.id for job in strays_]
        self.perform(keeper, strays.look_after, finish, targets=targets)

    def _buried(self, job: ModelJob) -> None:
        job.move(Move.CLAIMED, State.RUNNING)
        job.claims += 1
        job.parked, job.gate = False, ""
        job.lease = lease = uuid4()
        self.model.settle(Settlement(id=job.id, lease=lease, move=Move.DIED, failures=1))

    # --- operators -------------------------------------------------------------------------------

    @precondition(lambda self: self.model.jobs)
    @rule(pick=PICK, stays_open=STAYS_OPEN)
    def cancel(self, pick: int, stays_open: bool) -> None:
        job = self._some((job for job in self.model.jobs.values() if job.state in UNFINISHED), pick)
        operator = self._free([self.world.operator])
        if operator is None or job is None:
            return

        def finish(answer: Answer, _: Span) -> tuple[list[Effect], set[object]]:
            if self._is_refused(answer, job.state in FINAL):
                return [], set()
            if job.state == State.RUNNING:
                return [partial(_wish, job)], {job.id}
            return [partial(self.model.leave, job.id, Move.CANCELLED)], {job.id}

        call = partial(operations.cancel, job.id, actor=OPERATOR)
        self.perform(operator, call, finish, stays_open=stays_open, targets=[job.id])

    @precondition(lambda self: self.model.jobs)
    @rule(pick=PICK, stays_open=STAYS_OPEN)
    def hasten(self, pick: int, stays_open: bool) -> None:
        later = (job for job in self.model.jobs.values() if job.state == State.SCHEDULED)
        job = self._some(later, pick)
        operator = self._free([self.world.operator])
        if operator is None or job is None:
            return

        def finish(answer: Answer, _: Span) -> tuple[list[Effect], set[object]]:
            if self._is_refused(answer, job.state != State.SCHEDULED):
                return [], set()
            self.model.turns.upset(job.cls)
            return [
                partial(self.model.turns.upset, job.cls),
                partial(job.move, Move.HASTENED, State.AVAILABLE),
            ], {job.id}

        call = partial(operations.hasten, job.id, actor=OPERATOR)
        self.perform(operator, call, finish, stays_open=stays_open, targets=[job.id])

    @staticmethod
    def _is_refused(answer: Answer, expected: bool) -> bool:
        if not isinstance(answer.error, NotPossible):
            assert answer.value is not None or not expected, "it was possible after all"
            return False
        assert expected, answer.error
        return True

    @rule(queue=st.sampled_from(QUEUES), stays_open=STAYS_OPEN)
    def pause_or_resume(self, queue: str, stays_open: bool) -> None:
        operator = self._free([self.world.operator])
        if operator is None:
            return
        pauses = queue not in self.model.paused
        act = operations.pause_queue if pauses else operations.resume_queue
        change = self.model.paused.add if pauses else self.model.paused.discard

        def finish(answer: Answer, _: Span) -> tuple[list[Effect], set[object]]:
            assert answer.value is None
            return [partial(change, queue)], set()

        self.perform(operator, partial(act, queue, actor=OPERATOR), finish, stays_open=stays_open)

    @rule(pick=PICK, replays=st.sampled_from([True, True, False]), stays_open=STAYS_OPEN)
    def decide(self, pick: int, replays: bool, stays_open: bool) -> None:
        """Replay or discard a dead letter."""
        job = self._some((job for job in self.model.jobs.values() if self._is_pending(job)), pick)
        operator = self._free([self.world.operator])
        if operator is None or job is None or job.task == TOMORROW:
            return
        self._set_breaker()

        def finish(answer: Answer, _: Span) -> tuple[list[Effect], set[object]]:
            if self._is_refused(answer, not self._is_pending(job)):
                return [], set()
            effects: list[Effect] = [
                partial(self._decided, job, "replayed" if replays else "discarded")
            ]
            if replays:
                new: Job = answer.value
                again = ModelJob(
                    new.id, job.task, job.queue, job.tenant, job.priority, State(new.state)
                )
                again.follows = job.follows
                effects += [
                    partial(self.model.add, again),
                    partial(self.model.turns.upset, job.cls),
                ]
            return effects, set()

        act = operations.replay if replays else operations.discard
        self.perform(operator, partial(act, job.id, actor=OPERATOR), finish, stays_open=stays_open)

    @staticmethod
    def _is_pending(job: ModelJob) -> bool:
        return job.state == State.DEAD and not job.decision

    @staticmethod
    def _decided(job: ModelJob, decision: str) -> None:
        job.decision = decision
        job.told.append(f"letter.{decision}")

    @precondition(lambda self: self.waiting is None)
    @rule(name=st.sampled_from(sorted(LIMITS)), value=st.sampled_from([0, 1, 3, None]))
    def set_limit(self, name: str, value: int | None) -> None:
        operator = self._free([self.world.operator])
        if operator is None:
            return

        def finish(answer: Answer, _: Span) -> tuple[list[Effect], set[object]]:
            assert answer.value is None
            return [partial(self.model.limits.__setitem__, name, value)], set()

        self.perform(operator, partial(operations.set_limit, name, value, actor=OPERATOR), finish)

    # --- the world -------------------------------------------------------------------------------

    @rule(hours=st.sampled_from([1, 2, 4, 16]))
    def time_passes(self, hours: int) -> None:
        """Everybody comes to the end of what he is about, and time passes."""
        self._let_everybody_end()
        tables.let_time_pass(hours * HOUR)
        alive = [id_ for id_ in self.worker_ids.values() if id_ not in self.model.silent]
        Worker.objects.filter(id__in=alive).update(heartbeat_at=F("heartbeat_at") + hours * HOUR)
        self.model.let_time_pass(hours * HOUR)

    def _let_everybody_end(self) -> None:
        while self.open:
            busy = self.waiting.session if self.waiting else None
            for session in [one for one in self.open if one is not busy]:
                if session in self.open:
                    self._end(session, commit=True)
        assert self.waiting is None

    @rule()
    def redis_goes_or_comes_back(self) -> None:
        self.broker_is_up = not self.broker_is_up

    @precondition(lambda self: self.model.jobs)
    @rule(picks=st.lists(PICK, min_size=1, max_size=3, unique=True))
    def redis_refuses(self, picks: list[int]) -> None:
        """It did not take messages."""
        client = self._free(self.world.clients)
        rung = [job for job in self.model.jobs.values() if job.state == State.QUEUED]
        if client is None or not rung:
            return
        jobs = list({id(one): one for one in (rung[-1 - n % len(rung)] for n in picks)}.values())

        def finish(answer: Answer, _: Span) -> tuple[list[Effect], set[object]]:
            still = [job for job in jobs if job.state == State.QUEUED]
            assert answer.value == len(still)
            for job in still:
                self.model.turns.upset(job.cls)
            return [partial(job.move, Move.UNPUBLISHED, State.AVAILABLE) for job in still], {
                job.id for job in still
            }

        ids = [job.id for job in jobs]
        self.perform(client, partial(transitions.unpublish, ids), finish, targets=ids)

    # --- the end ---------------------------------------------------------------------------------

    def teardown(self) -> None:
        failed = sys.exc_info()[1] is not self._around
        try:
            if not failed:
                self._let_everybody_end()
                self.everything_is_as_it_must_be()
                self._let_go()
        finally:
            for session in self.world.sessions:
                if session in self.open or (self.waiting and self.waiting.session is session):
                    session.kill()
            breaker.reset()

    def _let_go(self) -> None:
        """Nobody holds anything up any more: every job must come to its end by itself."""
        ended = {id_: job.state for id_, job in self.model.jobs.items() if job.state in FINAL}
        Worker.objects.update(heartbeat_at=F("heartbeat_at") - 24 * HOUR)
        for queue in self.model.paused:
            operations.resume_queue(queue, actor=OPERATOR)
        LimitOverride.objects.filter(value=0).update(value=1)
        gates.overrides.forget()
        breaker.reset()
        for _ in range(30):
            seen = tables.read()
            invariants.check(seen)
            for id_, job in self.model.jobs.items():
                assert seen.told[id_][: len(job.told)] == job.told, "the past has changed"
                assert seen.jobs[id_].state == ended.get(id_, seen.jobs[id_].state)
            if all(row.state in FINAL for row in seen.jobs.values()):
                return
            lifeline.take_back_forsaken()
            Stager().run_once()
            for queue in QUEUES:
                list(executor.take_turn(queue, worker=None, seconds=60))
            strays.look_after()
            tables.let_time_pass(24 * HOUR)
        stuck = [(row, seen.told[row.id]) for row in seen.jobs.values() if row.state not in FINAL]
        pytest.fail(f"these never end: {stuck}")


def _told(options: Options) -> dict[str, Any]:
    names = ("queue", "priority", "tenant", "delay", "follows", "expires")
    return {name: getattr(options, name) for name in names}


def _wish(job: ModelJob) -> None:
    job.unwanted = True
    job.told.append("cancel_requested")


def _settlement(claimed: Claimed, ending: str) -> Settlement:
    """Return how the attempt ends, as the executor would."""
    settlement = Settlement(id=claimed.id, lease=claimed.lease, move=Move.SUCCEEDED)
    error = ENDINGS[ending]
    if error is not None:
        settlement = settlement_of(claimed, error, get_queue(claimed.queue).backoff)
    elif ending == "is given back":
        return replace(settlement, move=Move.RELEASED)
    return replace(settlement, began=0.0, ended=0.001)


@pytest.fixture
def world(live: Live, conf: Callable[..., None]) -> Iterator[World]:
    """The processes, with settings whose times pass by the hour."""
    conf(
        AGEING=AGEING,
        BACKOFF_SCALE=5_000,
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
@pytest.mark.timeout(3_600)
def test_whatever_happens_in_whatever_order_the_engine_keeps_its_promises(world: World) -> None:
    Engine.world = world
    run_state_machine_as_test(Engine, settings=PROFILE)
