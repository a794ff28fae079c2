"""What is true of every job at every moment, whatever happened: read off the tables alone."""

from collections import Counter

from jobs.gates import UNKNOWN_TASK
from jobs.states import FINAL, TRANSITIONS, UNFINISHED, Move, State
from tests.jobs.properties.tables import Row, Tables

#: What the audit log says of a job besides its moves: wishes and decisions of people.
_REMARKS = {"cancel_requested", "letter.replayed", "letter.discarded"}
_MOVES = {str(move): move for move in Move}
_STATUS = {State.SUCCEEDED: "SUCCESS", State.DEAD: "FAILURE", State.CANCELLED: "REVOKED"}


def check(tables: Tables) -> None:
    """Fail when anything is not as it must always be."""
    assert set(tables.told) <= set(tables.jobs), "a job that was rolled back has left a trace"
    for row in tables.jobs.values():
        told = tables.told.get(row.id, [])
        what = f"{row}, told {told}, attempts {tables.attempts.get(row.id)}"
        _check_row(row, told, tables, what)
        _check_attempts(row, told, tables, what)
        assert (row.id in tables.letters) == (row.state == State.DEAD), f"dead letter: {what}"
        _check_result(row, told, tables, what)
    keys = Counter(
        row.unique_key for row in tables.jobs.values() if row.unique_key and row.state in UNFINISHED
    )
    assert not [key for key, times in keys.items() if times > 1], f"twins: {keys}"
    _check_rollups(tables)


def _check_rollups(tables: Tables) -> None:
    """Every attempt, and every end of a job, was counted once."""
    outcomes, ends = Counter[str](), Counter[str]()
    for (outcome, state), count in tables.counted.items():
        outcomes[outcome] += count
        ends[state] += count
    attempts = Counter(outcome for of in tables.attempts.values() for _, outcome in of)
    assert {name: count for name, count in outcomes.items() if name} == attempts
    finals = Counter(row.state for row in tables.jobs.values() if row.state in FINAL)
    assert {state: count for state, count in ends.items() if state in FINAL} == finals


def _check_row(row: Row, told: list[str], tables: Tables, what: str) -> None:
    assert row.state in states_after(told), f"the audit log leads elsewhere: {what}"
    assert (row.lease is not None) == (row.state == State.RUNNING), what
    assert (row.finished_at is not None) == (row.state in FINAL), what
    if row.parked:
        assert row.state == State.AVAILABLE, what
        assert row.gate in {*row.gates, f"{UNKNOWN_TASK}={row.task}"}, what
    if row.state in {State.AVAILABLE, State.QUEUED}:
        assert row.scheduled_at <= tables.now, f"in line before its time: {what}"


def states_after(told: list[str]) -> set[State]:
    """Return the states that a job's audit entries lead to; fail when no job could go that way."""
    states: set[State] = set()
    for place, action in enumerate(told):
        if action in _REMARKS:
            continue
        starts, ends = TRANSITIONS[_MOVES[action]]
        assert bool(starts) == bool(place), f"{action} at place {place} of {told}"
        assert not starts or states & starts, f"{action} after {states}: {told}"
        states = set(ends)
    return states


def _check_attempts(row: Row, told: list[str], tables: Tables, what: str) -> None:
    """Attempts are numbered without a gap: one for each claim that was settled."""
    attempts = tables.attempts.get(row.id, [])
    settled = row.attempt - (row.state == State.RUNNING)
    assert [number for number, _ in attempts] == list(range(1, settled + 1)), what
    assert told.count(Move.CLAIMED) == row.attempt, what
    outcomes = Counter(outcome for _, outcome in attempts)
    assert outcomes["failed"] == row.failures, what
    assert outcomes["crashed"] == row.crashes, what
    assert row.failures + row.crashes <= row.max_attempts, what


def _check_result(row: Row, told: list[str], tables: Tables, what: str) -> None:
    """Celery's results say what the row says, as soon as an attempt was settled."""
    status = tables.statuses.get(row.id)
    if row.id not in tables.attempts:
        assert status is None, f"{status}: {what}"
    elif row.state in FINAL and _ended_by_settlement(told):
        assert status == _STATUS[State(row.state)], f"{status}: {what}"
    else:
        # So, too, when it was cancelled or expired between two attempts.
        assert status == "RETRY", f"{status}: {what}"


def _ended_by_settlement(told: list[str]) -> bool:
    moves = [action for action in told if action in _MOVES]
    return State.RUNNING in states_after(moves[:-1])
