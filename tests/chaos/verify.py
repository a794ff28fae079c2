"""The count: what was asked for, beside what the tables say. Every difference is a finding.

These checks read nothing but :class:`~tests.chaos.evidence.Evidence`, and know of the engine only
its table of moves: an error of the engine cannot hide itself here.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from jobs.states import FINAL, TRANSITIONS, Move, State
from tests.chaos.evidence import Evidence, JobRecord
from tests.chaos.plan import PlannedJob, Unit

#: How an attempt ends whose effect may stay though another follows: its process died, was stopped,
#: or was thought dead.
_INTERRUPTED = {"crashed", "released"}
#: Or PostgreSQL cut its connection, and nobody can say whether the last statement had counted.
_CUT = {"OperationalError", "InterfaceError"}
_STATUS = {"succeeded": "SUCCESS", "dead": "FAILURE", "cancelled": "REVOKED"}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that must not be. ``kind``: lost, stuck, duplicated, or what else it is about."""

    kind: str
    job: str
    what: str


def check(
    evidence: Evidence, planned: Mapping[int, PlannedJob], flows: Sequence[Unit] = ()
) -> list[Finding]:
    """Return everything that is wrong; nothing: all is well."""
    findings = [*_transactions(evidence), *_plan(evidence, planned), *_crowds(evidence)]
    findings += _rollups(evidence)
    findings += [finding for flow in flows for finding in _order(evidence, flow)]
    for job in evidence.jobs.values():
        plan = planned.get(job.key)
        if not job.final:
            what = f"still {job.state} when all was whole (attempt {job.attempt})"
            findings.append(Finding(kind="stuck", job=job.id, what=what))
        for kind, one in _CHECKS.items():
            if plan is not None:
                findings += [Finding(kind=kind, job=job.id, what=what) for what in one(job, plan)]
    return findings


def _transactions(evidence: Evidence) -> Iterator[Finding]:
    """A committed transaction left all of its jobs, one that was rolled back nothing at all."""
    for intent in evidence.intents:
        for id_ in intent.jobs:
            there = id_ in evidence.jobs
            if intent.outcome == "committed" and not there:
                yield Finding(kind="lost", job=id_, what="its transaction was committed: no row")
            if intent.outcome == "rolled back" and there:
                yield Finding(
                    kind="rolled back", job=id_, what="it was rolled back: there is a row"
                )
        if not intent.outcome:
            what = f"nobody knows how the transaction {intent.unit} ended"
            yield Finding(kind="suite", job="", what=what)
    for id_ in evidence.strays:
        yield Finding(kind="rolled back", job=id_, what="it has no row, but left traces")


def _plan(evidence: Evidence, planned: Mapping[int, PlannedJob]) -> Iterator[Finding]:
    """Every planned job was committed once, and there are no others."""
    known = Counter(key for intent in evidence.committed() for key in intent.keys)
    rows = Counter(job.key for job in evidence.jobs.values())
    for key in planned:
        if known[key] != 1:
            yield Finding(kind="suite", job="", what=f"job {key} was committed {known[key]} times")
        elif rows[key] != 1:
            kind = "duplicated" if rows[key] else "lost"
            yield Finding(kind=kind, job=f"key {key}", what=f"there are {rows[key]} rows of it")
    for job in evidence.jobs.values():
        if job.key not in planned:
            yield Finding(kind="strange", job=job.id, what="nobody asked for it")


def _crowds(evidence: Evidence) -> Iterator[Finding]:
    """Of jobs whose limit is one at a time for each tenant, no two ran at the same time."""
    runs = sorted(
        (job.tenant, attempt.started, attempt.ended, job.id)
        for job in evidence.jobs.values()
        if job.task == "chaos.narrow_effect"
        for attempt in job.attempts
    )
    for (tenant, _, ended, first), (other, started, _, second) in itertools.pairwise(runs):
        if tenant == other and started < ended:
            what = f"it ran {ended - started:.3f} s beside {first}, of the same tenant"
            yield Finding(kind="limit", job=second, what=what)


def _rollups(evidence: Evidence) -> Iterator[Finding]:
    """Every attempt was counted once."""
    attempts = Counter(one.outcome for job in evidence.jobs.values() for one in job.attempts)
    if evidence.counted != attempts:
        what = f"roll-ups say {evidence.counted}, the attempts are {dict(attempts)}"
        yield Finding(kind="roll-ups", job="", what=what)


def _order(evidence: Evidence, flow: Unit) -> Iterator[Finding]:
    """A step of a chain began after the one before it, a chord's body after all of its parts."""
    jobs = {job.key: job for job in evidence.jobs.values()}
    steps = [jobs[one.key] for one in flow.jobs if one.key in jobs]
    for place, step in enumerate(steps[1:], start=1):
        if flow.flow == "chord" and place < len(flow.jobs) - 1:
            continue
        before = steps[:place] if flow.flow == "chord" else steps[place - 1 : place]
        began = min((entry.at for entry in step.entries), default=0.0)
        for one in before:
            if one.state != "succeeded" or max(entry.at for entry in one.entries) > began:
                what = f"it began before {one.id} of its {flow.flow} had succeeded"
                yield Finding(kind="order", job=step.id, what=what)


