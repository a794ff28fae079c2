"""Who enqueues, and the broker that may fail it."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from uuid import UUID

from hypothesis import strategies as st

from jobs import payload, transitions
from jobs.breaker import breaker
from jobs.definition import Options
from jobs.enqueue import enqueue as enqueue_call
from jobs.enqueue import new_job
from jobs.models import Job, Priority
from jobs.states import Move, State
from tests.jobs.properties import tables
from tests.jobs.properties.machine import PICK, SOMETIMES, Did, Machine, step
from tests.jobs.properties.model import HOUR, Key, ModelJob, Span
from tests.jobs.properties.sessions import Answer, Session
from tests.jobs.properties.wishes import (
    NARROW,
    PLAIN,
    QUIET,
    RATED,
    TENANTS,
    TOMORROW,
    Wish,
    wishes,
)


class Clients(Machine):
    """Two clients; their transactions may take long, and may be rolled back."""

    @step(
        5,
        lambda machine: not all(machine.waits(one) for one in machine.world.clients),
        pick=PICK,
        jobs=wishes(1, 3),
        stays_open=SOMETIMES,
    )
    def enqueue(self, pick: int, jobs: list[Wish], stays_open: bool) -> None:
        """Enqueue jobs one by one; in the transaction that is open already, when there is one."""
        ready = [one for one in self.world.clients if not self.waits(one)]
        client = self.newest(ready, [pick])[0]
        for job in jobs:
            if not self.waits(client):
                self.enqueue_one(client, job, stays_open=stays_open)

    @step(
        5,
        lambda machine: 2 * bool(machine.keys_on_their_way and machine.free_clients),
        pick=PICK,
        stays_open=SOMETIMES,
    )
    def enqueue_twin(self, pick: int, stays_open: bool) -> None:
        """Enqueue a job that another transaction has enqueued, and not committed yet."""
        task, tenant, key = self.newest(self.keys_on_their_way, [pick])[0]
        wish = Wish(task, "", tenant, Priority.NORMAL, 0, 0, key, 0, fails=False)
        self.enqueue_one(self.free_clients[0], wish, stays_open=stays_open)

    @property
    def keys_on_their_way(self) -> list[Key]:
        """The keys of unique jobs that were enqueued and not committed."""
        return [held[0] for held in self.held if isinstance(held, tuple) and held[0]]

    @property
    def free_clients(self) -> list[Session]:
        """The clients that can begin something."""
        return [client for client in self.world.clients if self.is_free(client)]

    def enqueue_one(self, client: Session, wish: Wish, *, stays_open: bool = False) -> None:
        """Enqueue a job."""
        self.set_breaker()

        def finish(answer: Answer, span: Span) -> Did:
            found: Job = answer.value
            if wish.unique and self._is_twin(client, wish, found, span):
                return Did()
            state = State(found.state)
            assert state in self._beginnings(wish)
            job = ModelJob(found.id, wish.task, found.queue, wish.tenant, wish.priority, state)
            job.follows = 0 if wish.task == TOMORROW else wish.follows
            job.key = wish.unique[0] if wish.unique else None
            if not self.has_open(client):
                return Did([partial(self.model.add, job)])
            # Others came in between, and were seated without knowing of it.
            upset = partial(self.model.turns.upset, job.place)
            return Did([partial(self.model.add, job), upset], held=[(job.key, job.id)])

        self.perform(client, partial(self._enqueued, wish), finish, stays_open=stays_open)

    def _enqueued(self, wish: Wish) -> Job:
        plain = self.world.tasks[PLAIN]
        task = self.world.tasks.get(wish.task, plain)
        options = Options(
            queue=wish.queue if task is plain else None,
            priority=wish.priority,
            tenant=wish.tenant,
            delay=wish.delay * HOUR,
            expires=wish.expires * HOUR if wish.expires else None,
            follows=[] if wish.task == TOMORROW else [plain.step()] * wish.follows,
        )
        if wish.task != TOMORROW:
            return enqueue_call(task, {"key": wish.key, "fails": wish.fails}, options)
        checked = payload.check(task.definition.arguments, wish.task, {"key": wish.key})
        new = replace(new_job(task, payload.seal(wish.task, checked), options), task=wish.task)
        (row,) = transitions.insert([new], broker_is_up=self.broker_is_up)
        return Job(id=row.id, state=row.state, queue=new.queue)

    def _is_twin(self, client: Session, wish: Wish, found: Job, span: Span) -> bool:
        """Say whether a job was there already; fail when that is not so, or not told."""
        assert wish.unique is not None
        key, period = wish.unique
        twins = self.model.twins(key, period, span[1])
        twins |= {
            made[1] for made in self.held_by(client) if isinstance(made, tuple) and made[0] == key
        }
        assert found.is_twin == bool(twins), f"{wish}: it got {found.id}, and there are {twins}"
        assert not found.is_twin or found.id in twins
        self.happened["twin"] += found.is_twin
        return found.is_twin

    def _beginnings(self, wish: Wish) -> set[State]:
        if wish.delay:
            return {State.SCHEDULED}
        # Redis may be too slow.
        return {State.AVAILABLE, State.QUEUED} if self.broker_is_up else {State.AVAILABLE}

    @step(
        5,
        lambda machine: bool(machine.free_clients),
        pick=PICK,
        task=st.sampled_from([PLAIN, PLAIN, NARROW, RATED]),
        tenant=TENANTS,
        number=st.integers(2, 7),
        delay=st.sampled_from([0, 0, 0, 2]),
        stays_open=SOMETIMES,
    )
    def enqueue_many(
        self, pick: int, task: str, tenant: str, number: int, delay: int, stays_open: bool
    ) -> None:
        """Enqueue jobs by one call."""
        client = self.newest(self.free_clients, [pick])[0]
        self.set_breaker()
        calls = [{"key": str(place)} for place in range(number)]
        options = Options(queue=QUIET if task == PLAIN else None, tenant=tenant, delay=delay * HOUR)

        def finish(answer: Answer, _: Span) -> Did:
            return Did([partial(self._meet, answer.value, alone=not stays_open)])

        call = partial(self.world.tasks[task].enqueue_many, calls, options)
        self.perform(client, call, finish, stays_open=stays_open)

    def _meet(self, ids: Sequence[UUID], *, alone: bool) -> None:
        """Get to know jobs that were copied in."""
        seen = tables.read()
        for id_ in ids:
            row = seen.jobs[id_]
            self.model.meet(row, seen)
            if not alone:
                self.model.turns.upset((row.queue, row.priority))

    def set_breaker(self) -> None:
        """Have it as the broker is."""
        if self.broker_is_up:
            breaker.reset()
        else:
            breaker.trip()

    @step(1)
    def redis_goes_or_comes_back(self) -> None:
        """From now on jobs are enqueued without a message, or with one again."""
        self.broker_is_up = not self.broker_is_up

    @step(
        1,
        lambda machine: bool(machine.rung and machine.free_clients),
        picks=st.lists(PICK, min_size=1, max_size=3),
    )
    def redis_refuses(self, picks: list[int]) -> None:
        """Redis did not take messages."""
        jobs = self.newest(self.rung, picks)

        def finish(answer: Answer, _: Span) -> Did:
            still = [job for job in jobs if job.state == State.QUEUED]
            assert answer.value == len(still)
            return Did([partial(job.move, Move.UNPUBLISHED, State.AVAILABLE) for job in still])

        ids = [job.id for job in jobs]
        call = partial(transitions.unpublish, ids)
        self.perform(self.free_clients[0], call, finish, targets=ids)

    @property
    def rung(self) -> list[ModelJob]:
        """The jobs that have messages."""
        return [job for job in self.model.jobs.values() if job.state == State.QUEUED]
