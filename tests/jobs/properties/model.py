"""What must have become of every job: the engine in miniature, without SQL and without haste.

It is told what was done and what the engine answered, in the order of the commits, and says whether
that may be. It knows the table of moves, pauses, limits and turns.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from jobs.records import Claimed, Settlement, Waiting
from jobs.states import FINAL, TRANSITIONS, UNFINISHED, WAITING, Move, State
from tests.jobs.properties.tables import Row, Tables
from tests.jobs.properties.turns import Class, Turns

#: Before and after a call, by the database's clock.
Span = tuple[datetime, datetime]
#: A task, a tenant and an argument.
Key = tuple[str, str, str]

HOUR = timedelta(hours=1)
AGEING = 10 * HOUR
RATE_PERIOD = 3.5 * HOUR  # no whole number of hours is near its end
RATE = "tests.rated/rate"
#: The limits that are declared.
LIMITS = {RATE: 2, "tests.narrow/concurrency": 3, "tests.narrow/concurrency/tenant": 2}
#: Jobs that are let through at once where there is no limit.
_MANY = 1_000
_CRITICAL = 0


@dataclass(eq=False)
class ModelJob:
    """What a job must be."""

    id: UUID
    task: str
    queue: str
    tenant: str
    priority: int
    state: State
    #: Steps that follow it.
    follows: int = 0
    #: What makes it unique.
    key: Key | None = None
    told: list[str] = field(default_factory=lambda: [str(Move.ENQUEUED)])
    outcomes: list[str] = field(default_factory=list)
    failures: int = 0
    crashes: int = 0
    claims: int = 0
    lease: UUID | None = None
    worker: UUID | None = None
    parked: bool = False
    gate: str = ""
    #: A person wants it cancelled.
    unwanted: bool = False
    #: What was decided about its dead letter.
    decision: str = ""
    #: Its row as it was seen last, and how much the audit log had told then.
    seen: Row | None = None
    seen_told: int = 0

    @property
    def row(self) -> Row:
        """Its row as it was seen last."""
        assert self.seen is not None
        return self.seen

    @property
    def place(self) -> Class:
        """Where it takes turns."""
        return self.queue, self.priority

    @property
    def in_line(self) -> bool:
        """Say whether it stands in its queue's line."""
        return self.state in {State.AVAILABLE, State.QUEUED} and not self.parked

    def move(self, move: Move, state: State) -> None:
        """Change its state; fails when the table of moves does not have it."""
        starts, ends = TRANSITIONS[move]
        assert self.state in starts, f"{move} from {self.state}: {self}"
        assert state in ends, f"{move} to {state}: {self}"
        self.state = state
        self.told.append(str(move))

    def is_due(self, at: datetime) -> bool:
        """Say whether its time has come."""
        return self.row.scheduled_at <= at

    def is_expired(self, at: datetime) -> bool:
        """Say whether it is not worth running any more."""
        return self.row.expires_at is not None and self.row.expires_at <= at


