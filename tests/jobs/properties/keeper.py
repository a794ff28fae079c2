"""Who puts due jobs in line, takes back what was lost, and clears away what is of no use."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import uuid4

from hypothesis import strategies as st

from jobs import transitions, workflows
from jobs.conf import jobs_settings
from jobs.maintenance import enforcer, lifeline, strays
from jobs.records import Settlement
from jobs.states import WAITING, Move, State
from tests.jobs.properties import tables
from tests.jobs.properties.limits import Limited
from tests.jobs.properties.machine import PICK, SOMETIMES, Did, step
from tests.jobs.properties.model import HOUR, ModelJob, Span
from tests.jobs.properties.sessions import Answer
from tests.jobs.properties.wishes import TOMORROW


def _is_free(machine: "Keeper") -> bool:
    return machine.is_free(machine.world.keeper)


class Keeper(Limited):
    """A keeper, whose duties are done one at a time."""

    @step(
        5,
        lambda machine: (
            _is_free(machine) and bool(machine.jobs_in(State.SCHEDULED, State.AVAILABLE))
        ),
        stays_open=SOMETIMES,
    )
    def stage(self, stays_open: bool) -> None:
        """Put in line what is due, and ring for what nothing rings for."""
        rings = self.broker_is_up
        move, state = (Move.PUBLISHED, State.QUEUED) if rings else (Move.MATURED, State.AVAILABLE)

        def finish(answer: Answer, span: Span) -> Did:
            staged = {message[0] for message in answer.value}
            free = [
                job
                for job in self.model.jobs.values()
                if job.queue not in self.model.paused
                and job.id not in self.held
                and (job.state == State.SCHEDULED or (rings and self._is_unrung(job)))
            ]
            surely = {job.id for job in free if job.is_due(span[0])}.difference(self.unsure)
            assert surely <= staged <= {job.id for job in free if job.is_due(span[1])}
            jobs = [job for job in free if job.id in staged]
            for job in jobs if stays_open else ():
                self.model.turns.upset(job.place)
            return Did([partial(job.move, move, state) for job in jobs], staged)

        call = partial(transitions.stage, 500, broker_is_up=rings)
        self.perform(self.world.keeper, call, finish, stays_open=stays_open, may_wait=False)

    @staticmethod
    def _is_unrung(job: ModelJob) -> bool:
        return job.state == State.AVAILABLE and not job.parked

    @step(
        2,
        lambda machine: (
            _is_free(machine) and any(job.row.expires_at for job in machine.jobs_in(*WAITING))
        ),
        stays_open=SOMETIMES,
    )
    def expire(self, stays_open: bool) -> None:
        """Cancel what is not worth running any more."""

        def finish(answer: Answer, span: Span) -> Did:
            free = [
                job
                for job in self.model.jobs.values()
                if job.state in WAITING and job.id not in self.held
            ]
            perhaps = [job for job in free if job.is_expired(span[1])]
            surely = [
                job for job in perhaps if job.is_expired(span[0]) and job.id not in self.unsure
            ]
            assert len(surely) <= answer.value <= len(perhaps)
            late = perhaps if answer.value == len(perhaps) else surely
            effects = [partial(self.model.leave, job, Move.EXPIRED) for job in late]
            return Did(effects, [job.id for job in late])

        call = partial(workflows.expire, 500)
        self.perform(self.world.keeper, call, finish, stays_open=stays_open, may_wait=False)

    @step(
        4,
        lambda machine: (
            _is_free(machine) and not machine.anybody_waits and bool(machine.jobs_in(State.RUNNING))
        ),
        pick=PICK,
        how=st.sampled_from(["forsaken", "forsaken", "process gone", "worker stops", "by force"]),
    )
    def take_back(self, pick: int, how: str) -> None:
        """Take jobs back from workers that are gone, or from those who do not end by themselves."""
        running = self.jobs_in(State.RUNNING)
        workers = list(dict.fromkeys(job.worker for job in running if job.worker))
        if how != "by force":
            workers = [worker for worker in workers if worker in self.model.silent]
        chosen = self.newest(workers, [pick]) if workers else []
        calls: dict[str, Callable[[], int]] = {
            "forsaken": lifeline.take_back_forsaken,
            "process gone": partial(
                lifeline.take_back_from_gone_processes, chosen, lambda _: False
            ),
            "worker stops": partial(lifeline.give_back, chosen),
            "by force": partial(enforcer.end_by_force, chosen, lambda _: False),
        }
        passes_by = how in {"forsaken", "by force"}
        ends = [
            _end(job, how)
            for job in running
            if self._is_lost(job, how, chosen) and not (passes_by and job.id in self.held)
        ]

        def finish(answer: Answer, _: Span) -> Did:
            counting = [end for end in ends if self.model.jobs[end.id].lease == end.lease]
            assert answer.value == len(counting), f"{answer.value} taken back, of {counting}"
            return Did([partial(self.model.settle, end) for end in counting])

        targets = [end.id for end in ends]
        self.perform(self.world.keeper, calls[how], finish, targets=targets, may_wait=not passes_by)

    def _is_lost(self, job: ModelJob, how: str, workers: Sequence[object]) -> bool:
        row = job.row
        assert row.started_at is not None
        if how in {"process gone", "worker stops"}:
            return job.worker in workers
        overdue = row.started_at + timedelta(seconds=row.timeout) < self.now
        if how == "by force":
            asked = row.cancel_requested_at
            return job.worker in workers and (
                overdue or (asked is not None and asked < self.now - HOUR / 2)
            )
        return overdue or job.worker in self.model.silent

    @step(
        1,
        lambda machine: (
            _is_free(machine) and any(job.task == TOMORROW for job in machine.jobs_in(*WAITING))
        ),
    )
    def look_after_strays(self) -> None:
        """Jobs of a task that nobody knows leave the line, and die when that lasts."""
        unknown = [job for job in self.model.jobs.values() if job.task == TOMORROW]

        def finish(answer: Answer, span: Span) -> Did:
            self.model.follow(unknown, Move.PARKED, tables.read())
            in_line = {job.id for job in unknown if job.in_line}
            assert not in_line - self.held - self.unsure, f"{in_line} are still in line"
            long_ago = span[0] - HOUR / 2
            late = [job for job in unknown if job.parked and job.row.scheduled_at < long_ago]
            surely, perhaps = self.claimable(late, span)
            assert len(surely) <= answer.value <= len(perhaps)
            dead = perhaps if answer.value == len(perhaps) else surely
            return Did([partial(self._buried, self.model.jobs[id_]) for id_ in dead])

        targets = [job.id for job in unknown]
        self.perform(self.world.keeper, strays.look_after, finish, targets=targets)

    def _buried(self, job: ModelJob) -> None:
        job.move(Move.CLAIMED, State.RUNNING)
        job.claims += 1
        job.parked, job.gate, job.lease = False, "", uuid4()
        died = Settlement(id=job.id, lease=job.lease, move=Move.DIED, failures=1)
        self.model.settle(died)


def _end(job: ModelJob, how: str) -> Settlement:
    """Return what becomes of a job that is taken back."""
    assert job.lease is not None
    crash = Settlement(id=job.id, lease=job.lease, move=Move.CRASHED, crashes=1)
    if how == "worker stops":
        return replace(crash, move=Move.RELEASED, crashes=0)
    if how == "by force" and job.unwanted:
        return replace(crash, move=Move.CANCELLED, crashes=0)
    crashes, spent = job.crashes + 1, job.failures + job.crashes + 1
    if crashes >= jobs_settings().CRASH_LIMIT or spent >= job.row.max_attempts:
        return replace(crash, move=Move.DIED)
    return crash
