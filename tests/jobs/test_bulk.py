"""Many at once: all or none, in their order, and run together where the task can."""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.db import transaction
from pydantic import SecretStr

from jobs import job_task
from jobs.breaker import breaker
from jobs.context import current_context, job_context
from jobs.errors import InvalidPayload, PayloadTooLarge
from jobs.executor import take_turn
from jobs.models import Attempt, AuditEntry, Job, Priority
from jobs.pace import pace
from jobs.payload import unseal
from jobs.task import JobTask
from jobs.tasks import probe
from jobs.testing import run_jobs
from tests.jobs.stages import everything_about

pytestmark = pytest.mark.django_db

QUEUE = "reports"
Callbacks = Any  # pytest-django's django_capture_on_commit_callbacks

HOSTILE = [
    "\\",
    "\\N",
    "a\tb",
    "a\nb\r",
    "é ü 漢字 🦆",
    '"quoted"',
    "\\u0041",
    "x\\\\ny",
    "' OR 1=1",
]


def test_the_rows_are_those_that_enqueueing_one_by_one_makes() -> None:
    options = probe.using(queue="email", priority=Priority.HIGH, tenant="acme").options
    (many,) = probe.enqueue_many([{"label": "x", "sleep_ms": 5}], options)
    one = probe.using(queue="email", priority=Priority.HIGH, tenant="acme").enqueue(
        label="x", sleep_ms=5
    )

    def told(job_id: object) -> dict[str, Any]:
        about = everything_about(job_id)  # type: ignore[arg-type]
        (job,) = about["job"]
        changing = {"id", "correlation_id", "seat"}
        times = {name for name in job if name.endswith("_at")}
        same = {name: job[name] for name in job if name not in changing | times}
        entries = AuditEntry.objects.filter(subject_id=str(job_id))
        return same | {"audit": list(entries.values("actor", "action", "tenant", "detail"))}

    assert told(many) == told(one.id)
    assert [Job.objects.get(id=id_).seat for id_ in (many, one.id)] == [0, 1]


@pytest.mark.parametrize("label", HOSTILE)
def test_a_text_arrives_as_it_was_given(label: str) -> None:
    (id_,) = probe.enqueue_many([{"label": label}], probe.using(tenant=label).options)
    job = Job.objects.get(id=id_)
    assert (job.payload["label"], job.tenant) == (label, label)


def test_one_bad_call_among_many_is_named_by_its_place_and_nothing_is_inserted() -> None:
    calls = [{"label": "x"}] * 5 + [{"label": 7}] + [{"label": "x"}]
    with pytest.raises(InvalidPayload) as refused:
        probe.enqueue_many(calls)
    assert list(refused.value.problems) == ["5.label"]
    big = _taking_text()
    with pytest.raises(PayloadTooLarge, match=r"1\.label"):
        big.enqueue_many([{"label": "x"}, {"label": "x" * 70_000}])
    assert not Job.objects.exists()
    assert not AuditEntry.objects.exists()


def test_a_bad_call_behind_thousands_that_went_in_takes_them_back_and_the_caller_s_work_stays() -> (
    None
):
    kept = probe.enqueue(label="before")
    calls = ({"label": 7 if number == 2_300 else "x"} for number in range(2_500))
    with transaction.atomic():
        with pytest.raises(InvalidPayload) as refused:
            probe.enqueue_many(calls)
        assert Job.objects.get() == kept
    assert list(refused.value.problems) == ["2300.label"]
    assert AuditEntry.objects.count() == 1


def test_calls_may_ask_the_database_while_others_go_in() -> None:
    calls = ({"label": str(Job.objects.count())} for _ in range(2_001))
    probe.enqueue_many(calls)
    told = set(Job.objects.values_list("payload__label", flat=True))
    assert told == {"0", "2000"}
    seats = Job.objects.order_by("id").values_list("seat", flat=True)
    assert list(seats) == list(range(2_001))


def _taking_text() -> JobTask[..., Any]:
    @job_task(name="tests.text", queue=QUEUE)
    def text(*, label: str) -> None:
        pass

    return text


def test_none_is_nothing() -> None:
    assert probe.enqueue_many([]) == []
    assert probe.enqueue_many(iter(())) == []


def test_calls_may_come_from_a_generator_and_for_later() -> None:
    options = probe.using(delay=timedelta(hours=1), expires=timedelta(hours=2)).options
    ids = probe.enqueue_many(({"label": str(number)} for number in range(2_500)), options)
    assert len(set(ids)) == 2_500
    jobs = Job.objects.all()
    assert {job.state for job in jobs} == {"scheduled"}
    assert {(job.expires_at - job.scheduled_at) for job in jobs if job.expires_at} == {
        timedelta(hours=1)
    }


def test_secrets_are_sealed_each_for_itself() -> None:
    @job_task(name="tests.secretive", queue=QUEUE)
    def secretive(*, name: str, password: SecretStr) -> None:
        pass

    ids = secretive.enqueue_many(
        [{"name": word, "password": SecretStr(word)} for word in ("marlin", "swordfish")]
    )
    for id_, word in zip(ids, ("marlin", "swordfish"), strict=True):
        job = Job.objects.get(id=id_)
        assert word not in job.payload["password"]
        values, _ = unseal(
            secretive.definition.arguments, job.task, job.payload, bytes(job.secrets or b"")
        )
        assert values["password"].get_secret_value() == word


