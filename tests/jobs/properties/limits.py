"""Who passes a gate, who waits at one, and who is let through."""

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from uuid import UUID

from jobs import gates
from jobs.records import Claimed
from jobs.states import Move
from tests.jobs.properties import tables
from tests.jobs.properties.machine import OFTEN, PICK, SOMETIMES, Did, Effect, Machine, step
from tests.jobs.properties.model import ModelJob, Span
from tests.jobs.properties.sessions import Answer, Session

#: Held by who lets jobs through: nobody else does meanwhile.
_LETTING = "letting through"


class Limited(Machine):
    """What workers and the keeper do about limits."""

    def claimed(
        self, jobs: Iterable[Claimed], worker: UUID | None, passed_at: datetime | None
    ) -> list[Effect]:
        """Return what a claim changes."""
        return [partial(self.model.claim, job, worker, passed_at) for job in jobs]

    @step(5, lambda machine: bool(machine.hesitating), pick=PICK, stays_open=OFTEN)
    def pass_gates(self, pick: int, stays_open: bool) -> None:
        """Claim jobs with limits that a worker was told of some time ago."""
        self.pass_gates_of(self.newest(self.hesitating, [pick])[0], stays_open=stays_open)

    @property
    def hesitating(self) -> list[Session]:
        """Workers that were told of jobs with limits, and have not claimed them."""
        return [worker for worker in self.told if self.told[worker] and self.is_free(worker)]

    def pass_gates_of(self, worker: Session, *, stays_open: bool) -> None:
        """Claim the jobs with limits that the worker was told of; park those that must wait."""
        waiting = self.told.pop(worker)
        worker_id = self.worker_ids[worker]
        asked = [self.model.jobs[job.id] for job in waiting]
        waited = False

        def finish(answer: Answer, span: Span) -> Did:
            got = {job.id for job in answer.value}
            surely, perhaps = self.claimable(asked, span)
            assert got <= perhaps, f"{got - perhaps} were not to be had"
            self.model.check_limits(answer.value, span[1])
            passing, stopped = self.model.decide(waiting, span[1])
            self.claims += answer.value
            mine = self.held_by(worker)
            free = {job.id for job in asked if job.in_line and job.id not in self.held - mine}
            if waited:  # others did something between its decision and now
                stopped = dict.fromkeys(free - got, "")
                parks = partial(self._follow_parked, asked, {}, set())
            else:
                assert passing & surely <= got <= passing, f"{got} passed, and not {passing}"
                must = free.intersection(stopped).difference(self.unsure)
                parks = partial(self._follow_parked, asked, stopped, must)
            effects: list[Effect] = [parks, *self.claimed(answer.value, worker_id, span[1])]
            return Did(effects, got, unsure=free.intersection(stopped))

        call = partial(gates.pass_or_park, waiting, worker=worker_id)
        ids = [job.id for job in waiting]
        self.perform(worker, call, finish, stays_open=stays_open, targets=ids)
        waited = self.waits(worker)

    def _follow_parked(
        self, asked: list[ModelJob], stopped: dict[UUID, str], must: set[UUID]
    ) -> None:
        """See which were parked: all those that ``must``, and where they had to stop."""
        parked = {job.id: job.gate for job in self._follow(asked, Move.PARKED)}
        assert must <= set(parked), "not parked at a shut gate"
        if must or stopped:
            assert parked.items() <= stopped.items(), "parked at an open gate"

    def _follow(self, jobs: list[ModelJob], move: Move) -> list[ModelJob]:
        return self.model.follow(jobs, move, tables.read())

    @step(
        8,
        lambda machine: (
            machine.is_free(machine.world.keeper)
            and any(job.parked for job in machine.model.jobs.values())
        ),
        stays_open=SOMETIMES,
    )
    def let_through(self, stays_open: bool) -> None:
        """Put jobs back in line whose gates have room."""
        self.let_through_by(self.world.keeper, None, stays_open=stays_open)

    def let_through_by(
        self, session: Session, shut: list[str] | None, *, stays_open: bool = False
    ) -> None:
        """Let jobs through these gates, or all."""

        def finish(answer: Answer, span: Span) -> Did:
            if _LETTING in self.held:
                assert answer.value == 0
                return Did()
            parked: dict[str, list[ModelJob]] = {}
            for job in self.model.jobs.values():
                if job.parked and job.gate in job.row.gates and (not shut or job.gate in shut):
                    parked.setdefault(job.gate, []).append(job)
            least, most = self._let_in(parked, span)
            assert least <= answer.value <= most, f"{answer.value} let through, of {parked}"
            ids = {job.id for jobs in parked.values() for job in jobs} if answer.value else set()
            see = partial(self._follow_admitted, parked, answer.value, self.held | self.unsure)
            return Did([see], [_LETTING], unsure=ids)

        call = partial(gates.let_through, shut)
        self.perform(session, call, finish, stays_open=stays_open, may_wait=False)

    def _let_in(self, parked: dict[str, list[ModelJob]], span: Span) -> tuple[int, int]:
        """Return how many are let through: at least, and at most."""
        least = most = 0
        for gate, jobs in parked.items():
            on_their_way = sum(
                job.in_line and job.gate == gate and job.queue not in self.model.paused
                for job in self.model.jobs.values()
            )
            room = max(0, self.model.room(gate, span[1]) - on_their_way)
            free = [
                job.id
                for job in jobs
                if job.queue not in self.model.paused and job.id not in self.held
            ]
            least += min(room, len(set(free).difference(self.unsure)))
            most += min(room, len(free))
        return least, most

    def _follow_admitted(
        self, parked: dict[str, list[ModelJob]], number: int, held: set[object]
    ) -> None:
        """See which were let through: so many, and no better one was left."""
        paused = self.model.paused
        admitted = self._follow([job for jobs in parked.values() for job in jobs], Move.ADMITTED)
        assert len(admitted) == number
        for gate, jobs in parked.items():
            let_in = [(job.priority, job.row.seat) for job in jobs if job in admitted]
            left = [
                (job.priority, job.row.seat)
                for job in jobs
                if job not in admitted and job.id not in held and job.queue not in paused
            ]
            assert not let_in or not left or max(let_in) <= min(left), f"{jobs} at {gate}"
