"""How long it took until the jobs that a fault hit were running again.

All of it is read from the tables after the run: who ran in which process, who waited, and when each
was claimed next. In the storm a fault meets the damage of others, so what is promised about it is
held against the one time that it struck alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from jobs.states import FINAL, TRANSITIONS, Move, State
from tests.chaos import timing
from tests.chaos.evidence import Entry, Evidence, JobRecord
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.plan import PlannedJob
from tests.chaos.world import Strike

#: After these a job that is due waits for a worker.
_WAITS_AFTER = {
    move
    for move, (_, ends) in TRANSITIONS.items()
    if ends <= {State.AVAILABLE, State.QUEUED} and move.value != "parked"
}
LIMITS = {"runs again": timing.RUNS_AGAIN_WITHIN, "made good": timing.MADE_GOOD_WITHIN}


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """One job that a fault hit, and the seconds until it ran again; ``usual`` by default settings.

    ``usual`` is worked out from what was measured: the product's lease, its wait before a lost
    message is sent again, and its wait before a retry instead of the suite's.
    """

    strike: Strike
    job: str
    seconds: float
    usual: float


@dataclass(frozen=True, kw_only=True)
class Longest:
    """Of a kind of fault: how often it struck, the jobs it hit, and the longest time of them.

    ``worst`` is that of all, ``alone`` that of the time when nothing else was broken.
    """

    kind: str
    times: int
    hit: int
    worst: Recovery | None
    alone: Recovery | None

    @property
    def limit(self) -> float | None:
        """The promise about it, in seconds by default settings."""
        promise = FAULTS[self.kind].promise
        return LIMITS[promise] if promise else None

    @property
    def too_long(self) -> bool:
        """Whether the promise was broken."""
        return self.alone is not None and self.limit is not None and self.alone.usual > self.limit


def longest(
    evidence: Evidence, strikes: Sequence[Strike], planned: Mapping[int, PlannedJob]
) -> list[Longest]:
    """Return the longest recovery of each kind of fault that struck."""
    found = []
    for kind in sorted({strike.kind for strike in strikes}):
        of_kind = [strike for strike in strikes if strike.kind == kind]
        recovered = [
            recovery
            for strike in of_kind
            for recovery in _recoveries(evidence, strike, FAULTS[kind], planned)
        ]
        calm = [one for one in recovered if one.strike.alone]
        found.append(
            Longest(
                kind=kind,
                times=len(of_kind),
                hit=len(recovered),
                worst=max(recovered, key=lambda one: one.seconds, default=None),
                alone=max(calm, key=lambda one: one.usual, default=None),
            )
        )
    return found


def _recoveries(
    evidence: Evidence, strike: Strike, fault: Fault, planned: Mapping[int, PlannedJob]
) -> Iterator[Recovery]:
    since = strike.whole_at if fault.measures == "waiting" and strike.whole_at else strike.at
    for job in _hit(evidence, strike, fault, planned):
        again = _next_run(job, strike.at)
        if again is None:
            continue  # stuck: that is another finding
        seconds = max(0.0, again.at - since)
        usual = seconds + _more_by_default(job, strike.at, again)
        if fault.promise == "made good" and seconds >= timing.REPUBLISH * 0.8:
            usual += timing.DEFAULT_REPUBLISH - timing.REPUBLISH  # its message was waited for
        yield Recovery(strike=strike, job=job.id, seconds=seconds, usual=usual)


def _hit(
    evidence: Evidence, strike: Strike, fault: Fault, planned: Mapping[int, PlannedJob]
) -> Iterator[JobRecord]:
    for job in evidence.jobs.values():
        plan = planned.get(job.key)
        if fault.measures == "running":
            hit = any(
                attempt.pid in strike.pids and attempt.started <= strike.at <= attempt.ended
                for attempt in job.attempts
            )
        elif fault.measures == "waiting":
            hit = plan is not None and _waits(job, plan, strike.at)
        else:
            hit = fault.measures == "jobs" and job.id in strike.jobs
            hit = hit and plan is not None and not plan.delay
        if hit:
            yield job


def _waits(job: JobRecord, plan: PlannedJob, at: float) -> bool:
    """Say whether the job was due then, and in nobody's hands."""
    if plan.task == "chaos.effect_of_tomorrow":
        return False  # it waits for another release
    moves = [entry.move for entry in job.entries if entry.at <= at and entry.move is not None]
    if not moves:
        return False
    return moves[-1] in _WAITS_AFTER or (moves[-1] is Move.ENQUEUED and not plan.delay)


def _next_run(job: JobRecord, after: float) -> Entry | None:
    """Return the entry by which the job ran again, or ended."""
    for entry in job.entries:
        if entry.at <= after or entry.move is None:
            continue
        if entry.move is Move.CLAIMED or TRANSITIONS[entry.move][1] <= FINAL:
            return entry
    return None


def _more_by_default(job: JobRecord, at: float, again: Entry) -> float:
    """Return the seconds that default settings would have added between the fault and ``again``."""
    more, before = 0.0, at
    for entry in job.entries:
        if not at < entry.at <= again.at:
            continue
        if entry.move is Move.CRASHED:
            if entry.at - before >= timing.LEASE * 0.8:  # somebody waited for the lease
                more += timing.DEFAULT_LEASE - timing.LEASE
            if until := entry.detail.get("until"):
                wait = datetime.fromisoformat(until).timestamp() - entry.at
                more += max(0.0, wait) * (1 / timing.BACKOFF_SCALE - 1)
        before = entry.at
    return more
