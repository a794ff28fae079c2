"""Who claims and settles, in its turn or too late, and may vanish in the middle of it."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from uuid import UUID

from django.db.models import F
from hypothesis import strategies as st

from jobs import executor, gates, transitions
from jobs.errors import Cancelled, Discard, PermanentError, RetryLater
from jobs.models import Worker
from jobs.queues import get_queue
from jobs.records import Claimed, Line, Settlement
from jobs.retry import settlement_of
from jobs.states import WAITING, Move, State
from jobs.task import registry
from tests.jobs.properties.limits import Limited
from tests.jobs.properties.machine import OFTEN, PICK, RARELY, SOMETIMES, Did, step
from tests.jobs.properties.model import HOUR, ModelJob, Span
from tests.jobs.properties.sessions import Answer
from tests.jobs.properties.wishes import NARROW, QUEUES

ENDINGS: dict[str, Exception | None] = {
    "succeeds": None,
    "fails": ValueError("it broke"),
    "dies": PermanentError("no use"),
    "snoozes": RetryLater(after=2 * HOUR),
    "is discarded": Discard("not worth it"),
    "is cancelled": Cancelled("a person wanted that"),
    "is given back": None,
}

ENDS = st.lists(
    st.tuples(PICK, st.sampled_from(["succeeds", "succeeds", "fails", *ENDINGS])),
    min_size=1,
    max_size=3,
)


class Workers(Limited):
    """Three workers."""

    @step(
        16,
        lambda machine: bool(machine.free_workers),
        pick=PICK,
        queue=st.sampled_from(["busiest", "busiest", *QUEUES]),
        limit=st.sampled_from([1, 2, 3, 5]),
        forgets=RARELY,
        hesitates=SOMETIMES,
        stays_open=SOMETIMES,
    )
    def claim_next(
        self, pick: int, queue: str, limit: int, forgets: bool, hesitates: bool, stays_open: bool
    ) -> None:
        """Claim what is next; an older release does not know all tasks."""
        worker = self.some_worker(pick)
        lane = self._busiest() if queue == "busiest" else queue
        known = sorted(set(registry()) - ({NARROW} if forgets else set()))
        worker_id = self.worker_ids[worker]

        def finish(answer: Answer, span: Span) -> Did:
            line: Line = answer.value
            self._check_line(lane, limit, known, line, span)
            self.told[worker] = line.gated
            self.claims += line.claimed
            got = [job.id for job in line.claimed] + [job.id for job in line.gated]
            return Did(self.claimed(line.claimed, worker_id, None), got)

        call = partial(transitions.claim_next, lane, limit, worker=worker_id, tasks=known)
        self.perform(worker, call, finish, stays_open=stays_open, may_wait=False)
        if self.told.get(worker) and not hesitates:
            if self.has_open(worker):
                self.end(worker, commit=True)
            self.pass_gates_of(worker, stays_open=stays_open)

    def _busiest(self) -> str:
        return max(QUEUES, key=lambda queue: len(self.model.line(queue)))

    def _check_line(
        self, queue: str, limit: int, known: Sequence[str], line: Line, span: Span
    ) -> None:
        model = self.model
        got = [job.id for job in line.claimed] + [job.id for job in line.gated]
        standing = [job for job in model.line(queue) if job.task in known]
        surely, perhaps = self.claimable(standing, span)
        assert set(got) <= perhaps, f"{set(got) - perhaps} were not to be had"
        assert len(set(got)) == len(got) <= limit
        limited = {id_ for id_ in got if model.jobs[id_].row.gates}
        assert {job.id for job in line.gated} == limited, "limits were not asked"
        left = surely - set(got)
        if left:
            assert len(got) == limit, f"{left} were left in line"
            assert line.more, "more is due, and that was not told"
            before = model.goes_before(queue, span[1])
            passed = [(one, other) for one in left for other in got if before(one, other)]
            assert not passed, f"of these pairs the second was claimed: {passed}"
        self._take_turns(queue, [job.id for job in line.claimed], left)

    def _take_turns(self, queue: str, got: Sequence[UUID], left: set[UUID]) -> None:
        model, waiting = self.model, {*got, *left}
        for job in model.line(queue):
            if job.row.gates or job.id not in waiting:
                model.turns.upset(job.place)  # its turn is not to be had here
        for id_ in got:
            waiting.remove(id_)
            job = model.jobs[id_]
            others = [model.jobs[other] for other in waiting]
            tenants = [other.tenant for other in others if other.place == job.place]
            model.turns.take(job.place, job.tenant, tenants)

    @step(
        2,
        lambda machine: bool(machine.unlimited and machine.free_workers) * (1 + bool(machine.held)),
        pick=PICK,
        picks=st.lists(PICK, min_size=1, max_size=3),
        stays_open=SOMETIMES,
    )
    def claim_by_id(self, pick: int, picks: list[int], stays_open: bool) -> None:
        """Claim as a command does. Limits are not asked, so no jobs with limits."""
        worker = self.some_worker(pick)
        jobs = self.newest(self.unlimited, picks)

        def finish(answer: Answer, span: Span) -> Did:
            got = {job.id for job in answer.value}
            surely, perhaps = self.claimable(jobs, span)
            assert surely <= got <= perhaps, f"{got} were claimed, of {perhaps}"
            for job in jobs:
                self.model.turns.upset(job.place)
            self.claims += answer.value
            return Did(self.claimed(answer.value, self.worker_ids[worker], None), got)

        ids = [job.id for job in jobs]
        call = partial(transitions.claim, ids, worker=self.worker_ids[worker])
        self.perform(worker, call, finish, stays_open=stays_open, may_wait=False)

    @step(1, lambda machine: bool(machine.claims and machine.free_workers), pick=PICK)
    def find_again(self, pick: int) -> None:
        """Ask for the jobs of a claim whose answer was lost, perhaps long ago."""
        (claimed,) = self.newest(self.claims, [pick])
        lease, worker_id = claimed.lease, self.model.jobs[claimed.id].worker

        def finish(answer: Answer, _: Span) -> Did:
            found = {job.id for job in answer.value}
            running = self.jobs_in(State.RUNNING)
            assert found == {
                job.id for job in running if job.lease == lease and job.worker == worker_id
            }
            return Did()

        call = partial(transitions.claimed_with, lease, worker=worker_id)
        self.perform(self.some_worker(pick), call, finish, may_wait=False)

    @property
    def unlimited(self) -> list[ModelJob]:
        """The jobs without limits: those that wait, or all; rather what somebody holds."""
        jobs = [job for job in self.model.jobs.values() if not job.row.gates]
        jobs.sort(key=lambda job: job.id in self.held)
        return [job for job in jobs if job.state in WAITING] or jobs

    @step(
        14,
        lambda machine: bool(machine.running_claims and machine.free_workers),
        pick=PICK,
        ends=ENDS,
        stays_open=OFTEN,
    )
    def settle(self, pick: int, ends: list[tuple[int, str]], stays_open: bool) -> None:
        """End attempts; rather those that somebody is about."""
        claims = sorted(self.running_claims, key=lambda claim: claim.id in self.held)
        self._settle(claims, pick, ends, stays_open=stays_open)

    @step(
        2,
        lambda machine: bool(machine.lost_claims and machine.free_workers) * machine.heirs,
        pick=PICK,
        ends=ENDS,
        stays_open=SOMETIMES,
    )
    def settle_too_late(self, pick: int, ends: list[tuple[int, str]], stays_open: bool) -> None:
        """End attempts that were taken back, or that ended already; rather where another runs."""
        running = {claim.id for claim in self.running_claims}
        claims = sorted(self.lost_claims, key=lambda claim: claim.id in running)
        self._settle(claims, pick, ends, stays_open=stays_open)

    @property
    def running_claims(self) -> list[Claimed]:
        """The claims that hold."""
        return [claim for claim in self.claims if self._is_running(claim)]

    @property
    def lost_claims(self) -> list[Claimed]:
        """The claims that do not hold any more, or never did."""
        return [claim for claim in self.claims if not self._is_running(claim)]

    @property
    def heirs(self) -> int:
        """How much there is for a zombie to spoil."""
        running = {claim.id for claim in self.running_claims}
        return 1 + 4 * any(claim.id in running for claim in self.lost_claims)

    def _settle(
        self, claims: list[Claimed], pick: int, ends: list[tuple[int, str]], *, stays_open: bool
    ) -> None:
        worker = self.some_worker(pick)
        chosen = self.newest(claims, [which for which, _ in ends])
        done = [
            (claimed, _settlement(claimed, ending))
            for claimed, (_, ending) in zip(chosen, ends, strict=False)
        ]

        def finish(answer: Answer, _: Span) -> Did:
            counting = [one for claimed, one in done if self._is_running(claimed)]
            settled = {one.id for one in counting}
            assert answer.value == settled, f"{answer.value} were settled, and not {settled}"
            self.happened["zombie"] += len(done) - len(counting)
            return Did([partial(self.model.settle, one) for one in counting], settled)

        ids = [claimed.id for claimed in chosen]
        call = partial(executor._written, done)
        self.perform(worker, call, finish, stays_open=stays_open, targets=ids)
        shut = gates.concurrency_gates(chosen)
        if shut and self.is_free(worker):
            self.let_through_by(worker, shut)

    def _is_running(self, claimed: Claimed) -> bool:
        job = self.model.jobs.get(claimed.id)
        return job is not None and job.lease == claimed.lease

    @step(
        8,
        lambda machine: bool(machine.can_end),
        pick=PICK,
        commit=st.sampled_from([True, True, False]),
    )
    def end_a_transaction(self, pick: int, commit: bool) -> None:
        """Commit, or roll back, what somebody has done."""
        sessions = self.can_end
        self.end(sessions[pick % len(sessions)], commit=commit)

    @step(2, pick=PICK, fate=st.sampled_from(["is killed", "is killed", "seems dead", "stops"]))
    def lose_a_worker(self, pick: int, fate: str) -> None:
        """A worker vanishes with its leases; or its heartbeat does, and it goes on as a zombie."""
        worker = self.world.workers[pick % 3]
        if fate == "is killed":
            self.kill(worker)
        elif not self.is_free(worker):
            return
        row = Worker.objects.filter(id=self.worker_ids[worker])
        if fate == "stops":
            row.update(stopped_at=F("heartbeat_at"))
        else:
            row.update(heartbeat_at=F("heartbeat_at") - 24 * HOUR)
        self.model.silent.add(self.worker_ids[worker])
        if fate != "seems dead":
            self.told.pop(worker, None)
            self.worker_ids[worker] = self.new_worker()


def _settlement(claimed: Claimed, ending: str) -> Settlement:
    """Return how the attempt ends, as the executor would."""
    settlement = Settlement(id=claimed.id, lease=claimed.lease, move=Move.SUCCEEDED)
    error = ENDINGS[ending]
    if error is not None:
        settlement = settlement_of(claimed, error, get_queue(claimed.queue).backoff)
    elif ending == "is given back":
        return replace(settlement, move=Move.RELEASED)
    return replace(settlement, began=0.0, ended=0.001)
