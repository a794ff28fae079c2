"""Declaring tasks, and Celery's own ways of calling them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from celery import current_app, group
from celery.exceptions import Ignore
from pydantic import SecretStr

from jobs import Priority, Step, job_task
from jobs.errors import EnqueueError, InvalidPayload, UnknownQueue, UnknownTask
from jobs.executor import JobFailed
from jobs.models import Job
from jobs.queues import QUEUES, Backoff
from jobs.running import current_job
from jobs.states import State
from jobs.task import get_task, registry
from jobs.tasks import probe
from jobs.testing import run_jobs
from tests.jobs.stages import put_into

# --- declaring -----------------------------------------------------------------------------------


def test_a_declared_task_is_found_by_its_name_and_described_by_its_docstring() -> None:
    @job_task(name="tests.look", queue="email", priority=Priority.HIGH)
    def look(*, far: bool = False) -> None:
        """Look around.

        Twice.
        """

    assert get_task("tests.look") == look
    assert current_app.tasks["tests.look"].name == "tests.look"
    assert look.definition.description == "Look around.\n\nTwice."
    assert (look.definition.priority, look.definition.atomic) == (Priority.HIGH, False)


def test_what_a_task_does_not_say_its_queue_says() -> None:
    @job_task(name="tests.plain", queue="email")
    def plain() -> None: ...

    @job_task(
        name="tests.own",
        queue="email",
        attempts=9,
        backoff=Backoff(base=timedelta(seconds=1)),
        hard_time_limit=timedelta(seconds=7),
    )
    def own() -> None: ...

    lane = QUEUES["email"]
    limits = plain.definition.limits_on("email")
    assert (limits.attempts, limits.backoff) == (lane.attempts, lane.backoff)
    assert limits.hard_time_limit == lane.hard_time_limit
    assert plain.definition.limits_on("imports").attempts == QUEUES["imports"].attempts
    limits = own.definition.limits_on("imports")
    assert (limits.attempts, limits.backoff.base) == (9, timedelta(seconds=1))
    assert limits.hard_time_limit == timedelta(seconds=7)
    assert limits.soft_time_limit == QUEUES["imports"].soft_time_limit


def _nameless(number: int, /) -> None: ...
def _unannotated(*, number) -> None: ...  # type: ignore[no-untyped-def]
def _collecting(*numbers: int) -> None: ...
def _open(**numbers: int) -> None: ...


@pytest.mark.parametrize("function", [_nameless, _unannotated, _collecting, _open])
def test_a_parameter_without_a_name_or_an_annotation_is_refused(function: Any) -> None:
    with pytest.raises(TypeError, match=r"tests\.bad: parameter 'numbers?' must have a name"):
        job_task(name="tests.bad", queue="email")(function)
    assert "tests.bad" not in registry()


def test_a_second_task_of_the_same_name_is_refused_and_the_first_stays() -> None:
    @job_task(name="tests.twin", queue="email")
    def first() -> None: ...

    def second() -> None: ...

    with pytest.raises(TypeError, match=r"two tasks are called 'tests\.twin'"):
        job_task(name="tests.twin", queue="pdf")(second)
    assert get_task("tests.twin") == first


def test_an_unknown_queue_or_task_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(UnknownQueue, match=r"Unknown queue 'emial'. Did you mean 'email'?"):
        job_task(name="tests.lost", queue="emial")
    with pytest.raises(UnknownTask, match=r"Unknown task 'jobs.prob'. Did you mean 'jobs.probe'?"):
        get_task("jobs.prob")
    with pytest.raises(UnknownTask, match=r"Unknown task 'xyzzy'.$"):
        get_task("xyzzy")


# --- calling, as Celery does ---------------------------------------------------------------------


def test_a_direct_call_runs_the_body_as_any_function_and_makes_no_job() -> None:
    @job_task(name="tests.double", queue="email")
    def double(*, number: int) -> int:
        return 2 * number

    assert double(number=4) == 8


@pytest.mark.django_db
def test_delay_makes_a_durable_job_whose_id_is_the_task_id() -> None:
    result = probe.delay(label="delayed")
    job = Job.objects.get(id=UUID(result.id))
    assert (job.task, job.payload["label"], job.queue) == ("jobs.probe", "delayed", "maintenance")
    statuses = [result.status]
    run_jobs()
    assert [*statuses, result.status] == ["PENDING", "SUCCESS"]


@pytest.mark.django_db
def test_countdown_and_eta_become_times_of_the_row() -> None:
    soon = Job.objects.get(id=probe.apply_async(kwargs={"label": "x"}, countdown=90).id)
    assert soon.state == "scheduled"
    assert soon.scheduled_at - soon.enqueued_at == timedelta(seconds=90)
    eta = datetime(2031, 1, 1, tzinfo=UTC)
    later = Job.objects.get(id=probe.apply_async(kwargs={"label": "x"}, eta=eta).id)
    assert (later.state, later.scheduled_at) == ("scheduled", eta)
    now = Job.objects.get(id=probe.apply_async(kwargs={"label": "x"}, countdown=0).id)
    assert now.state == "queued"
    past = datetime(2001, 1, 1, tzinfo=UTC)
    overdue = Job.objects.get(id=probe.apply_async(kwargs={"label": "x"}, eta=past).id)
    assert overdue.state == "queued"


@pytest.mark.django_db
def test_the_task_id_and_the_queue_may_be_given_and_an_id_is_used_once() -> None:
    task_id = str(uuid4())
    result = probe.apply_async(kwargs={"label": "x"}, task_id=task_id, queue="email")
    assert result.id == task_id
    assert Job.objects.get(id=task_id).queue == "email"
    with pytest.raises(InvalidPayload, match="task_id: there is a job"):
        probe.apply_async(kwargs={"label": "x"}, task_id=task_id)


@pytest.mark.django_db
def test_positional_arguments_are_refused_everywhere() -> None:
    task: Any = probe
    calls: list[Callable[[], object]] = [
        lambda: task.apply_async(("x",)),
        lambda: task.delay("x"),
        lambda: task.s("x").delay(),
        lambda: task.enqueue("x", label="x"),
        lambda: task.using(queue="email").enqueue("x", label="x"),
        lambda: task.step("x", label="x"),
    ]
    for call in calls:
        with pytest.raises(EnqueueError, match="keyword arguments only"):
            call()
    assert not Job.objects.exists()


@pytest.mark.django_db
def test_bad_arguments_are_refused_by_celery_s_ways_too() -> None:
    with pytest.raises(InvalidPayload, match="lable: unknown argument"):
        probe.delay(lable="x")
    with pytest.raises(InvalidPayload, match="label: required"):
        probe.apply_async()
    with pytest.raises(InvalidPayload, match="run_at: expected a time with a zone"):
        probe.apply_async(kwargs={"label": "x"}, eta=datetime(2031, 1, 1))
    assert not Job.objects.exists()


@pytest.mark.django_db
def test_signatures_and_groups_make_durable_jobs() -> None:
    probe.s(label="one").delay()
    probe.si(label="two").set(queue="email").apply_async(countdown=60)
    group(probe.s(label="three"), probe.s(label="four")).apply_async()
    assert set(Job.objects.values_list("payload__label", "queue", "state")) == {
        ("one", "maintenance", "queued"),
        ("two", "email", "scheduled"),
        ("three", "maintenance", "queued"),
        ("four", "maintenance", "queued"),
    }


@pytest.mark.django_db
def test_what_is_given_by_position_is_kept_by_name() -> None:
    @job_task(name="tests.positions", queue="email")
    def positions(first: int, second: int = 2, *, third: int = 3) -> None: ...

    for job in (
        positions.enqueue(7),
        positions.using(queue="pdf").enqueue(7, second=2),
        Job.objects.get(id=positions.delay(7, 2, third=3).id),
        Job.objects.get(id=positions.apply_async((7, 2)).id),
    ):
        assert job.payload == {"first": 7, "second": 2, "third": 3}
    with pytest.raises(InvalidPayload, match="first: given by position and by name"):
        positions.delay(7, first=8)
    with pytest.raises(InvalidPayload, match="at most 2 by position, but 3 are given"):
        positions.delay(7, 8, 9)


@pytest.mark.django_db
def test_a_step_is_checked_when_it_is_made_and_takes_no_secrets() -> None:
    @job_task(name="tests.secretive", queue="email")
    def secretive(*, token: SecretStr) -> None: ...

    assert probe.step(label="x").payload["label"] == "x"
    assert isinstance(probe.step(label="x"), Step)
    with pytest.raises(InvalidPayload):
        probe.step(label="")
    with pytest.raises(EnqueueError, match="takes secrets"):
        secretive.step(token=SecretStr("t"))


# --- the worker's side ---------------------------------------------------------------------------


def receive(task: Any, job_id: UUID) -> None:
    """Do what a Celery worker does with a message: call the task in a request of its own."""
    task.push_request(id=str(job_id), called_directly=False)
    try:
        task()
    finally:
        task.pop_request()


@pytest.mark.django_db
def test_a_message_carries_its_job_and_its_duplicate_is_ignored() -> None:
    job = put_into(State.QUEUED)
    receive(probe, job.id)
    assert job.state == State.SUCCEEDED
    with pytest.raises(Ignore):
        receive(probe, job.id)
    with pytest.raises(Ignore):
        receive(probe, uuid4())
    assert Job.objects.get(id=job.id).attempt == 1


@pytest.mark.django_db
def test_celery_is_told_of_a_death_without_its_reason() -> None:
    job = probe.enqueue(label="x", fail_permanently=True)
    with pytest.raises(JobFailed) as told:
        receive(probe, job.id)
    assert str(told.value) == f"PermanentError; see job {job.id}"


@pytest.mark.django_db
def test_a_body_may_call_its_own_task_and_others_directly() -> None:
    @job_task(name="tests.factorial", queue="email")
    def factorial(*, number: int) -> int:
        running = current_job()
        assert running is not None
        return 1 if number < 2 else number * int(factorial(number=number - 1))

    job = factorial.enqueue(number=5)
    receive(factorial, job.id)
    assert Job.objects.get(id=job.id).result == 120
    assert Job.objects.count() == 1


@pytest.mark.django_db
def test_send_task_makes_a_durable_job_too() -> None:
    current_app.send_task("jobs.probe", kwargs={"label": "sent"}, queue="email")
    job = Job.objects.get()
    assert (job.payload["label"], job.queue, job.state) == ("sent", "email", "queued")
    with pytest.raises(UnknownTask):
        current_app.send_task("jobs.prob", kwargs={"label": "sent"})
