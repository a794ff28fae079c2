"""Several processes, each a step at a time: what they do, hold, and wait for.

A step has a process make one call of the engine. The call may wait for a lock, and the transaction
stay open, while others take their steps. What comes of a call is told to the model when it has
happened for everybody: at its end, or at the commit.
"""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, TypeVar
from uuid import UUID, uuid4

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from jobs import gates
from jobs.breaker import breaker
from jobs.models import Worker
from jobs.records import Claimed, Waiting
from jobs.states import State
from jobs.task import registry
from tests.jobs.properties import tables
from tests.jobs.properties.model import Model, ModelJob, Span
from tests.jobs.properties.sessions import Answer, Session
from tests.jobs.properties.wishes import AnyTask, declare_tasks

T = TypeVar("T")
Method = TypeVar("Method", bound=Callable[..., None])
Effect = Callable[[], object]

OPERATOR = "user:ann"
#: Which of several, counted from the newest.
PICK = st.integers(0, 3)
#: Whether a transaction stays open after its step, and the like.
OFTEN = st.sampled_from([False, True])
SOMETIMES = st.sampled_from([False, False, False, True])
RARELY = st.sampled_from([False] * 7 + [True])


@dataclass(frozen=True)
class Did:
    """What came of a call."""

    #: What it changed, for the model.
    effects: Sequence[Effect] = ()
    #: The jobs, and whatever else, that it holds until its transaction ends; and perhaps these.
    held: Collection[object] = ()
    unsure: Collection[object] = ()


#: Checks the answer of a call, made in this span of time.
Finish = Callable[[Answer, Span], Did]


@dataclass
class _Call:
    """A call that waits. It may hold its targets."""

    session: Session
    began: datetime
    finish: Finish
    targets: set[object]


@dataclass
class _Open:
    """What a process did in its open transaction."""

    effects: list[Effect] = field(default_factory=list)
    held: set[object] = field(default_factory=set)
    unsure: set[object] = field(default_factory=set)


@dataclass(frozen=True)
class Step:
    """Something that can happen, and of what its arguments are made."""

    weight: int
    #: Whether it can happen now, or how much more often than otherwise.
    when: Callable[[Any], int]
    arguments: st.SearchStrategy[dict[str, Any]]


STEPS: dict[str, Step] = {}


def step(
    weight: int,
    when: Callable[[Any], int] = lambda _: True,
    **arguments: st.SearchStrategy[Any],
) -> Callable[[Method], Method]:
    """Declare a method as a step, with what its arguments are made of."""

    def declare(method: Method) -> Method:
        STEPS[method.__name__] = Step(weight, when, st.fixed_dictionaries(arguments))
        return method

    return declare


class World:
    """The processes of all examples, and their tasks."""

    def __init__(self) -> None:
        self.tasks: dict[str, AnyTask] = declare_tasks()
        self.clients = [Session("client 1"), Session("client 2")]
        self.workers = [Session("worker 1"), Session("worker 2"), Session("worker 3")]
        self.keeper, self.operator = Session("keeper"), Session("operator")
        self.sessions = [*self.clients, *self.workers, self.keeper, self.operator]
        #: What happened in all examples.
        self.happened: Counter[str] = Counter()


