"""What must have become of every job: the engine in miniature, without PostgreSQL and without haste.

It is told what was done and what the engine answered, in the order of the commits, and says whether
that may be. It knows the table of moves, limits, pauses, turns; of SQL it knows nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from jobs.records import Claimed, Settlement, Waiting
from jobs.states import FINAL, TRANSITIONS, UNFINISHED, WAITING, Move, State
from tests.jobs.tables import Row, Tables

#: A queue and a priority: tenants take turns inside it.
Class = tuple[str, int]
#: Before and after a call, by the database's clock.
Span = tuple[datetime, datetime]

AGEING = timedelta(hours=10)
RATE_PERIOD = timedelta(hours=3.5)  # no number of whole hours is near its end
RATE = "tests.rated/rate"
#: The limits that are declared.
LIMITS = {RATE: 3, "tests.rated/concurrency": 2, "tests.narrow/concurrency/tenant": 2}
#: Jobs of another tenant that pass while a job of a tenant is the next of its own.
TURNS = 2
#: How many are let through where there is no limit.
_MANY = 1_000
_CRITICAL = 0


@dataclass
class ModelJob:
    """What a job must be now."""

    id: UUID
    task: str
    queue: str
    tenant: str
    priority: int
    state: State
    #: Steps that follow it.
    follows: int = 0
    #: What makes it unique, and for how long from its enqueueing.
    key: tuple[str, str, str] | None = None
    told: list[str] = field(default_factory=lambda: [str(Move.ENQUEUED)])
    outcomes: list[str] = field(default_factory=list)
    failures: int = 0
    crashes: int = 0
    claims: int = 0
    lease: UUID | None = None
    worker: UUID | None = None
    parked: bool = False
    gate: str = ""
    unwanted: bool = False
    #: What was decided about its dead letter.
    decision: str = ""
    #: Its row as it was seen last, and what the audit log had told then.
    seen: Row | None = None
    seen_told: int = 0

    @property
    def row(self) -> Row:
        """Its row as it was seen last."""
        assert self.seen is not None
        return self.seen

    @property
    def cls(self) -> Class:
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


class Turns:
    """Whether tenants take turns, where nothing but enqueueing and claiming happens."""

    def __init__(self) -> None:
        self._upset: set[Class] = set()
        #: How often each tenant was passed by each other since its own turn.
        self._passed: dict[Class, dict[str, Counter[str]]] = defaultdict(
            lambda: defaultdict(Counter)
        )
        #: Turns that somebody waited for.
        self.taken = 0

    def upset(self, cls: Class) -> None:
        """Somebody came or went out of turn: nothing is promised until the line is empty."""
        self._upset.add(cls)

    def calm(self, cls: Class) -> None:
        """The line is empty."""
        self._upset.discard(cls)
        self._passed.pop(cls, None)

    def take(self, job: ModelJob, waiting: Iterable[str]) -> None:
        """The job is claimed while these tenants have jobs in line."""
        passed = self._passed[job.cls]
        passed[job.tenant].clear()
        for tenant in set(waiting) - {job.tenant}:
            passed[tenant][job.tenant] += 1
            if job.cls not in self._upset:
                self.taken += 1
                assert passed[tenant][job.tenant] <= TURNS, (
                    f"{job.tenant!r} had {passed[tenant][job.tenant]} turns in {job.cls} "
                    f"while {tenant!r} waited for one"
                )


class Model:
    """All jobs, and what operators set."""

    def __init__(self) -> None:
        self.jobs: dict[UUID, ModelJob] = {}
        self.paused: set[str] = set()
        self.limits: dict[str, int | None] = dict(LIMITS)
        #: When jobs passed each gate.
        self.passes: dict[str, list[datetime]] = defaultdict(list)
        #: Workers whose heartbeat is old, and those that stopped or are gone.
        self.silent: set[UUID] = set()
        self.turns = Turns()
        #: Jobs whose success started another, which is not known yet.
        self._parents: list[UUID] = []

    # --- what may be claimed ---------------------------------------------------------------------

    def line(self, queue: str) -> list[ModelJob]:
        """Return the jobs that stand in the queue's line."""
        return [job for job in self.jobs.values() if job.queue == queue and job.in_line]

    def claimable(
        self, jobs: Iterable[ModelJob], span: Span, *, held: Collection[object] = ()
    ) -> tuple[set[UUID], set[UUID]]:
        """Return those that a claim may take: surely, and at all. Others hold the ``held``."""
        free = [
            job
            for job in jobs
            if job.state in WAITING and job.queue not in self.paused and job.id not in held
        ]
        before, after = span
        surely = {job.id for job in free if job.is_due(before) and not job.is_expired(after)}
        at_all = {job.id for job in free if job.is_due(after) and not job.is_expired(before)}
        return surely, at_all

    def place(self, job: ModelJob, now: datetime) -> tuple[object, ...]:
        """Return where the job stands in its queue's line: the smaller, the sooner."""
        same = [other for other in self.line(job.queue) if other.priority == job.priority]
        head = min(same, key=lambda other: (other.row.seat, other.row.scheduled_at))
        aged = (now - head.row.scheduled_at) // AGEING
        counts_as = job.priority and max(1, job.priority - aged)
        return counts_as, job.priority, job.row.seat, job.row.scheduled_at

    # --- limits ----------------------------------------------------------------------------------

    def limit_of(self, gate: str) -> int | None:
        """Return the number in force."""
        return self.limits[gate.partition("=")[0]]

    def passed(self, gate: str, now: datetime) -> int:
        """Return how many jobs passed in the period that ends now."""
        return sum(now - at <= RATE_PERIOD for at in self.passes[gate])

    def running(self, gate: str) -> int:
        """Return how many jobs of the gate run."""
        return sum(
            job.state == State.RUNNING and gate in job.row.gates for job in self.jobs.values()
        )

    def room(self, gate: str, now: datetime) -> int:
        """Return how many jobs the gate would let through."""
        limit = self.limit_of(gate)
        if limit is None:
            return _MANY
        return limit - (self.passed(gate, now) if gate == RATE else self.running(gate))

    def decide(
        self, waiting: Sequence[Waiting], now: datetime
    ) -> tuple[set[UUID], dict[UUID, str]]:
        """Return who passes all of its gates, and at which gate each of the others waits."""
        passing, stopped = set(), {}
        taken: Counter[str] = Counter()
        for job in waiting:
            shut = [
                gate
                for gate in job.gates
                if self.room(gate, now) <= taken[gate]
                and not (gate == RATE and job.priority == _CRITICAL)
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
            used = self.passed(gate, now) if gate == RATE else self.running(gate)
            told = f"{gate}: {used}, and {len(priorities)} more; the limit is {limit}"
            assert used + len(priorities) <= limit, told

    # --- what was committed ----------------------------------------------------------------------

    def add(self, job: ModelJob) -> None:
        """The job was enqueued."""
        assert job.id not in self.jobs
        self.jobs[job.id] = job

    def claim(self, claimed: Claimed, worker: UUID | None, at: datetime | None) -> None:
        """The job is running; ``at`` is when it passed its gates."""
        job = self.jobs[claimed.id]
        job.move(Move.CLAIMED, State.RUNNING)
        job.claims += 1
        assert claimed.attempt == job.claims
        job.lease, job.worker, job.parked, job.gate = claimed.lease, worker, False, ""
        for gate in claimed.gates or () if at else ():
            self.passes[gate].append(at)

    def settle(self, settlement: Settlement) -> None:
        """The attempt ended so."""
        job = self.jobs[settlement.id]
        assert job.lease == settlement.lease, "a zombie's settlement counted"
        move, state = settlement.move, settlement.state
        if job.unwanted and state not in FINAL:
            move, state = Move.CANCELLED, State.CANCELLED
        job.move(move, state)
        job.outcomes.append(settlement.outcome)
        job.failures += settlement.failures
        job.crashes += settlement.crashes
        job.lease = None
        if job.in_line:  # given back: with its old seat
            self.turns.upset(job.cls)
        if state == State.SUCCEEDED and job.follows:
            self._parents.append(job.id)

    def leave(self, job_id: UUID, move: Move) -> None:
        """The job, which waited, is cancelled."""
        job = self.jobs[job_id]
        if job.in_line:
            self.turns.upset(job.cls)
        job.move(move, State.CANCELLED)
        job.parked = False

    def follow(self, ids: Iterable[UUID], move: Move, tables: Tables) -> dict[UUID, str]:
        """Make the move with those of the jobs of which the audit log tells it next; tells gates."""
        moved = {}
        for job_id in ids:
            job = self.jobs[job_id]
            if tables.told[job_id][len(job.told) : len(job.told) + 1] != [move]:
                continue
            job.move(move, State.AVAILABLE)
            self.turns.upset(job.cls)
            job.parked = move == Move.PARKED
            job.gate = tables.jobs[job_id].gate or job.gate
            moved[job_id] = job.gate
        return moved

    # --- the comparison --------------------------------------------------------------------------

    def compare(self, tables: Tables) -> None:
        """Fail when the tables are not what they must be."""
        self._meet_followers(tables)
        assert set(tables.jobs) == set(self.jobs)
        for job in self.jobs.values():
            row, told = tables.jobs[job.id], tables.told[job.id]
            if told == [*job.told, Move.UNPUBLISHED] and job.state == State.QUEUED:
                job.move(Move.UNPUBLISHED, State.AVAILABLE)  # Redis was too slow for it
            expected = (
                job.state, job.told, list(enumerate(job.outcomes, 1)), job.claims,
                job.failures, job.crashes, job.lease, job.parked, job.gate, job.unwanted,
                job.decision if job.state == State.DEAD else None,
            )  # fmt: skip
            found = (
                row.state, told, tables.attempts.get(job.id, []), row.attempt,
                row.failures, row.crashes, row.lease, row.parked, row.gate,
                row.cancel_requested_at is not None, tables.letters.get(job.id),
            )  # fmt: skip
            assert expected == found, f"expected {expected}, found {found}: {job}"
            assert job.state != State.RUNNING or row.worker == job.worker, job
            if job.seen and len(told) == job.seen_told:
                silent = job.seen._replace(cancel_requested_at=row.cancel_requested_at)
                assert row == silent, f"changed without a word: {job.seen} to {row}"
            job.seen, job.seen_told = row, len(told)
        for cls in {job.cls for job in self.jobs.values()}:
            waiting = (job for job in self.jobs.values() if job.cls == cls)
            if not any(job.in_line or job.parked for job in waiting):
                self.turns.calm(cls)

    def _meet_followers(self, tables: Tables) -> None:
        """Get to know the jobs that the success of others started: one each."""
        for row in tables.jobs.values():
            if row.id not in self.jobs and row.parent_id in self._parents:
                self._parents.remove(row.parent_id)
                state = State(row.state)
                job = ModelJob(row.id, row.task, row.queue, row.tenant, row.priority, state)
                job.follows = self.jobs[row.parent_id].follows - 1
                self.add(job)
        assert not self._parents, "what should have followed was not started"

    def let_time_pass(self, time: timedelta) -> None:
        """Every instant is earlier by so much."""
        for passes in self.passes.values():
            passes[:] = [at - time for at in passes]
        for job in self.jobs.values():
            job.seen_told = -1

    # --- who is there already --------------------------------------------------------------------

    def twins(self, key: tuple[str, str, str], period: timedelta | None, span: Span) -> set[UUID]:
        """Return the jobs of which one is there instead of another with the key."""
        same = [job for job in self.jobs.values() if job.key == key]
        return {
            job.id
            for job in same
            if job.state in UNFINISHED
            or (period is not None and job.row.enqueued_at > span[1] - period)
        }
