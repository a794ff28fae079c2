"""Chunks: short jobs are carried together, and none waits behind a long one."""

import asyncio
import time
from contextlib import suppress
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from django.db import OperationalError

from jobs import job_task, transitions
from jobs.chunk import PATIENCE
from jobs.errors import PermanentError, RetryLater
from jobs.executor import take_turn
from jobs.models import Attempt, AuditEntry, Job, ProbeRun
from jobs.pace import Pace, pace
from jobs.records import Settlement
from jobs.states import Move
from jobs.tasks import probe
from tests.conftest import Live, wait_until

QUEUE = "reports"


@pytest.fixture(autouse=True)
def chunks_of_ten() -> None:
    pace._sizes[QUEUE] = 10


@pytest.mark.django_db
def test_every_job_of_a_chunk_has_its_own_attempt_result_and_audit_trail() -> None:
    @job_task(name="tests.mixed", queue=QUEUE)
    def mixed(*, number: int) -> int:
        if number == 1:
            raise PermanentError("no")
        if number == 2:
            raise ValueError("again")
        return number * 10

    ids = mixed.enqueue_many([{"number": number} for number in range(4)])
    ended = {settlement.id: settlement.state for settlement in take_turn(QUEUE, worker=None)}
    assert [ended[id_] for id_ in ids] == ["succeeded", "dead", "scheduled", "succeeded"]
    jobs = list(Job.objects.order_by("seat"))
    assert [job.result for job in jobs] == [0, None, None, 30]
    assert Attempt.objects.count() == 4
    for job in jobs:
        trail = AuditEntry.objects.filter(subject_id=str(job.id)).order_by("id")
        assert [entry.action for entry in trail][:2] == ["job.enqueued", "job.claimed"]
        assert len(trail) == 3


@pytest.mark.django_db
def test_an_attempt_lasts_as_long_as_its_own_body_did() -> None:
    @job_task(name="tests.slower", queue=QUEUE)
    def slower(*, seconds: float) -> None:
        time.sleep(seconds)

    slower.enqueue_many([{"seconds": 0.1}, {"seconds": 0.0}])
    list(take_turn(QUEUE, worker=None))
    long, short = Attempt.objects.order_by("started_at")
    assert 0.09 < (long.finished_at - long.started_at).total_seconds() < 1
    assert (short.finished_at - short.started_at).total_seconds() < 0.09
    assert short.started_at >= long.finished_at


@pytest.mark.processes
def test_what_stands_behind_a_long_job_is_given_back_and_what_was_done_before_is_written(
    live: Live,
) -> None:
    seen, state = Event(), {}

    @job_task(name="tests.three", queue=QUEUE)
    def three(*, name: str) -> None:
        if name == "long":
            # The watchdog works beside us: we see it in the table.
            wait_until(lambda: states()["short"] == "succeeded", within=10)
            wait_until(lambda: states()["behind"] == "available", within=10)
            state.update(states())
            seen.set()

    def states() -> dict[str, str]:
        return dict(Job.objects.values_list("payload__name", "state"))

    three.enqueue_many([{"name": name} for name in ("short", "long", "behind")])
    began = time.monotonic()
    turn = take_turn(QUEUE, worker=None)
    assert next(turn) is not None
    assert seen.is_set()
    assert time.monotonic() - began > PATIENCE
    assert state == {"short": "succeeded", "long": "running", "behind": "available"}
    behind = Job.objects.get(payload__name="behind")
    assert (behind.attempt, behind.failures, behind.crashes) in {(1, 0, 0), (2, 0, 0)}
    list(turn)
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {"succeeded", "released"}


@pytest.mark.django_db
def test_a_job_that_killed_a_worker_runs_with_no_other_in_its_hands() -> None:
    for label in ("a", "killer", "b"):
        probe.using(queue=QUEUE).enqueue(label=label)
    Job.objects.filter(payload__label="killer").update(crashes=1, failures=0)
    turn = take_turn(QUEUE, worker=None)
    first = [next(turn), next(turn)]
    labels = [Job.objects.get(id=one.id).payload["label"] for one in first]
    assert labels == ["a", "killer"]
    assert Job.objects.get(payload__label="b").state in {"available", "running", "succeeded"}
    assert Attempt.objects.filter(job__payload__label="b", outcome="released").count() == 1
    list(turn)


@pytest.mark.processes
def test_an_outcome_that_cannot_be_written_does_not_keep_the_others_from_it(live: Live) -> None:
    written = transitions.settle

    def refuse_bad(settlements, **options):  # type: ignore[no-untyped-def]
        if any(one.result == "bad" for one in settlements):
            raise ValueError("the database refuses this")
        return written(settlements, **options)

    @job_task(name="tests.saying", queue=QUEUE)
    def saying(*, word: str) -> str:
        return word

    saying.enqueue_many([{"word": word} for word in ("good", "bad", "fine")])
    transitions.settle = refuse_bad
    try:
        list(take_turn(QUEUE, worker=None))
    finally:
        transitions.settle = written
    kept = dict(Job.objects.values_list("payload__word", "state"))
    assert kept == {"good": "succeeded", "bad": "scheduled", "fine": "succeeded"}


@pytest.mark.django_db
def test_a_turn_goes_on_until_nothing_is_due() -> None:
    probe.enqueue_many([{"label": "x"}] * 35, probe.using(queue=QUEUE).options)
    assert len(list(take_turn(QUEUE, worker=None, seconds=30))) == 35
    assert ProbeRun.objects.count() == 35


