"""Unique jobs: one of a kind, and who asks for another gets the first one."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import transaction
from django.db.models.functions import Now
from pydantic import SecretStr

from jobs import job_task, operations, transitions
from jobs.definition import Unique
from jobs.models import Job
from jobs.task import JobTask
from jobs.tasks import probe
from jobs.testing import run_jobs
from tests.conftest import Live
from tests.jobs.stages import and_undo, at_once

HOUR = timedelta(hours=1)


def rebuild(unique: Unique) -> JobTask[..., None]:
    @job_task(name="tests.rebuild", queue="reports", unique=unique)
    def task(*, report: int, note: str = "", fail: bool = False) -> None:
        if fail:
            raise ValueError

    return task


@pytest.mark.django_db
def test_while_one_is_unfinished_another_like_it_is_that_one() -> None:
    task = rebuild(Unique(by=("report",)))
    first = task.enqueue(report=1, note="a")
    second = task.enqueue(report=1, note="b")
    assert (second.id, second.is_twin, first.is_twin) == (first.id, True, False)
    assert second.payload["note"] == "a", "it is the job that is there"
    assert task.enqueue(report=2).id != first.id
    assert Job.objects.count() == 2
    transitions.claim([first.id], worker=None)
    assert task.enqueue(report=1).id == first.id, "a running job is unfinished"


@pytest.mark.django_db
def test_when_it_is_finished_another_may_come() -> None:
    task = rebuild(Unique())
    first = task.enqueue(report=1)
    run_jobs()
    second = task.enqueue(report=1)
    assert second.id != first.id
    operations.cancel(second.id, actor="user:ann")
    assert task.enqueue(report=1).id != second.id


@pytest.mark.django_db
def test_a_job_that_waits_for_its_retry_is_unfinished() -> None:
    task = rebuild(Unique())
    first = task.enqueue(report=1, fail=True)
    run_jobs()
    assert Job.objects.get(id=first.id).state == "scheduled"
    assert task.enqueue(report=1, fail=True).id == first.id


@pytest.mark.django_db
def test_for_a_period_a_finished_one_counts_too() -> None:
    task = rebuild(Unique(period=HOUR))
    first = task.enqueue(report=1)
    run_jobs()
    assert task.enqueue(report=1).id == first.id
    Job.objects.update(enqueued_at=Now() - timedelta(minutes=61))
    assert task.enqueue(report=1).id != first.id


@pytest.mark.django_db
def test_tenants_tasks_and_all_arguments_tell_jobs_apart() -> None:
    task = rebuild(Unique())
    ids = {
        task.using(tenant=tenant).enqueue(report=report).id
        for tenant in ("a", "b")
        for report in (1, 2)
    }
    assert len(ids) == 4


@pytest.mark.django_db
def test_one_call_may_be_unique_though_its_task_is_not() -> None:
    unique = Unique(by=("label",))
    first = probe.using(unique=unique).enqueue(label="x")
    assert probe.using(unique=unique).enqueue(label="x", sleep_ms=5).id == first.id
    assert probe.enqueue(label="x").id != first.id


@pytest.mark.django_db
def test_secrets_tell_jobs_apart_and_cannot_be_guessed_from_the_key() -> None:
    @job_task(name="tests.secretive", queue="reports", unique=Unique())
    def secretive(*, password: SecretStr) -> None:
        pass

    for unique in (None, Unique(by=("password",), period=HOUR)):
        bound = secretive.using(unique=unique)
        one, two = (bound.enqueue(password=SecretStr(word)) for word in ("swordfish", "marlin"))
        assert one.id != two.id
        assert bound.enqueue(password=SecretStr("marlin")).id == two.id


@pytest.mark.django_db
def test_an_enqueueing_that_is_rolled_back_leaves_room_for_another() -> None:
    task = rebuild(Unique(period=HOUR))
    and_undo(lambda: task.enqueue(report=1))
    assert not task.enqueue(report=1).is_twin


@pytest.mark.django_db
def test_many_at_once_are_unique_among_themselves_too() -> None:
    task = rebuild(Unique(by=("report",)))
    ids = task.enqueue_many([{"report": number % 3} for number in range(9)])
    assert len(set(ids)) == 3 == Job.objects.count()


def test_uniqueness_by_an_argument_that_the_task_lacks_is_refused_when_it_is_declared() -> None:
    with pytest.raises(TypeError, match="has no argument 'raport'"):
        rebuild(Unique(by=("raport",)))


@pytest.mark.parametrize(
    "given",
    [
        {"by": "report"},
        {"by": (1,)},
        {"by": 1},
        {"period": timedelta(0)},
        {"period": timedelta(hours=-1)},
        {"period": 60},
    ],
)
def test_what_makes_nothing_unique_is_refused_when_it_is_declared(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=f"Unique: {next(iter(given))} is a "):
        Unique(**given)


@pytest.mark.processes
@pytest.mark.parametrize("unique", [Unique(), Unique(period=HOUR)])
def test_of_transactions_at_the_same_moment_one_inserts_and_the_others_get_its_job(
    live: Live, unique: Unique
) -> None:
    task = rebuild(unique)

    def enqueue() -> tuple[object, bool]:
        with transaction.atomic():
            job = task.enqueue(report=1)
            return job.id, job.is_twin

    answers = at_once(*[partial(enqueue)] * 8)
    assert len({id_ for id_, _ in answers}) == 1
    assert sorted(twin for _, twin in answers) == [False] + [True] * 7