def test_each_has_the_gates_of_its_own_arguments() -> None:
    @job_task(name="tests.letter", queue="email")
    def letter(*, to: str) -> None:
        pass

    letter.enqueue_many([{"to": "a@x.test"}, {"to": "b@x.test"}, {"to": "a@x.test"}])
    first, second, third = Job.objects.order_by("seat").values_list("gates", flat=True)
    assert first == third != second


def test_few_messages_are_sent_and_only_after_the_commit(
    broker: redis.Redis, django_capture_on_commit_callbacks: Callbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        ids = probe.enqueue_many([{"label": "x"}] * 300, probe.using(queue=QUEUE).options)
        assert broker.llen(QUEUE) == 0
    assert broker.llen(QUEUE) == 64
    sent = [json.loads(raw)["headers"]["id"] for raw in broker.lrange(QUEUE, 0, -1)]
    assert set(sent) <= {str(id_) for id_ in ids}


def test_while_the_broker_is_down_they_wait_for_the_drain() -> None:
    breaker.trip()
    probe.enqueue_many([{"label": "x"}] * 3)
    assert set(Job.objects.values_list("state", "dispatch")) == {("available", 0)}


# --- bulk bodies ---------------------------------------------------------------------------------


def summing(*, atomic: bool = False, seen: list[Any]) -> JobTask[..., Any]:
    @job_task(name="tests.summing", queue=QUEUE, atomic=atomic)
    def add(*, a: int, b: int = 1) -> int:
        seen.append("one")
        if a < 0:
            raise ValueError("negative")
        return a + b

    @add.bulk
    def add_many(calls: list[dict[str, Any]]) -> list[int]:
        seen.append(len(calls))
        if any(call["a"] < 0 for call in calls):
            raise ValueError("negative")
        return [call["a"] + call["b"] for call in calls]

    return add


@pytest.fixture
def chunks_of_ten() -> None:
    pace._sizes[QUEUE] = 10


def results() -> list[Any]:
    return list(Job.objects.order_by("seat").values_list("result", flat=True))


@pytest.mark.usefixtures("chunks_of_ten")
@pytest.mark.parametrize("atomic", [True, False])
def test_a_bulk_body_runs_a_chunk_in_one_call_and_each_job_gets_its_result(atomic: bool) -> None:
    seen: list[Any] = []
    task = summing(atomic=atomic, seen=seen)
    task.enqueue_many([{"a": number} for number in range(6)])
    assert len(list(take_turn(QUEUE, worker=None))) == 6
    assert seen == [6]
    assert results() == [1, 2, 3, 4, 5, 6]
    assert set(Attempt.objects.values_list("number", "outcome")) == {(1, "succeeded")}


@pytest.mark.usefixtures("chunks_of_ten")
@pytest.mark.parametrize("atomic", [True, False])
def test_when_a_bulk_body_raises_its_jobs_run_one_by_one_and_none_pays_for_another(
    atomic: bool,
) -> None:
    seen: list[Any] = []
    task = summing(atomic=atomic, seen=seen)
    task.enqueue_many([{"a": number} for number in (1, -1, 2)])
    list(take_turn(QUEUE, worker=None))
    assert seen == [3, "one", "one", "one"]
    assert results() == [2, None, 3]
    assert [job.failures for job in Job.objects.order_by("seat")] == [0, 1, 0]


@pytest.mark.usefixtures("chunks_of_ten")
def test_a_bulk_body_that_was_cancelled_leaves_its_jobs_to_their_own_attempts() -> None:
    seen: list[Any] = []
    task = summing(seen=seen)

    @task.bulk
    def cancelled(calls: list[dict[str, Any]]) -> list[int]:
        raise asyncio.CancelledError

    task.enqueue_many([{"a": 1}, {"a": 2}])
    list(take_turn(QUEUE, worker=None))
    assert results() == [2, 3]


@pytest.mark.usefixtures("chunks_of_ten")
def test_a_bulk_body_that_returns_too_few_results_is_not_believed() -> None:
    seen: list[Any] = []
    task = summing(seen=seen)

    @task.bulk
    def short(calls: list[dict[str, Any]]) -> list[int]:
        return [1]

    task.enqueue_many([{"a": 1}, {"a": 2}])
    list(take_turn(QUEUE, worker=None))
    assert results() == [2, 3]


def test_without_a_chunk_the_ordinary_body_runs(conf: Callable[..., None]) -> None:
    seen: list[Any] = []
    summing(seen=seen).enqueue(a=1)
    run_jobs()
    assert seen == ["one"]


@pytest.mark.usefixtures("chunks_of_ten")
def test_a_bulk_body_runs_for_the_tenant_and_the_correlation_that_its_jobs_share() -> None:
    seen: list[tuple[str, str]] = []

    @job_task(name="tests.shared", queue=QUEUE)
    def shared(*, number: int) -> None:
        pass

    @shared.bulk
    def all_of_them(calls: list[dict[str, Any]]) -> None:
        context = current_context()
        seen.append((context.tenant, context.correlation_id))

    with job_context(correlation_id="c-1"):
        shared.enqueue_many([{"number": 1}, {"number": 2}], shared.using(tenant="acme").options)
        list(take_turn(QUEUE, worker=None))
        shared.enqueue_many([{"number": 3}], shared.using(tenant="acme").options)
        shared.enqueue_many([{"number": 4}], shared.using(tenant="globex").options)
    list(take_turn(QUEUE, worker=None))
    assert seen == [("acme", "c-1"), ("", "c-1")]