@pytest.mark.django_db
def test_a_turn_that_is_over_leaves_the_rest_to_the_next_message() -> None:
    probe.enqueue_many([{"label": "x"}] * 35, probe.using(queue=QUEUE).options)
    ran = len(list(take_turn(QUEUE, worker=None, seconds=0)))
    assert 0 < ran < 35
    assert Job.objects.filter(state="queued").count() == 35 - ran


def test_claims_grow_while_jobs_are_short_and_shrink_at_once_when_they_are_not() -> None:
    learning = Pace()
    assert learning.jobs_at_once("q") == 1
    sizes = []
    for _ in range(9):
        learning.learn("q", 0.0001)
        sizes.append(learning.jobs_at_once("q"))
    assert sizes == [2, 4, 8, 16, 32, 64, 128, 256, 400]
    learning.learn("q", 1.0)
    assert learning.jobs_at_once("q") == 1
    learning.learn("q", 0.01)
    assert learning.jobs_at_once("q") == 1, "it is careful for a while"


# --- odd ends ------------------------------------------------------------------------------------


class OddLater(RetryLater):
    """Says what cannot be done."""

    def __init__(self) -> None:
        super().__init__("later")
        self.after = 60  # type: ignore[assignment]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("error", "state", "error_type"),
    [
        (OddLater(), "dead", "PermanentError"),
        (asyncio.CancelledError(), "scheduled", "CancelledError"),
        (GeneratorExit(), "scheduled", "GeneratorExit"),
    ],
    ids=["an error that cannot be read", "cancelled", "generator exit"],
)
def test_an_odd_error_ends_its_own_job_alone(
    error: BaseException, state: str, error_type: str
) -> None:
    @job_task(name="tests.odd", queue=QUEUE)
    def odd(*, number: int) -> None:
        if number == 1:
            raise error

    odd.enqueue_many([{"number": number} for number in range(4)])
    list(take_turn(QUEUE, worker=None))
    states = dict(Job.objects.values_list("payload__number", "state"))
    assert states == {0: "succeeded", 1: state, 2: "succeeded", 3: "succeeded"}
    assert Job.objects.get(payload__number=1).error_type == error_type


@pytest.mark.django_db
def test_who_ends_the_process_leaves_nothing_of_a_chunk_but_the_job_that_ran() -> None:
    @job_task(name="tests.ended", queue=QUEUE)
    def ended(*, number: int) -> None:
        if number == 1:
            raise KeyboardInterrupt

    ended.enqueue_many([{"number": number} for number in range(4)])
    with suppress(KeyboardInterrupt):
        list(take_turn(QUEUE, worker=None))
    states = dict(Job.objects.values_list("payload__number", "state"))
    assert states == {0: "succeeded", 1: "running", 2: "available", 3: "available"}


@pytest.mark.processes
def test_a_failure_that_postgresql_refuses_is_a_dead_letter_and_the_others_are_written(
    live: Live,
) -> None:
    @job_task(name="tests.forever", queue=QUEUE)
    def forever(*, number: int) -> None:
        if number == 1:
            raise RetryLater("in the end", after=timedelta.max)

    forever.enqueue_many([{"number": number} for number in range(4)])
    list(take_turn(QUEUE, worker=None))
    states = dict(Job.objects.values_list("payload__number", "state"))
    assert states == {0: "succeeded", 1: "dead", 2: "succeeded", 3: "succeeded"}
    assert Job.objects.get(payload__number=1).error_type == "OutcomeRefused"


@pytest.mark.processes
def test_a_cut_while_the_rest_is_given_back_costs_nothing_but_another_try(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, cuts = transitions.settle, iter([True])

    def cut_once(settlements: list[Settlement], **options: Any) -> Any:
        if settlements[0].move == Move.RELEASED and next(cuts, False):
            raise OperationalError("the connection is cut")
        return written(settlements, **options)

    monkeypatch.setattr(transitions, "settle", cut_once)

    @job_task(name="tests.two", queue=QUEUE)
    def two(*, name: str) -> None:
        if name == "long":
            wait_until(lambda: behind() == "available", within=10)

    def behind() -> str:
        return Job.objects.get(payload__name="behind").state

    two.enqueue_many([{"name": name} for name in ("long", "behind")])
    next(take_turn(QUEUE, worker=None))
    assert next(cuts, None) is None, "it was cut"


@pytest.mark.processes
def test_when_a_bulk_body_raises_late_its_jobs_are_for_others(live: Live) -> None:
    @job_task(name="tests.sleepy", queue=QUEUE)
    def sleepy(*, number: int) -> None:
        pass

    @sleepy.bulk
    def all_at_once(calls: list[dict[str, Any]]) -> list[None]:
        time.sleep(PATIENCE * 1.2)
        raise ValueError("not together")

    sleepy.enqueue_many([{"number": number} for number in range(4)])
    turn = take_turn(QUEUE, worker=None)
    next(turn)
    states = dict(Job.objects.values_list("payload__number", "state"))
    assert states == {0: "succeeded", 1: "available", 2: "available", 3: "available"}


@pytest.mark.django_db
def test_what_was_given_back_is_no_experience(monkeypatch: pytest.MonkeyPatch) -> None:
    learned: list[tuple[float, int]] = []
    monkeypatch.setattr(pace, "learn", lambda _, duration, jobs: learned.append((duration, jobs)))
    for label in ("a", "killer", "b"):
        probe.using(queue=QUEUE).enqueue(label=label)
    Job.objects.filter(payload__label="killer").update(crashes=1)
    list(take_turn(QUEUE, worker=None))
    assert [jobs for _, jobs in learned] == [2]