class Model:
    """All jobs, and what operators set."""

    def __init__(self) -> None:
        self.jobs: dict[UUID, ModelJob] = {}
        self.paused: set[str] = set()
        self.limits: dict[str, int | None] = dict(LIMITS)
        #: When jobs passed each rate.
        self.passes: dict[str, list[datetime]] = defaultdict(list)
        #: Workers that are gone, or seem so.
        self.silent: set[UUID] = set()
        self.turns = Turns()
        #: Jobs whose success started another that is not known yet.
        self._parents: list[UUID] = []

    # --- what may be claimed ---------------------------------------------------------------------

    def line(self, queue: str) -> list[ModelJob]:
        """Return the jobs that stand in the queue's line."""
        return [job for job in self.jobs.values() if job.queue == queue and job.in_line]

    def claimable(
        self,
        jobs: Iterable[ModelJob],
        span: Span,
        *,
        held: Collection[object],
        unsure: Collection[object],
    ) -> tuple[set[UUID], set[UUID]]:
        """Return those that a claim takes: surely, and perhaps.

        Others hold the ``held``, and perhaps the ``unsure``.
        """
        before, after = span
        free = [
            job
            for job in jobs
            if job.state in WAITING and job.queue not in self.paused and job.id not in held
        ]
        perhaps = {job.id for job in free if job.is_due(after) and not job.is_expired(before)}
        surely = {job.id for job in free if job.is_due(before) and not job.is_expired(after)}
        return surely.difference(unsure), perhaps

    def goes_before(self, queue: str, now: datetime) -> Callable[[UUID, UUID], bool]:
        """Return what says whether one job of the queue's line is claimed before another."""
        line = sorted(self.line(queue), key=lambda job: (job.row.seat, job.row.scheduled_at))
        heads: dict[int, ModelJob] = {}
        for job in line:
            heads.setdefault(job.priority, job)
        classes = {
            priority: (
                priority and max(1, priority - (now - head.row.scheduled_at) // AGEING),
                head.row.scheduled_at,
            )
            for priority, head in heads.items()
        }

        def before(one: UUID, other: UUID) -> bool:
            a, b = self.jobs[one], self.jobs[other]
            if a.priority != b.priority:
                return classes[a.priority] < classes[b.priority]
            return (a.row.seat, a.row.scheduled_at) < (b.row.seat, b.row.scheduled_at)

        return before

    # --- limits ----------------------------------------------------------------------------------

    def limit_of(self, gate: str) -> int | None:
        """Return the number in force."""
        return self.limits[gate.partition("=")[0]]

    def used(self, gate: str, now: datetime) -> int:
        """Return how many jobs count at the gate: that passed in its period, or that run."""
        if gate == RATE:
            return sum(now - at <= RATE_PERIOD for at in self.passes[gate])
        running = (job for job in self.jobs.values() if job.state == State.RUNNING)
        return sum(gate in job.row.gates for job in running)

    def room(self, gate: str, now: datetime) -> int:
        """Return how many jobs the gate would let through."""
        limit = self.limit_of(gate)
        return _MANY if limit is None else limit - self.used(gate, now)

    def decide(
        self, waiting: Sequence[Waiting], now: datetime
    ) -> tuple[set[UUID], dict[UUID, str]]:
        """Return who passes all of its gates, and at which gate each of the others waits."""
        passing, stopped = set(), {}
        taken: Counter[str] = Counter()
        for job in waiting:
            hurries = job.priority == _CRITICAL
            shut = [
                gate
                for gate in job.gates
                if self.room(gate, now) <= taken[gate] and not (gate == RATE and hurries)
            ]
            if shut:
                stopped[job.id] = shut[0]
            else:
                passing.add(job.id)
                taken.update(job.gates)
        return passing, stopped

    def check_limits(self, claimed: Sequence[Claimed], now: datetime) -> None:
        """Fail when these jobs, which passed their gates, are more than the limits allow."""
        passing: dict[str, list[int]] = defaultdict(list)
        for job in claimed:
            for gate in job.gates or ():
                passing[gate].append(self.jobs[job.id].priority)
        for gate, priorities in passing.items():
            limit = self.limit_of(gate)
            if limit is None or (gate == RATE and set(priorities) == {_CRITICAL}):
                continue
            told = f"{gate}: {self.used(gate, now)}, and {len(priorities)} more, of {limit}"
            assert self.used(gate, now) + len(priorities) <= limit, told

    # --- who is there already --------------------------------------------------------------------

    def twins(self, key: Key, period: timedelta | None, now: datetime) -> set[UUID]:
        """Return the jobs of which one is there instead of another with the key."""
        return {
            job.id
            for job in self.jobs.values()
            if job.key == key
            and (
                job.state in UNFINISHED
                or (period is not None and job.row.enqueued_at > now - period)
            )
        }

    # --- what was committed ----------------------------------------------------------------------

    def add(self, job: ModelJob) -> None:
        """The job was enqueued."""
        assert job.id not in self.jobs
        self.jobs[job.id] = job

    def meet(self, row: Row, tables: Tables) -> ModelJob:
        """Get to know a job that was enqueued a moment ago."""
        refused = Move.UNPUBLISHED in tables.told[row.id]  # by Redis, after the commit
        state = State.QUEUED if refused else State(row.state)
        job = ModelJob(row.id, row.task, row.queue, row.tenant, row.priority, state)
        self.add(job)
        return job

    def claim(self, claimed: Claimed, worker: UUID | None, passed_at: datetime | None) -> None:
        """The job runs; ``passed_at`` is when it passed its gates."""
        job = self.jobs[claimed.id]
        job.move(Move.CLAIMED, State.RUNNING)
        job.claims += 1
        assert claimed.attempt == job.claims
        job.lease, job.worker, job.parked, job.gate = claimed.lease, worker, False, ""
        if passed_at is not None and RATE in job.row.gates:
            self.passes[RATE].append(passed_at)

    def settle(self, settlement: Settlement) -> None:
        """The attempt ended so."""
        job = self.jobs[settlement.id]
        assert job.lease == settlement.lease, "a zombie's settlement counted"
        move, state = settlement.move, settlement.state
        if job.unwanted and state not in FINAL:
            move, state = Move.CANCELLED, State.CANCELLED
        job.move(move, state)
        job.lease = None
        job.outcomes.append(settlement.outcome)
        job.failures += settlement.failures
        job.crashes += settlement.crashes
        if job.in_line:
            self.turns.upset(job.place)
        if state == State.SUCCEEDED and job.follows:
            self._parents.append(job.id)

    def leave(self, job: ModelJob, move: Move) -> None:
        """The job, which waited, is cancelled."""
        self.turns.upset(job.place)
        job.move(move, State.CANCELLED)
        job.parked = False

    def follow(self, jobs: Iterable[ModelJob], move: Move, tables: Tables) -> list[ModelJob]:
        """Make the move with those of the jobs of which the audit log tells it next."""
        moved = []
        for job in jobs:
            told = len(job.told)
            if tables.told[job.id][told : told + 1] != [move]:
                continue
            if move == Move.PARKED:
                job.gate = tables.gates[job.id][job.told.count(Move.PARKED)]
            job.parked = move == Move.PARKED
            job.move(move, State.AVAILABLE)
            self.turns.upset(job.place)
            moved.append(job)
        return moved

    def let_time_pass(self, time: timedelta) -> None:
        """Every instant is earlier by so much."""
        for passes in self.passes.values():
            passes[:] = [at - time for at in passes]
        for job in self.jobs.values():
            job.seen_told = -1

    # --- the comparison --------------------------------------------------------------------------

    def compare(self, tables: Tables) -> None:
        """Fail when the tables are not what they must be."""
        self._meet_followers(tables)
        assert set(tables.jobs) == set(self.jobs)
        for job in self.jobs.values():
            self._compare_one(job, tables)
        for place in {job.place for job in self.jobs.values()}:
            waiting = (job for job in self.jobs.values() if job.place == place)
            if not any(job.in_line or job.parked for job in waiting):
                self.turns.calm(place)

    @staticmethod
    def _compare_one(job: ModelJob, tables: Tables) -> None:
        row, told = tables.jobs[job.id], tables.told[job.id]
        if told == [*job.told, Move.UNPUBLISHED] and job.state == State.QUEUED:
            job.move(Move.UNPUBLISHED, State.AVAILABLE)  # Redis was too slow for its message
        expected = (
            job.state, job.told, list(enumerate(job.outcomes, 1)), job.claims, job.failures,
            job.crashes, job.lease, job.parked, job.gate, job.unwanted,
            job.decision if job.state == State.DEAD else None,
        )  # fmt: skip
        found = (
            row.state, told, tables.attempts.get(job.id, []), row.attempt, row.failures,
            row.crashes, row.lease, row.parked, row.gate, row.cancel_requested_at is not None,
            tables.letters.get(job.id),
        )  # fmt: skip
        assert expected == found, f"expected {expected}, found {found}: {job}"
        assert job.state != State.RUNNING or row.worker == job.worker, job
        if job.seen and len(told) == job.seen_told:
            silent = job.seen._replace(cancel_requested_at=row.cancel_requested_at)
            assert row == silent, f"changed without a word: {job.seen} to {row}"
        job.seen, job.seen_told = row, len(told)

    def _meet_followers(self, tables: Tables) -> None:
        """Get to know the jobs that the success of others started: one each."""
        for row in tables.jobs.values():
            if row.id not in self.jobs and row.parent_id in self._parents:
                self._parents.remove(row.parent_id)
                self.meet(row, tables).follows = self.jobs[row.parent_id].follows - 1
        assert not self._parents, "what should have followed was not started"
