"""Limits: what passes, what waits at a gate, and what lets it through."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from uuid import UUID

import pytest
from django.db import connection
from django.db.models import F

from jobs import gates, job_task, operations, transitions
from jobs.executor import take_turn
from jobs.limits import Concurrency, Rate, gates_of
from jobs.models import Attempt, AuditEntry, Job, Priority, ProbeRun, RateCount
from jobs.records import Claimed
from jobs.task import JobTask
from jobs.tasks import probe
from tests.conftest import Live
from tests.jobs.stages import at_once

MINUTE = timedelta(minutes=1)
AN_AGE = timedelta(days=1_000)


@pytest.fixture(autouse=True)
def what_operators_set_is_read_anew() -> None:
    gates.overrides.forget()


def limited(*limits: Rate | Concurrency) -> JobTask[..., None]:
    @job_task(name="tests.limited", queue="reports", limits=limits)
    def task(*, label: str = "", to: str = "") -> None:
        pass

    return task


def claim_all(limit: int = 100) -> list[Claimed]:
    """Claim as the executor does, until nothing is left in line."""
    claimed: list[Claimed] = []
    while True:
        line = transitions.claim_next("reports", limit, worker=None, tasks=["tests.limited"])
        got = line.claimed + gates.pass_or_park(line.gated, worker=None)
        if not got and not line.gated:
            return claimed
        claimed += got


def let_pass(time: timedelta) -> None:
    # In two steps, so that no slice comes by the place of another.
    for step in (-AN_AGE, AN_AGE + time):
        RateCount.objects.update(expires_at=F("expires_at") - step, slice_at=F("slice_at") - step)


def parked() -> list[str]:
    found = Job.objects.filter(parked=True).order_by("priority", "seat")
    return list(found.values_list("payload__label", flat=True))


@pytest.mark.django_db
def test_no_more_than_the_rate_passes_and_the_rest_waits_without_spending_an_attempt() -> None:
    task = limited(Rate(limit=3, per=MINUTE))
    for number in range(5):
        task.enqueue(label=str(number))
    assert [job.payload["label"] for job in claim_all()] == ["0", "1", "2"]
    assert parked() == ["3", "4"]
    waiting = Job.objects.filter(parked=True)
    assert {(job.state, job.attempt, job.gate) for job in waiting} == {
        ("available", 0, "tests.limited/rate")
    }
    assert gates.let_through() == 0
    let_pass(timedelta(seconds=62))
    assert gates.let_through() == 2
    assert [job.payload["label"] for job in claim_all()] == ["3", "4"]
    entries = AuditEntry.objects.filter(subject_id=str(Job.objects.latest("id").id))
    assert list(entries.order_by("id").values_list("action", flat=True)) == [
        "job.enqueued", "job.parked", "job.admitted", "job.claimed",
    ]  # fmt: skip


@pytest.mark.django_db
def test_no_window_of_the_period_ever_sees_more_than_the_limit() -> None:
    task = limited(Rate(limit=4, per=MINUTE))
    for number in range(12):
        task.enqueue(label=str(number))
    passed = [len(claim_all())]
    for _ in range(60):
        let_pass(timedelta(seconds=3))
        gates.let_through()
        passed.append(len(claim_all()))
    assert sum(passed) == 12
    for begin in range(len(passed)):
        assert sum(passed[begin : begin + 20]) <= 4, "in any minute: 20 steps of 3 s"


@pytest.mark.django_db
def test_a_rate_by_a_key_holds_for_each_value_apart() -> None:
    task = limited(Rate(limit=1, per=MINUTE, by="to"))
    for to in ("ann@x.test", "ANN@x.test ", "bob@x.test"):
        task.enqueue(label=to, to=to)
    assert [job.payload["label"] for job in claim_all()] == ["ann@x.test", "bob@x.test"]
    assert parked() == ["ANN@x.test "], "the same person"
    assert "ann" not in Job.objects.get(parked=True).gate.lower(), "no address in a gate's name"


@pytest.mark.django_db
def test_one_tenant_that_is_limited_does_not_hold_up_another() -> None:
    task = limited(Rate(limit=2, per=MINUTE, by="tenant"))
    for tenant in ("a", "a", "a", "b"):
        task.using(tenant=tenant).enqueue(label=tenant)
    assert sorted(job.tenant for job in claim_all()) == ["a", "a", "b"]
    assert parked() == ["a"]


@pytest.mark.django_db
def test_a_critical_job_does_not_wait_for_a_rate_but_counts() -> None:
    task = limited(Rate(limit=1, per=MINUTE))
    task.enqueue(label="first")
    claim_all()
    task.using(priority=Priority.CRITICAL).enqueue(label="critical")
    task.enqueue(label="second")
    assert [job.payload["label"] for job in claim_all()] == ["critical"]
    assert sum(RateCount.objects.values_list("passed", flat=True)) == 2


@pytest.mark.django_db
def test_who_waits_at_a_gate_goes_on_by_priority_and_tenants_take_turns() -> None:
    task = limited(Rate(limit=1, per=MINUTE))
    task.enqueue(label="first")
    claim_all()
    for tenant in ("a", "a", "a", "b"):
        task.using(tenant=tenant).enqueue(label=tenant)
    task.using(priority=Priority.HIGH, tenant="c").enqueue(label="high")
    claim_all()
    order = []
    for _ in range(5):
        let_pass(timedelta(seconds=62))
        gates.let_through()
        order += [job.payload["label"] for job in claim_all()]
    assert order[0] == "high"
    assert sorted(order[1:3]) == ["a", "b"]
    assert order[3:] == ["a", "a"]


@pytest.mark.django_db
def test_at_most_the_limit_runs_at_the_same_time_and_an_end_lets_the_next_through() -> None:
    task = limited(Concurrency(limit=2, by="tenant"))
    for tenant in ("a", "a", "a", "b"):
        task.using(tenant=tenant).enqueue(label=tenant)
    running = claim_all()
    assert sorted(job.tenant for job in running) == ["a", "a", "b"]
    assert gates.let_through() == 0
    (ended,) = [job for job in running if job.tenant == "a"][:1]
    _settle(ended)
    assert gates.let_through(gates.concurrency_gates([ended])) == 1
    assert [job.tenant for job in claim_all()] == ["a"]


@pytest.mark.django_db
def test_gates_that_are_let_through_twice_before_a_claim_let_no_more_through() -> None:
    task = limited(Concurrency(limit=1))
    for number in range(5):
        task.enqueue(label=str(number))
    (running,) = claim_all()
    _settle(running)
    assert gates.let_through() == 1
    assert gates.let_through() == 0


@pytest.mark.django_db
def test_a_job_passes_all_of_its_gates_or_takes_room_at_none() -> None:
    task = limited(Rate(limit=5, per=MINUTE), Concurrency(limit=1))
    for number in range(3):
        task.enqueue(label=str(number))
    assert len(claim_all()) == 1
    assert sum(RateCount.objects.values_list("passed", flat=True)) == 1
    assert set(Job.objects.filter(parked=True).values_list("gate", flat=True)) == {
        "tests.limited/concurrency"
    }


@pytest.mark.django_db
def test_an_operator_changes_a_limit_at_run_time_and_takes_it_away() -> None:
    task = limited(Rate(limit=1, per=MINUTE))
    for number in range(6):
        task.enqueue(label=str(number))
    assert len(claim_all()) == 1
    operations.set_limit("tests.limited/rate", 3, actor="user:ann")
    gates.let_through()
    assert len(claim_all()) == 2
    operations.set_limit("tests.limited/rate", None, actor="user:ann")
    assert gates.let_through() == 3
    assert len(claim_all()) == 3
    entries = AuditEntry.objects.filter(subject_type="limit").order_by("id")
    assert [entry.detail for entry in entries] == [
        {"value": 3, "was": 1},
        {"value": None, "was": 3},
    ]


@pytest.mark.django_db
def test_a_limit_that_the_settings_switch_off_is_no_gate(conf: Callable[..., None]) -> None:
    task = limited(Rate(limit=1, per=MINUTE))
    conf(LIMITS={"tests.limited/rate": None})
    assert task.enqueue().gates is None
    conf(LIMITS={"tests.limited/rate": 7})
    assert task.enqueue().gates == ["tests.limited/rate"]


def test_gates_are_the_narrow_ones_first_and_only_of_what_a_job_has() -> None:
    email = (Rate(limit=100, per=MINUTE), Rate(limit=20, per=MINUTE, by="to"))
    pdf = (Concurrency(limit=2, by="tenant"),)
    found = gates_of([("pdf", pdf), ("email", email)], "acme", {"to": "a@x.test"})
    assert [gate.partition("=")[0] for gate in found] == [
        "pdf/concurrency/tenant", "email/rate/to", "email/rate",
    ]  # fmt: skip
    assert gates_of([("email", email)], "acme", {}) == ["email/rate"]


def test_a_limit_by_an_argument_that_the_task_lacks_is_refused_when_it_is_declared() -> None:
    with pytest.raises(TypeError, match="has no argument 'recipient'"):
        limited(Rate(limit=1, per=MINUTE, by="recipient"))


@pytest.mark.django_db(transaction=False)
def test_a_turn_parks_what_is_limited_and_runs_the_rest(conf: Callable[..., None]) -> None:
    conf(LIMITS={"email/rate": 2})
    for number in range(4):
        probe.using(queue="email").enqueue(label=str(number))
    assert len(list(take_turn("email", worker=None))) == 2
    assert ProbeRun.objects.count() == 2
    assert Attempt.objects.count() == 2
    assert Job.objects.filter(parked=True).count() == 2


@pytest.mark.processes
def test_claimers_at_the_same_moment_pass_no_more_than_the_limit(live: Live) -> None:
    task = limited(Rate(limit=10, per=timedelta(hours=1)), Concurrency(limit=7, by="tenant"))
    for number in range(40):
        task.using(tenant="a").enqueue(label=str(number))
    shares = at_once(*[partial(claim_all, 3)] * 6)
    assert len([job for share in shares for job in share]) == 7
    assert len(parked()) == 33


@pytest.mark.processes
def test_ends_and_arrivals_at_the_same_moment_leave_nobody_at_an_open_gate(live: Live) -> None:
    task = limited(Concurrency(limit=2))
    for number in range(30):
        task.enqueue(label=str(number))

    def work() -> int:
        done = 0
        for _ in range(200):
            line = transitions.claim_next("reports", 2, worker=None, tasks=["tests.limited"])
            jobs = line.claimed + gates.pass_or_park(line.gated, worker=None)
            for job in jobs:
                _settle(job)
                done += 1
            gates.let_through(gates.concurrency_gates(jobs) or None)
        return done

    assert sum(at_once(work, work, work)) == 30
    connection.close()


def _settle(job: Claimed) -> None:
    from jobs.records import Settlement
    from jobs.states import Move

    transitions.settle([Settlement(id=job.id, lease=job.lease, move=Move.SUCCEEDED)])


def _ids(jobs: list[Claimed]) -> list[UUID]:
    return [job.id for job in jobs]