def _ends(job: JobRecord, plan: PlannedJob) -> Iterator[str]:
    """It ended as it was planned: succeeded, or as a dead letter of the planned reason."""
    if not job.final:
        return
    expected = "dead" if plan.reasons else "succeeded"
    if job.state != expected:
        yield f"it is {job.state}, and should be {expected} ({', '.join(job.letters)})"
    elif job.state == "dead" and (len(job.letters) != 1 or job.letters[0] not in plan.reasons):
        yield f"its dead letters are {job.letters}, expected one of {sorted(plan.reasons)}"
    elif job.state != "dead" and job.letters:
        yield f"it succeeded, and has a dead letter: {job.letters}"


def _lost_work(job: JobRecord, plan: PlannedJob) -> Iterator[str]:
    """A job that succeeded did its work in the attempt that says so."""
    if job.state == "succeeded" and not plan.reasons and not {job.attempt, 0} & {*job.effects}:
        yield f"it succeeded without the effect of attempt {job.attempt}: {job.effects}"


def _double_work(job: JobRecord, plan: PlannedJob) -> Iterator[str]:
    """An atomic task's work was done once, another's twice only when it was interrupted."""
    twice = [attempt for attempt, count in Counter(job.effects).items() if count > 1]
    if twice:
        yield f"attempts {twice} ran more than once"
    if plan.atomic:
        stray = [attempt for attempt in job.effects if attempt not in {job.attempt, 0}]
        if stray or len(job.effects) > 1 or (job.effects and job.state != "succeeded"):
            yield f"an atomic task that is {job.state}: effects of attempts {job.effects}"
        return
    if plan.reasons and job.effects:
        yield f"it could not succeed, and attempts {job.effects} did its work"
    interrupted = {
        attempt.number
        for attempt in job.attempts
        if attempt.outcome in _INTERRUPTED or attempt.error_type in _CUT
    }
    done = [attempt for attempt in job.effects if attempt not in interrupted]
    if len(done) > 1:
        yield f"attempts {done} all did the work, and none of them was interrupted"


def _audit(job: JobRecord, _plan: PlannedJob) -> Iterator[str]:
    """The moves of the audit log lead from nothing to the row's state, by the table of moves."""
    moves = [entry.move for entry in job.entries if entry.move is not None]
    states: frozenset[State] = frozenset()
    for place, move in enumerate(moves):
        starts, ends = TRANSITIONS[move]
        if bool(starts) != bool(place) or (starts and not starts & states):
            yield f"move {place + 1}, {move.value}, cannot follow {sorted(states)}"
        states = ends
    if State(job.state) not in states:
        yield f"the audit log ends in {sorted(states)}, and the row says {job.state}"
    counts = Counter(moves)
    if counts[Move.ENQUEUED] != 1:
        yield f"it was enqueued {counts[Move.ENQUEUED]} times"
    if counts[Move.CLAIMED] != job.attempt:
        yield f"it was claimed {counts[Move.CLAIMED]} times, and the row says {job.attempt}"
    ends_ = [move.value for move in moves if TRANSITIONS[move][1] <= FINAL]
    if job.final and len(ends_) != 1:
        yield f"it ended more than once: {ends_}"


def _attempts(job: JobRecord, _plan: PlannedJob) -> Iterator[str]:
    """Its attempts are numbered without a gap, and their outcomes are those of the row."""
    numbers = [attempt.number for attempt in job.attempts]
    settled = job.attempt if job.state != State.RUNNING else job.attempt - 1
    if numbers != list(range(1, settled + 1)):
        yield f"attempts {numbers}, expected 1 to {settled}"
    outcomes = Counter(attempt.outcome for attempt in job.attempts)
    if outcomes["crashed"] != job.crashes or outcomes["failed"] != job.failures:
        yield (f"{dict(outcomes)}, and the row says {job.failures} failures, {job.crashes} crashes")


def _results(job: JobRecord, plan: PlannedJob) -> Iterator[str]:
    """What Celery's result backend would say is what the row says."""
    if job.final and job.attempt and job.results != [_STATUS[job.state]]:
        yield f"it is {job.state}, and its results are {job.results}"
    if job.state == "succeeded" and job.result != plan.key:
        yield f"its result is {job.result!r}, expected {plan.key}"


_CHECKS: dict[str, Callable[[JobRecord, PlannedJob], Iterator[str]]] = {
    "ended wrongly": _ends,
    "lost": _lost_work,
    "duplicated": _double_work,
    "audit": _audit,
    "attempts": _attempts,
    "result": _results,
}
