"""Whose turn it is: priorities, fair turns, ageing, and what is left to others."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.db.models.functions import Now

from jobs import operations, transitions
from jobs.models import Job, Priority
from jobs.records import Claimed
from jobs.sql import fetch
from jobs.states import State
from jobs.task import registry
from jobs.tasks import probe
from tests.conftest import Live
from tests.jobs.stages import at_once, put_into

QUEUE = "reports"  # has no limits


def next_ones(limit: int = 100, *, queue: str = QUEUE) -> list[Claimed]:
    return transitions.claim_next(queue, limit, worker=None, tasks=sorted(registry())).claimed


def labels(jobs: list[Claimed]) -> list[str]:
    return [job.payload["label"] for job in jobs]


def put(label: str, *, tenant: str = "", priority: Priority | None = None) -> UUID:
    return probe.using(queue=QUEUE, tenant=tenant, priority=priority).enqueue(label=label).id


@pytest.mark.django_db
def test_jobs_of_a_queue_are_claimed_in_the_order_in_which_they_came() -> None:
    for label in "abc":
        put(label)
    assert labels(next_ones(2)) == ["a", "b"]
    assert labels(next_ones()) == ["c"]
    assert next_ones() == []


@pytest.mark.django_db
def test_a_critical_job_overtakes_ten_thousand_normal_ones() -> None:
    probe.using(queue=QUEUE).task.enqueue_many(
        [{"label": "normal"}] * 10_000, probe.using(queue=QUEUE).options
    )
    put("critical", priority=Priority.CRITICAL)
    assert labels(next_ones(2)) == ["critical", "normal"]


@pytest.mark.django_db
def test_classes_go_by_their_priority_and_in_each_by_their_turn() -> None:
    for priority in (Priority.LOW, Priority.NORMAL, Priority.HIGH, Priority.CRITICAL):
        for number in (1, 2):
            put(f"{priority.label} {number}", priority=priority)
    assert labels(next_ones()) == [
        "critical 1", "critical 2", "high 1", "high 2", "normal 1", "normal 2", "low 1", "low 2",
    ]  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize("ahead", [1, 7])
def test_a_tenant_with_many_jobs_does_not_delay_another_with_a_few(ahead: int) -> None:
    options = probe.using(queue=QUEUE, tenant="large").options
    probe.enqueue_many([{"label": "large"}] * 1_000, options)
    assert labels(next_ones(ahead)) == ["large"] * ahead
    for _ in range(10):
        put("small", tenant="small")
    # They take turns from where the line was: the ten are through after twenty more.
    assert labels(next_ones(22)).count("small") == 10


@pytest.mark.django_db
def test_three_tenants_take_turns_however_they_enqueue() -> None:
    for tenant in ("a", "a", "a", "b", "b", "b", "c", "c", "c"):
        put(tenant, tenant=tenant)
    turns = labels(next_ones())
    assert [sorted(turns[number : number + 3]) for number in (0, 3, 6)] == [["a", "b", "c"]] * 3


@pytest.mark.django_db
def test_jobs_that_become_due_together_take_turns_too() -> None:
    later = timedelta(hours=1)
    options = probe.using(queue=QUEUE, tenant="large", delay=later).options
    probe.enqueue_many([{"label": "large"}] * 50, options)
    for _ in range(5):
        probe.using(queue=QUEUE, tenant="small", delay=later).enqueue(label="small")
    Job.objects.update(scheduled_at=Now() - timedelta(seconds=1))
    assert next_ones() == [], "not before the stager puts them in line"
    assert len(transitions.stage(100)) == 55
    assert labels(next_ones(11)).count("small") == 5


@pytest.mark.django_db
def test_a_low_job_that_waited_long_comes_before_a_new_normal_one_but_not_before_a_critical_one(
    conf: Callable[..., None],
) -> None:
    conf(AGEING=timedelta(minutes=10))
    low = put("low", priority=Priority.LOW)
    put("high", priority=Priority.HIGH)
    put("normal")
    put("critical", priority=Priority.CRITICAL)

    def order(waited: timedelta) -> list[str]:
        Job.objects.filter(id=low).update(scheduled_at=Now() - waited)
        with connection.cursor() as cursor:
            cursor.execute("SAVEPOINT before")
            found = labels([job for _ in range(4) for job in next_ones(1)])
            cursor.execute("ROLLBACK TO SAVEPOINT before")
        return found

    assert order(timedelta(minutes=9)) == ["critical", "high", "normal", "low"]
    assert order(timedelta(minutes=11)) == ["critical", "high", "low", "normal"]
    assert order(timedelta(minutes=21)) == ["critical", "low", "high", "normal"]
    assert order(timedelta(days=9)) == ["critical", "low", "high", "normal"]


@pytest.mark.django_db
def test_a_job_of_a_task_that_this_release_does_not_know_is_left_in_line() -> None:
    unknown = put("of tomorrow")
    Job.objects.filter(id=unknown).update(task="reports.of_tomorrow")
    put("of today")
    assert labels(next_ones()) == ["of today"]
    assert Job.objects.get(id=unknown).state == "queued"


@pytest.mark.django_db
def test_an_expired_job_is_not_claimed_and_ends_as_cancelled() -> None:
    late = probe.using(queue=QUEUE, expires=timedelta(hours=1)).enqueue(label="late").id
    put("in time")
    assert transitions.expire(10) == []
    Job.objects.filter(id=late).update(expires_at=Now() - timedelta(seconds=1))
    assert labels(next_ones()) == ["in time"]
    assert transitions.claim([late], worker=None) == []
    assert len(transitions.expire(10)) == 1
    kept = Job.objects.get(id=late)
    assert (kept.state, kept.error_type, kept.attempt) == ("cancelled", "Expired", 0)


@pytest.mark.django_db
def test_nothing_of_a_paused_queue_or_of_another_or_for_later_is_next() -> None:
    put("held")
    probe.using(queue="maintenance").enqueue(label="elsewhere")
    probe.using(queue=QUEUE, delay=timedelta(hours=1)).enqueue(label="later")
    operations.pause_queue(QUEUE, actor="user:ann")
    assert next_ones() == []
    operations.resume_queue(QUEUE, actor="user:ann")
    assert labels(next_ones()) == ["held"]


@pytest.mark.django_db
def test_a_claim_tells_whether_more_is_due() -> None:
    def more(limit: int) -> bool:
        return transitions.claim_next(QUEUE, limit, worker=None, tasks=["jobs.probe"]).more

    for label in "abcd":
        put(label)
    assert more(1)
    assert not more(3)
    put("normal")
    put("low", priority=Priority.LOW)
    assert more(1), "in another class"


@pytest.mark.django_db
def test_what_is_released_keeps_its_place() -> None:
    job = put_into(State.AVAILABLE)  # released by a worker that stopped
    Job.objects.filter(id=job.id).update(queue=QUEUE)
    put("came later")
    assert next_ones(1)[0].id == job.id


@pytest.mark.processes
def test_claimers_at_the_same_moment_share_the_line_without_waiting(live: Live) -> None:
    probe.enqueue_many([{"label": "x"}] * 200, probe.using(queue=QUEUE).options)
    shares = at_once(*[partial(_until_empty, 7)] * 6)
    claimed = [job.id for share in shares for job in share]
    assert len(claimed) == len(set(claimed)) == 200


def _until_empty(limit: int) -> list[Claimed]:
    return list(_claims(limit))


def _claims(limit: int) -> Iterator[Claimed]:
    while jobs := next_ones(limit):
        yield from jobs


@pytest.mark.django_db
def test_a_claim_reads_the_index_of_the_line_whatever_is_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    probe.enqueue_many([{"label": "x"}] * 3_000, probe.using(queue=QUEUE).options)
    fetch("SELECT 1 FROM set_config('enable_seqscan', 'off', true)")
    plans: list[str] = []

    def explain(sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        plans.extend(row[0] for row in fetch(f"EXPLAIN (ANALYZE, BUFFERS) {sql}", values))
        return []

    monkeypatch.setattr("jobs.transitions.fetch", explain)
    transitions.claim_next(QUEUE, 1, worker=uuid4(), tasks=["jobs.probe"])
    plan = "\n".join(plans)
    assert "jobs_job_due" in plan
    assert "Seq Scan on jobs_job" not in plan
    assert "rows=3000" not in plan


@pytest.mark.django_db
def test_a_job_that_was_hastened_does_not_pull_the_line_back() -> None:
    probe.enqueue_many([{"label": "a"}] * 60, probe.using(queue=QUEUE, tenant="a").options)
    next_ones(50)
    late = probe.using(queue=QUEUE, tenant="z", delay=timedelta(hours=1)).enqueue(label="z")
    operations.hasten(late.id, actor="user:ann")
    probe.enqueue_many([{"label": "b"}] * 60, probe.using(queue=QUEUE, tenant="b").options)
    turns = labels(next_ones(21))
    assert turns.count("z") == 1
    assert turns.count("a") == turns.count("b") == 10


@pytest.mark.django_db
def test_a_job_that_becomes_due_beside_unpublished_ones_is_seated_right_behind_them() -> None:
    unpublished = [put("a", tenant="a") for _ in range(5)]
    transitions.unpublish(unpublished)
    late = probe.using(queue=QUEUE, tenant="a", delay=timedelta(hours=1)).enqueue(label="a").id
    Job.objects.filter(id=late).update(scheduled_at=Now() - timedelta(seconds=1))
    for _ in range(12):
        put("b", tenant="b")
    transitions.stage(100)
    assert labels(next_ones(12)).count("a") == 6