class Machine(RuleBasedStateMachine):
    """An example: an empty database, and what is known of it."""

    world: ClassVar[World]

    def __init__(self) -> None:
        super().__init__()
        tables.empty()
        gates.overrides.forget()
        breaker.reset()
        self.model = Model()
        self.now = tables.clock()
        self.happened = self.world.happened
        self._open: dict[Session, _Open] = {}
        #: At most one process waits.
        self._waiting: _Call | None = None
        #: All that was ever claimed.
        self.claims: list[Claimed] = []
        #: Jobs with limits that a worker was told of, and has not claimed yet.
        self.told: dict[Session, list[Waiting]] = {}
        self.broker_is_up = True
        self.worker_ids = {session: self.new_worker() for session in self.world.workers}

    @staticmethod
    def new_worker() -> UUID:
        """Insert the row of a worker that begins."""
        id_ = uuid4()
        Worker.objects.create(
            id=id_, host="here", pid=os.getpid(), pool="threads", concurrency=1,
            tasks=sorted(registry()),
        )  # fmt: skip
        return id_

    # --- who, and which --------------------------------------------------------------------------

    def is_free(self, session: Session) -> bool:
        """Say whether the process neither waits nor has a transaction open."""
        return session not in self._open and not self.waits(session)

    def waits(self, session: Session) -> bool:
        """Say whether the process waits for a lock."""
        return self._waiting is not None and self._waiting.session is session

    @property
    def anybody_waits(self) -> bool:
        """Say whether a process waits for a lock."""
        return self._waiting is not None

    def has_open(self, session: Session) -> bool:
        """Say whether the process has a transaction open."""
        return session in self._open

    @property
    def can_end(self) -> list[Session]:
        """The processes that can end their transactions."""
        return [session for session in self._open if not self.waits(session)]

    def some_worker(self, pick: int) -> Session:
        """Return a free worker."""
        return _pick(self.free_workers, pick)

    @property
    def free_workers(self) -> list[Session]:
        """The workers that can begin something."""
        return [worker for worker in self.world.workers if self.is_free(worker)]

    def newest(self, items: Iterable[T], picks: Iterable[int]) -> list[T]:
        """Return some of these, each once; the smaller the picks, the newer."""
        chosen = list(items)
        return [chosen[-1 - n] for n in dict.fromkeys(pick % len(chosen) for pick in picks)]

    def likely(self, liked: Iterable[ModelJob], pick: int) -> ModelJob:
        """Return one of these jobs, those that others are about first; or another now and then."""
        wanted = sorted(liked, key=lambda job: (job.id in self.held, job.state == State.RUNNING))
        others = [job for job in self.model.jobs.values() if job not in wanted]
        return _pick([*wanted[::-1], *others[-1:]], pick)

    def jobs_in(self, *states: State) -> list[ModelJob]:
        """Return the jobs in these states."""
        return [job for job in self.model.jobs.values() if job.state in states]

    @property
    def held(self) -> set[object]:
        """What open transactions surely hold."""
        return {held for one in self._open.values() for held in one.held}

    def held_by(self, session: Session) -> set[object]:
        """Return what the process's open transaction surely holds."""
        return self._open[session].held if session in self._open else set()

    @property
    def unsure(self) -> set[object]:
        """What open transactions, and a call that waits, hold perhaps."""
        unsure = {held for one in self._open.values() for held in one.unsure}
        return unsure | (self._waiting.targets if self._waiting else set())

    def claimable(self, jobs: Iterable[ModelJob], span: Span) -> tuple[set[UUID], set[UUID]]:
        """Return those that a claim takes: surely, and perhaps."""
        return self.model.claimable(jobs, span, held=self.held, unsure=self.unsure)

    # --- a step ----------------------------------------------------------------------------------

    def perform(
        self,
        session: Session,
        call: Callable[[], Any],
        finish: Finish,
        *,
        stays_open: bool = False,
        targets: Iterable[object] = (),
        may_wait: bool = True,
    ) -> None:
        """Have the process make the call; ``finish`` is asked now, or when its wait is over."""
        if stays_open and session not in self._open:
            session.begin()
            self._open[session] = _Open()
        began = self.now
        session.start(call)
        answer = session.answer(self._backends())
        if answer is not None:
            self._finish(session, finish, answer, began)
        elif self._waiting is None:
            assert may_wait, "it waits for a lock, and should pass by what others hold"
            self.happened["waits"] += 1
            self._waiting = _Call(session, began, finish, set(targets))
        else:  # one is enough, and two may wait for each other
            self.happened["gives up"] += 1
            session.interrupt()
            if session in self._open:
                self.end(session, commit=False)

    def _backends(self) -> list[int]:
        return [session.backend for session in self.world.sessions]

    def _finish(self, session: Session, finish: Finish, answer: Answer, began: datetime) -> None:
        did = finish(answer, (began, tables.clock()))
        if session in self._open:
            self._open[session].effects += did.effects
            self._open[session].held.update(did.held)
            self._open[session].unsure.update(did.unsure)
            return
        for effect in did.effects:
            effect()
        self._go_on()

    def _go_on(self) -> None:
        """Locks were let go: who waits may go on."""
        if self._waiting is None:
            return
        answer = self._waiting.session.answer(self._backends())
        if answer is not None:
            call, self._waiting = self._waiting, None
            self._finish(call.session, call.finish, answer, call.began)

    def end(self, session: Session, *, commit: bool) -> None:
        """Commit, or roll back, what the process has done."""
        done = self._open.pop(session)
        self.happened["commits" if commit else "rolls back"] += 1
        if commit:
            session.commit()
            for effect in done.effects:
                effect()
        else:
            session.roll_back()
            self._undone(done)
        self._go_on()

    def kill(self, session: Session) -> None:
        """End the process at once, and begin another in its place."""
        session.kill()
        if self.waits(session):
            self._waiting = None
        if session in self._open:
            self.happened["killed"] += 1
            self._undone(self._open.pop(session))
        self._go_on()

    def _undone(self, done: _Open) -> None:
        for job_id in done.held | done.unsure:
            if isinstance(job_id, UUID) and job_id in self.model.jobs:
                self.model.turns.upset(self.model.jobs[job_id].place)

    def everybody_ends(self) -> None:
        """Everybody comes to the end of what it is about."""
        while self._open:
            for session in self.can_end:
                if session in self._open:
                    self.end(session, commit=True)
        assert self._waiting is None


def _pick(items: Sequence[T], pick: int) -> T:
    return items[pick % len(items)]
