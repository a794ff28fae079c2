"""Declaring and enqueueing tasks of the Tasks API: what its own suite asks of a backend."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from asgiref.sync import async_to_sync
from django.core.checks import run_checks
from django.test import override_settings
from django.utils import timezone
from django.utils.module_loading import import_string
from django_tasks import TaskResultStatus, default_task_backend, task, task_backends
from django_tasks.backends.immediate import ImmediateBackend
from django_tasks.base import Task
from django_tasks.exceptions import (
    InvalidTaskBackendError,
    InvalidTaskError,
    TaskResultDoesNotExist,
    TaskResultMismatch,
)
from django_tasks.signals import task_enqueued
from pytest_django import DjangoAssertNumQueries

from jobs.django_tasks import JobsBackend
from jobs.errors import InvalidPayload, PayloadTooLarge
from jobs.models import Job, Priority
from jobs.tasks import probe
from jobs.testing import run_jobs
from tests.jobs.stages import and_undo
from tests.plugin import tasks as plugin

OURS = "jobs.django_tasks.JobsBackend"
LATER = datetime(2031, 1, 1, tzinfo=UTC)


@contextmanager
def backends(**params: Any) -> Iterator[None]:
    """Set ``TASKS`` to our backend with these parameters, and an immediate one beside it."""
    immediate = {"BACKEND": "django_tasks.backends.immediate.ImmediateBackend", "QUEUES": []}
    ours = {"BACKEND": OURS, **params}
    with override_settings(TASKS={"default": ours, "immediate": immediate}):
        yield


# --- declaring -----------------------------------------------------------------------------------


def test_tasks_of_other_apps_are_ours_by_default() -> None:
    backend = task_backends["default"]
    assert default_task_backend == backend
    assert isinstance(backend, JobsBackend)
    assert backend.alias == "default"
    assert (backend.supports_defer, backend.supports_priority) == (True, True)
    assert (backend.supports_async_task, backend.supports_get_result) == (True, True)
    assert plugin.add.get_backend() is backend


def test_the_decorator_makes_a_task_of_a_function_with_or_without_parentheses() -> None:
    for declared in (plugin.do_nothing, plugin.do_nothing_bare, plugin.do_nothing_async):
        assert isinstance(declared, Task)
    assert plugin.add.name == "add"
    assert plugin.add.module_path == "tests.plugin.tasks.add"
    assert import_string(plugin.add.module_path) is plugin.add
    asked = plugin.write_letter
    assert (asked.queue_name, asked.priority, asked.run_after) == ("email", -5, None)


def test_a_task_may_be_called_without_a_job() -> None:
    assert plugin.add.call(40, right=2) == 42
    assert async_to_sync(plugin.add.acall)(40, 2) == 42
    assert plugin.do_nothing_async.call() is None
    assert async_to_sync(plugin.do_nothing_async.acall)() is None


def test_only_functions_of_a_module_can_be_tasks() -> None:
    def local() -> None: ...

    for unfit in (any, local, lambda: None, threading.Thread):
        with pytest.raises(InvalidTaskError, match="must be defined at a module level"):
            task()(unfit)


def test_a_task_that_takes_the_context_must_have_an_argument_for_it() -> None:
    with pytest.raises(InvalidTaskError, match="a first argument of 'context'"):
        task(takes_context=True)(plugin.add.func)  # type: ignore[arg-type] # that is the point


def test_options_make_a_new_task_and_leave_the_declared_one_alone() -> None:
    later = plugin.do_nothing.using(run_after=LATER)
    both = later.using(priority=10)
    assert (both.run_after, both.priority) == (LATER, 10)
    assert later.priority == plugin.do_nothing.priority == 0
    assert plugin.do_nothing.run_after is None
    assert plugin.do_nothing.using(queue_name="pdf").queue_name == "pdf"
    assert plugin.do_nothing.queue_name == "default"
    same = plugin.do_nothing.using()
    assert same == plugin.do_nothing
    assert same is not plugin.do_nothing


def test_another_backend_may_be_named_and_must_exist() -> None:
    with backends():
        assert isinstance(plugin.add.using(backend="immediate").get_backend(), ImmediateBackend)
        with pytest.raises(InvalidTaskBackendError, match="'elsewhere' doesn't exist"):
            plugin.add.using(backend="elsewhere")
    with (
        override_settings(TASKS={"default": {"BACKEND": "no.such.Backend"}}),
        pytest.raises(InvalidTaskBackendError, match=r"Could not find backend 'no\.such"),
    ):
        plugin.add.using()
    with override_settings(TASKS={}), pytest.raises(InvalidTaskBackendError):
        plugin.add.enqueue(1)


@pytest.mark.parametrize("priority", [-101, 101, 3.1])
def test_a_priority_is_a_whole_number_from_minus_100_to_100(priority: Any) -> None:
    with pytest.raises(InvalidTaskError, match="whole number between -100 and 100"):
        plugin.do_nothing.using(priority=priority)
    for fit in (-100, 0, 100):
        assert plugin.do_nothing.using(priority=fit).priority == fit


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidTaskError, match="run_after must be an aware datetime"):
        plugin.do_nothing.using(run_after=datetime(2031, 1, 1))


# --- queues --------------------------------------------------------------------------------------


def test_an_unknown_queue_is_refused_with_the_nearest_name() -> None:
    wanted = r"Queue 'emial' is not valid for backend. Did you mean 'email'\?"
    with pytest.raises(InvalidTaskError, match=wanted):
        plugin.do_nothing.using(queue_name="emial")
    with pytest.raises(InvalidTaskError, match=r"Queue 'xyzzy' is not valid for backend.$"):
        task(queue_name="xyzzy")(plugin.add.func)


@pytest.mark.django_db
def test_queues_of_theirs_run_in_lanes_of_ours() -> None:
    letters = {"letters": "email", "default": "reports"}
    with backends(OPTIONS={"queues": letters}):
        results = [
            plugin.do_nothing.using(queue_name=name).enqueue()
            for name in ("letters", "default", "pdf")
        ]
    assert [Job.objects.get(id=result.id).queue for result in results] == [
        "email",
        "reports",
        "pdf",
    ]
    assert [result.task.queue_name for result in results] == ["letters", "default", "pdf"]


def test_queues_may_be_restricted_to_some() -> None:
    with backends(QUEUES=["default", "email"]):
        assert plugin.do_nothing.using(queue_name="email").queue_name == "email"
        with pytest.raises(InvalidTaskError, match="Queue 'pdf' is not valid for backend"):
            plugin.do_nothing.using(queue_name="pdf")
    with backends(QUEUES=[]):  # the API's word for: any, and ours must have a lane for it
        assert plugin.do_nothing.using(queue_name="pdf").queue_name == "pdf"
        with pytest.raises(InvalidTaskError):
            plugin.do_nothing.using(queue_name="xyzzy")


@pytest.mark.django_db
def test_a_task_is_checked_again_when_it_is_enqueued() -> None:
    asked = plugin.do_nothing.using(queue_name="pdf")
    with backends(QUEUES=["default"]):
        for enqueue in (asked.enqueue, async_to_sync(asked.aenqueue)):
            with pytest.raises(InvalidTaskError, match="Queue 'pdf' is not valid for backend"):
                enqueue()
    assert not Job.objects.exists()


# --- enqueueing ----------------------------------------------------------------------------------


@contextmanager
def announced() -> Iterator[list[tuple[Any, Any]]]:
    """Collect who sent ``task_enqueued``, and the results that were sent."""
    received: list[tuple[Any, Any]] = []

    def note(sender: Any, task_result: Any, **_: Any) -> None:
        received.append((sender, task_result))

    task_enqueued.connect(note)
    try:
        yield received
    finally:
        task_enqueued.disconnect(note)


@pytest.mark.django_db
@pytest.mark.parametrize("declared", [plugin.do_nothing, plugin.do_nothing_async])
@pytest.mark.parametrize("asynchronously", [False, True])
def test_an_enqueued_task_is_a_job_and_a_result_to_come(
    declared: Task[..., None],
    asynchronously: bool,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    enqueue = async_to_sync(declared.aenqueue) if asynchronously else declared.enqueue
    with announced() as received, django_assert_num_queries(1):
        result = enqueue(1, two=3)
    assert received == [(JobsBackend, result)]
    assert UUID(result.id).version == 7
    assert (result.status, result.is_finished) == (TaskResultStatus.READY, False)
    assert (result.started_at, result.last_attempted_at, result.finished_at) == (None, None, None)
    assert (result.task, result.args, result.kwargs) == (declared, [1], {"two": 3})
    assert (result.attempts, result.errors, result.backend) == (0, [], "default")
    assert result.enqueued_at is not None
    with pytest.raises(ValueError, match="Task has not finished yet"):
        _ = result.return_value
    job = Job.objects.get(id=result.id)
    assert (job.task, job.queue, job.state) == ("jobs.run_django_task", "maintenance", "queued")
    assert job.priority == Priority.NORMAL
    assert job.payload["path"] == declared.module_path


@pytest.mark.django_db
def test_arguments_are_turned_into_json() -> None:
    result = plugin.echo.enqueue((1, b"two"), {"three": (None, 4.0)}, five=[True])
    assert result.args == [[1, "two"], {"three": [None, 4.0]}]
    assert plugin.echo.get_result(result.id).args == result.args
    run_jobs()
    result.refresh()
    assert result.return_value == [result.args, {"five": [True]}]


@pytest.mark.django_db
def test_arguments_that_no_job_can_keep_are_refused() -> None:
    for enqueue in (plugin.echo.enqueue, async_to_sync(plugin.echo.aenqueue)):
        with pytest.raises(TypeError, match="Unsupported type"):
            enqueue(timezone.now())
    with pytest.raises(ValueError, match="Unsupported value"):
        plugin.echo.enqueue(b"\xff")
    with pytest.raises(InvalidPayload):
        plugin.echo.enqueue(float("nan"))
    with pytest.raises(PayloadTooLarge):
        plugin.echo.enqueue("x" * 100_000)
    assert not Job.objects.exists()


@pytest.mark.django_db
def test_a_task_that_workers_could_not_find_is_refused() -> None:
    with pytest.raises(InvalidTaskError, match=r"'tests.plugin.tasks._hidden' is not a task"):
        plugin.misnamed.enqueue()
    elsewhere = task()(_of_no_app)
    with pytest.raises(InvalidTaskError, match="in no app of INSTALLED_APPS"):
        elsewhere.enqueue()
    assert not Job.objects.exists()


def _of_no_app() -> None: ...


@pytest.mark.django_db
def test_another_task_of_the_same_path_is_refused() -> None:
    def impostor() -> None: ...

    impostor.__module__, impostor.__qualname__ = plugin.add.func.__module__, "add"
    with pytest.raises(InvalidTaskError, match="is another task"):
        task()(impostor).enqueue()


@pytest.mark.django_db
def test_a_deferred_task_waits_for_its_time() -> None:
    result = plugin.do_nothing.using(run_after=LATER).enqueue()
    job = Job.objects.get(id=result.id)
    assert (job.state, job.scheduled_at) == ("scheduled", LATER)
    assert plugin.do_nothing.get_result(result.id).task.run_after == LATER
    assert run_jobs() == []
    past = plugin.do_nothing.using(run_after=timezone.now() - timedelta(hours=2)).enqueue()
    assert [str(job.id) for job in run_jobs()] == [past.id]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("priority", "expected"),
    [
        (100, Priority.CRITICAL),
        (50, Priority.CRITICAL),
        (49, Priority.HIGH),
        (1, Priority.HIGH),
        (0, Priority.NORMAL),
        (-1, Priority.LOW),
        (-100, Priority.LOW),
    ],
)
def test_priorities_become_the_four_of_the_engine(priority: int, expected: Priority) -> None:
    result = plugin.do_nothing.using(priority=priority).enqueue()
    assert Job.objects.get(id=result.id).priority == expected
    assert plugin.do_nothing.get_result(result.id).task.priority == priority


@pytest.mark.django_db
def test_higher_priorities_run_first() -> None:
    asked = [-10, 0, 90, 10]
    ids = {plugin.do_nothing.using(priority=value).enqueue().id: value for value in asked}
    assert [ids[str(job.id)] for job in run_jobs()] == [90, 10, 0, -10]


@pytest.mark.django_db
def test_a_rolled_back_task_never_was() -> None:
    and_undo(plugin.do_nothing.enqueue)
    assert not Job.objects.exists()


@pytest.mark.django_db
def test_who_listens_cannot_fail_who_enqueues() -> None:
    def fail(**_: Any) -> None:
        raise RuntimeError("The listener fails.")

    task_enqueued.connect(fail)
    try:
        result = plugin.do_nothing.enqueue()
    finally:
        task_enqueued.disconnect(fail)
    assert Job.objects.filter(id=result.id).exists()


@pytest.mark.django_db
def test_enqueueing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", logger="django_tasks"):
        result = plugin.do_nothing.enqueue()
    (record,) = [record for record in caplog.records if record.name == "django_tasks"]
    assert "enqueued" in record.getMessage()
    assert result.id in record.getMessage()


# --- results -------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_result_is_found_by_its_id_in_one_query(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    options: list[dict[str, Any]] = [
        {},
        {"priority": 7, "queue_name": "pdf", "run_after": LATER},
    ]
    for option in options:
        result = plugin.echo.using(**option).enqueue(1, two=[3])
        with django_assert_num_queries(1):
            assert default_task_backend.get_result(result.id) == result
        assert plugin.echo.get_result(result.id) == result
        assert async_to_sync(default_task_backend.aget_result)(result.id) == result
        assert async_to_sync(plugin.echo.aget_result)(result.id) == result


@pytest.mark.django_db
@pytest.mark.parametrize("result_id", [str(uuid4()), "123", ""])
def test_a_result_that_is_not_there_is_an_error(result_id: str) -> None:
    with pytest.raises(TaskResultDoesNotExist):
        default_task_backend.get_result(result_id)
    with pytest.raises(TaskResultDoesNotExist):
        async_to_sync(default_task_backend.aget_result)(result_id)


@pytest.mark.django_db
def test_jobs_of_the_engine_s_own_tasks_are_no_results() -> None:
    job = probe.enqueue(label="x")
    with pytest.raises(TaskResultDoesNotExist):
        default_task_backend.get_result(str(job.id))


@pytest.mark.django_db
def test_the_result_of_another_task_does_not_match() -> None:
    result = plugin.do_nothing.enqueue()
    with pytest.raises(TaskResultMismatch, match="Task does not match"):
        plugin.add.get_result(result.id)
    with pytest.raises(TaskResultMismatch, match="Task does not match"):
        async_to_sync(plugin.add.aget_result)(result.id)


@pytest.mark.django_db
@pytest.mark.parametrize("asynchronously", [False, True])
def test_a_result_is_as_it_was_until_it_is_refreshed(asynchronously: bool) -> None:
    result = plugin.add.enqueue(40, right=2)
    before = plugin.add.get_result(result.id)
    result.refresh()
    assert result == before
    run_jobs()
    assert result == before
    async_to_sync(result.arefresh)() if asynchronously else result.refresh()
    assert (result.status, result.is_finished) == (TaskResultStatus.SUCCESSFUL, True)
    assert (result.return_value, result.attempts) == (42, 1)
    assert result.enqueued_at is not None
    assert result.started_at is not None
    assert result.finished_at is not None
    assert result.enqueued_at <= result.started_at <= result.finished_at
    assert result.last_attempted_at == result.started_at


# --- settings ------------------------------------------------------------------------------------


def problems() -> list[str]:
    return [message.msg for message in run_checks() if message.id == "jobs.E003"]


def test_the_settings_of_this_project_are_in_order() -> None:
    assert list(default_task_backend.check()) == []
    assert problems() == []


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"OPTIONS": {"retires": True}}, "no option 'retires'. Did you mean 'retry'?"),
        ({"OPTIONS": {"retry": "yes"}}, "the option 'retry' must be a bool."),
        ({"OPTIONS": {"queues": ["email"]}}, "the option 'queues' must be a dict."),
        ({"OPTIONS": {"queues": {"mail": "emial"}}}, "no queue. Did you mean 'email'?"),
        ({"QUEUES": ["default", "letters"]}, "the queue 'letters' has no lane"),
    ],
)
def test_settings_that_cannot_be_are_named_by_the_check(
    params: dict[str, Any], problem: str
) -> None:
    with backends(**params):
        (found,) = problems()
    assert found.startswith("TASKS['default']: ")
    assert problem in found
