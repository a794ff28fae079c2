"""The table of states and moves: obeyed by the database, and drawn in the documentation."""

import re
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from jobs import payload, transitions
from jobs.breaker import breaker
from jobs.definition import Options, Placement
from jobs.enqueue import new_job
from jobs.models import Job
from jobs.states import FINAL, TRANSITIONS, UNFINISHED, WAITING, Move, State
from jobs.tasks import probe
from tests.jobs.stages import (
    Staged,
    actions,
    everything_about,
    let_time_pass,
    put_into,
    settle,
)

DRAWING = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "state-machine.md"

GATE = "email/rate"
MOVES = [move for move in Move if move != Move.ENQUEUED]
PAIRS = [(move, state) for move in MOVES for state in State]


def perform(move: Move, job: Staged) -> None:
    """Try the move, at a time and in circumstances that let it happen."""
    let_time_pass(job.id)
    match move:
        case Move.PUBLISHED:
            transitions.stage(10)
        case Move.MATURED:
            transitions.stage(10, broker_is_up=False)
        case Move.UNPUBLISHED:
            transitions.unpublish([job.id])
        case Move.PARKED | Move.ADMITTED:
            pass_a_gate(move, job)
        case Move.EXPIRED:
            Job.objects.filter(id=job.id).update(expires_at=Now() - timedelta(seconds=1))
            transitions.expire(10)
            Job.objects.filter(id=job.id).update(expires_at=None)
        case Move.HASTENED:
            transitions.hasten(job.id, actor="user:ann")
        case Move.CLAIMED:
            transitions.claim([job.id], worker=None)
        case Move.CANCELLED:
            if not transitions.cancel(job.id, actor="user:ann"):
                settle(job, move)
        case _:
            settle(job, move)


def pass_a_gate(move: Move, job: Staged) -> None:
    if move == Move.PARKED:
        transitions.park([job.id], gate=GATE)
    else:
        Job.objects.filter(id=job.id).update(parked=True, gate=GATE)
        transitions.admit(GATE, 10)
        Job.objects.filter(id=job.id).update(parked=False, gate="")


@pytest.mark.django_db
@pytest.mark.parametrize(("move", "state"), PAIRS, ids=lambda value: str(value))
def test_a_move_works_from_its_states_and_changes_nothing_in_any_other(
    move: Move, state: State
) -> None:
    job = put_into(state)
    assert job.state == state
    let_time_pass(job.id)
    before = everything_about(job.id)
    past = actions(job.id)
    perform(move, job)
    starts, ends = TRANSITIONS[move]
    if state in starts:
        assert job.state in ends
        assert actions(job.id) == [*past, f"job.{move}"]
    else:
        after = everything_about(job.id)
        for row in (*before["job"], *after["job"]):  # times which letting time pass moved again
            del row["scheduled_at"], row["published_at"]
        assert after == before


@pytest.mark.django_db
def test_enqueueing_begins_in_the_states_of_the_table_and_in_no_other() -> None:
    begun = {put_into(State.SCHEDULED).state, State(probe.enqueue(label="x").state)}
    breaker.trip()
    begun.add(State(probe.enqueue(label="while the broker is down").state))
    sealed = payload.Sealed({}, None)
    unfit = new_job(probe, sealed, Options(placed=Placement(root_id=str(uuid4()))))
    (dead,) = transitions.insert_dead([(unfit, ValueError("it does not fit"))])
    begun.add(State(Job.objects.get(id=dead).state))
    assert (frozenset(), frozenset(begun)) == TRANSITIONS[Move.ENQUEUED]


@pytest.mark.parametrize("state", sorted(FINAL))
def test_no_move_starts_from_a_final_state(state: State) -> None:
    assert not [move for move, (starts, _) in TRANSITIONS.items() if state in starts]


def test_every_move_and_every_state_is_in_the_table() -> None:
    assert set(TRANSITIONS) == set(Move)
    assert WAITING | {State.RUNNING} == UNFINISHED
    assert set(State) == UNFINISHED | FINAL
    reached = frozenset[State]().union(*(ends for _, ends in TRANSITIONS.values()))
    assert reached == set(State)


@pytest.mark.django_db
def test_the_database_refuses_a_lease_without_a_run_and_a_run_without_a_lease() -> None:
    for state, lease in ((State.RUNNING, None), (State.QUEUED, UUID(int=1))):
        job = put_into(State.QUEUED)
        with pytest.raises(IntegrityError), transaction.atomic():
            Job.objects.filter(id=job.id).update(state=state, lease=lease)
    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.filter(id=put_into(State.QUEUED).id).update(state="lost")


def drawn() -> set[tuple[str, str, str]]:
    """Return the arrows of the documentation's drawing: (from, to, move); ``[*]`` is outside."""
    (source,) = re.findall(r"```mermaid\n(.*?)```", DRAWING.read_text(), re.DOTALL)
    assert source.startswith("stateDiagram-v2\n")
    arrows = re.findall(r"^\s*(\S+) --> ([^:\s]+)(?:: (.+))?$", source, re.MULTILINE)
    assert len(arrows) == source.count("-->")
    return {
        (start, end, move)
        for start, end, moves in arrows
        for move in (moves.split(", ") if moves else [""])
    }


def test_the_drawing_of_the_documentation_has_the_arrows_of_the_table_and_no_others() -> None:
    table = {
        (start, end, str(move))
        for move, (starts, ends) in TRANSITIONS.items()
        for start in (starts or {"[*]"})
        for end in ends
    }
    assert drawn() == table | {(str(state), "[*]", "") for state in FINAL}


def test_the_documentation_explains_every_state_and_every_move() -> None:
    text = DRAWING.read_text()
    explained = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    assert explained == {str(state) for state in State} | {str(move) for move in Move}
