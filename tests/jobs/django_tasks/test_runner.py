"""Running tasks of the Tasks API: outcomes, retries, context, signals."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import OperationalError, connection
from django.test import override_settings
from django_tasks import TaskResult, TaskResultStatus, default_task_backend
from django_tasks.base import Task
from django_tasks.signals import task_finished, task_started

from jobs import operations
from jobs.django_tasks import JobsBackend
from jobs.django_tasks.tasks import retry_django_task, run_django_task
from jobs.enqueue import enqueue_by_name
from jobs.errors import Discard, InvalidPayload, PermanentError, RetryLater
from jobs.models import Attempt, DeadLetter, Job
from jobs.queues import QUEUES
from jobs.states import Move
from jobs.testing import run_jobs
from tests.jobs.stages import claim, let_time_pass, settle
from tests.plugin import tasks as plugin

pytestmark = pytest.mark.django_db

OURS = {"BACKEND": "jobs.django_tasks.JobsBackend"}
RETRYING = {"default": {**OURS, "OPTIONS": {"retry": True}}}

Heard = list[tuple[str, Any, TaskResultStatus, int]]


@pytest.fixture
def retrying() -> Iterator[None]:
    """Have failed tasks tried again."""
    with override_settings(TASKS=RETRYING):
        yield


@pytest.fixture
def heard() -> Iterator[Heard]:
    """What is sent while tasks run: signal, sender, status and number of errors at that moment."""
    received: Heard = []

    def started(sender: Any, task_result: TaskResult[Any], **_: Any) -> None:
        received.append(("started", sender, task_result.status, len(task_result.errors)))

    def finished(sender: Any, task_result: TaskResult[Any], **_: Any) -> None:
        received.append(("finished", sender, task_result.status, len(task_result.errors)))

    task_started.connect(started)
    task_finished.connect(finished)
    yield received
    task_started.disconnect(started)
    task_finished.disconnect(finished)


def ran(result: TaskResult[Any], *, retries: bool = False) -> TaskResult[Any]:
    """Run what is due, and return the result as it is then."""
    run_jobs(retries=retries)
    return default_task_backend.get_result(result.id)


# --- outcomes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "returned"),
    [
        (lambda: plugin.do_nothing.enqueue(1, two=3), None),
        (lambda: plugin.do_nothing_async.enqueue(1, two=3), None),
        (lambda: plugin.add.enqueue(40, right=2), 42),
        (lambda: plugin.return_a_tuple.enqueue(), [1, "two", {"three": [3]}]),
    ],
)
def test_what_a_task_returns_is_its_result(
    call: Callable[[], TaskResult[Any]], returned: Any
) -> None:
    result = ran(call())
    assert (result.status, result.return_value) == (TaskResultStatus.SUCCESSFUL, returned)
    assert (result.attempts, result.errors) == (1, [])


def test_an_asynchronous_task_may_use_the_database() -> None:
    counted = ran(plugin.count_content_types.enqueue()).return_value
    assert counted == ContentType.objects.count()


@pytest.mark.parametrize(
    ("refusing", "kind", "text"),
    [
        (plugin.refuse, ValueError, "ValueError: The plugin refuses.\n"),
        (plugin.refuse_in_own_words, plugin.PluginError, "tests.plugin.tasks.PluginError: No.\n"),
        (
            plugin.refuse_with_an_error_about_an_error,
            ValueError,
            "ValueError: The plugin refuses.\n",
        ),
        (plugin.leave, SystemExit, "SystemExit: The plugin leaves.\n"),
    ],
)
def test_a_task_that_raises_has_failed_and_waits_for_a_person(
    refusing: Task[[], None], kind: type[BaseException], text: str
) -> None:
    result = ran(refusing.enqueue())
    assert (result.status, result.is_finished) == (TaskResultStatus.FAILED, True)
    with pytest.raises(ValueError, match="Task failed"):
        _ = result.return_value
    (error,) = result.errors
    assert error.exception_class is kind
    assert error.traceback.startswith("Traceback")
    assert error.traceback.endswith(text)
    assert result.enqueued_at is not None
    assert result.started_at is not None
    assert result.finished_at is not None
    assert result.enqueued_at <= result.started_at <= result.finished_at
    assert (result.task, result.args, result.kwargs) == (refusing, [], {})
    assert DeadLetter.objects.get(job_id=result.id).reason == "permanent"


def test_what_json_cannot_hold_is_no_result() -> None:
    result = ran(plugin.return_a_function.enqueue())
    assert result.status == TaskResultStatus.FAILED
    (error,) = result.errors
    assert error.exception_class is TypeError
    assert "Unsupported type" in error.traceback


def test_an_interruption_of_the_process_is_no_outcome() -> None:
    result = plugin.interrupt.enqueue()
    with pytest.raises(KeyboardInterrupt):
        run_jobs()
    result.refresh()
    assert (result.status, result.errors) == (TaskResultStatus.RUNNING, [])


def test_tasks_run_in_their_queue_and_leave_others_alone() -> None:
    operations.pause_queue("email", actor="user:ann")
    letter, other = plugin.write_letter.enqueue(), plugin.do_nothing.enqueue()
    assert ran(other).status == TaskResultStatus.SUCCESSFUL
    assert ran(letter).status == TaskResultStatus.READY
    operations.resume_queue("email", actor="user:ann")
    assert ran(letter).status == TaskResultStatus.SUCCESSFUL


def test_a_cancelled_task_has_failed_and_says_why() -> None:
    result = plugin.do_nothing.enqueue()
    operations.cancel(Job.objects.get().id, actor="user:ann")
    result.refresh()
    assert (result.status, result.attempts) == (TaskResultStatus.FAILED, 0)
    (error,) = result.errors
    assert error.exception_class_path == "jobs.errors.Cancelled"
    assert "cancelled while it waited" in error.traceback


# --- again, or not -------------------------------------------------------------------------------


@pytest.mark.usefixtures("retrying")
def test_with_retry_a_failed_task_is_ready_again_and_tells_what_happened() -> None:
    result = plugin.tell_context.enqueue(fail_before=3)
    waiting = ran(result)
    assert (waiting.status, waiting.is_finished) == (TaskResultStatus.READY, False)
    assert (waiting.attempts, waiting.finished_at) == (1, None)
    assert [error.exception_class for error in waiting.errors] == [plugin.PluginError]
    done = ran(result, retries=True)
    assert done.return_value == [3, "RUNNING", False, 2]
    assert (done.attempts, len(done.errors)) == (3, 2)
    assert done.started_at is not None
    assert done.last_attempted_at is not None
    assert done.started_at < done.last_attempted_at
    assert done.started_at == waiting.started_at


@pytest.mark.usefixtures("retrying")
def test_with_retry_a_task_fails_when_the_attempts_of_its_queue_are_used_up() -> None:
    result = ran(plugin.refuse.using(queue_name="email").enqueue(), retries=True)
    assert result.status == TaskResultStatus.FAILED
    assert result.attempts == len(result.errors) == QUEUES["email"].attempts
    assert DeadLetter.objects.get(job_id=result.id).reason == "exhausted"


def test_a_crash_of_the_worker_is_not_the_task_s_failure_and_it_runs_again() -> None:
    result = plugin.tell_context.enqueue()
    job = Job.objects.get()
    settle(claim(job.id), Move.CRASHED, error_type="WorkerLost", error="The job was taken back.")
    result.refresh()
    assert (result.status, result.attempts) == (TaskResultStatus.READY, 1)
    (error,) = result.errors
    assert error.exception_class_path == "celery.exceptions.WorkerLostError"
    assert issubclass(error.exception_class, Exception)
    assert error.traceback == "WorkerLost: The job was taken back.\n"
    assert ran(result, retries=True).return_value == [2, "RUNNING", False, 1]


def test_what_a_stopping_worker_gave_back_is_no_attempt() -> None:
    result = plugin.tell_context.enqueue()
    job = Job.objects.get()
    settle(claim(job.id), Move.RELEASED, error="its worker stopped")
    result.refresh()
    assert (result.status, result.attempts, result.started_at) == (TaskResultStatus.READY, 0, None)
    done = ran(result)
    assert done.return_value == [1, "RUNNING", False, 0]
    assert done.attempts == 1


@pytest.mark.parametrize(
    ("error", "status", "job_state"),
    [
        (RetryLater, TaskResultStatus.READY, "scheduled"),
        (Discard, TaskResultStatus.FAILED, "cancelled"),
        (PermanentError, TaskResultStatus.FAILED, "dead"),
    ],
)
@pytest.mark.parametrize("retry", [False, True])
def test_a_task_may_say_with_the_engine_s_errors_what_becomes_of_it(
    error: type[Exception], status: TaskResultStatus, job_state: str, retry: bool, heard: Heard
) -> None:
    with override_settings(TASKS=RETRYING if retry else {"default": OURS}):
        result = ran(plugin.refuse_with.enqueue(f"jobs.errors.{error.__name__}"))
    assert (result.status, Job.objects.get().state) == (status, job_state)
    failed = status == TaskResultStatus.FAILED
    assert [told.exception_class for told in result.errors] == ([error] if failed else [])
    assert [what for what, *_ in heard] == ["started", *(["finished"] if failed else [])]


def test_a_replay_is_a_task_of_its_own() -> None:
    dead = ran(plugin.refuse.enqueue())
    replay = operations.replay(Job.objects.get().id, actor="user:ann")
    result = ran(default_task_backend.get_result(str(replay.id)))
    assert (result.status, result.task) == (TaskResultStatus.FAILED, plugin.refuse)
    assert result.id != dead.id
    dead.refresh()
    assert dead.attempts == 1


# --- context -------------------------------------------------------------------------------------


def test_a_task_that_asks_for_its_context_gets_it() -> None:
    told = plugin.tell_id.enqueue()
    assert ran(told).return_value == told.id
    assert ran(plugin.tell_context.enqueue()).return_value == [1, "RUNNING", False, 0]


def test_workers_are_told_by_their_ids() -> None:
    result = ran(plugin.do_nothing.enqueue())
    (attempt,) = Attempt.objects.filter(job_id=result.id)
    assert attempt.worker is None
    assert result.worker_ids == ["none"]


# --- signals -------------------------------------------------------------------------------------


def test_start_and_success_are_told(heard: Heard) -> None:
    ran(plugin.do_nothing.enqueue())
    assert heard == [
        ("started", JobsBackend, TaskResultStatus.RUNNING, 0),
        ("finished", JobsBackend, TaskResultStatus.SUCCESSFUL, 0),
    ]


def test_start_and_failure_are_told(heard: Heard) -> None:
    ran(plugin.leave.enqueue())
    assert heard == [
        ("started", JobsBackend, TaskResultStatus.RUNNING, 0),
        ("finished", JobsBackend, TaskResultStatus.FAILED, 1),
    ]


@pytest.mark.usefixtures("retrying")
def test_each_start_is_told_and_the_end_once(heard: Heard) -> None:
    ran(plugin.tell_context.enqueue(fail_before=3), retries=True)
    assert heard == [
        ("started", JobsBackend, TaskResultStatus.RUNNING, 0),
        ("started", JobsBackend, TaskResultStatus.RUNNING, 1),
        ("started", JobsBackend, TaskResultStatus.RUNNING, 2),
        ("finished", JobsBackend, TaskResultStatus.SUCCESSFUL, 2),
    ]
    heard.clear()
    ran(plugin.refuse.enqueue(), retries=True)
    assert [what for what, *_ in heard] == ["started"] * 3 + ["finished"]
    assert heard[-1][2:] == (TaskResultStatus.FAILED, 3)


def test_a_listener_that_fails_does_not_fail_the_task() -> None:
    def fail(**_: Any) -> None:
        raise RuntimeError("The listener fails.")

    for signal in (task_started, task_finished):
        signal.connect(fail)
    try:
        assert ran(plugin.add.enqueue(1)).return_value == 2
    finally:
        for signal in (task_started, task_finished):
            signal.disconnect(fail)


def test_start_end_and_failure_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="django_tasks"):
        done = ran(plugin.do_nothing.enqueue())
        failed = ran(plugin.refuse.enqueue())
    told = [record for record in caplog.records if record.name == "django_tasks"]
    path = "path=tests.plugin.tasks"
    assert [record.getMessage() for record in told] == [
        f"Task id={done.id} {path}.do_nothing state=RUNNING",
        f"Task id={done.id} {path}.do_nothing state=SUCCESSFUL",
        f"Task id={failed.id} {path}.refuse state=RUNNING",
        f"Task id={failed.id} {path}.refuse state=FAILED",
    ]
    assert [record.levelname for record in told] == ["INFO", "INFO", "INFO", "ERROR"]
    assert "The plugin refuses." in str(told[-1].exc_info)


# --- by hand, and in vain ------------------------------------------------------------------------


def test_a_task_may_be_enqueued_by_its_path() -> None:
    job = enqueue_by_name(
        "jobs.run_django_task", {"path": "tests.plugin.tasks.write_letter"}, queue="pdf"
    )
    result = default_task_backend.get_result(str(job.id))
    assert (result.task, result.args, result.kwargs) == (plugin.write_letter, [], {})
    assert ran(result).status == TaskResultStatus.SUCCESSFUL


@pytest.mark.parametrize("path", ["subprocess.run", "os.system", "tests.plugin", "erp", "a..b", ""])
def test_nothing_outside_of_the_installed_apps_can_be_asked_for(path: str) -> None:
    with pytest.raises(
        InvalidPayload, match="path: expected the path of a task of an installed app"
    ):
        run_django_task.enqueue(path=path)


def test_what_is_no_task_is_never_called() -> None:
    for path in ("tests.plugin.tasks.not_a_task", "jobs.tasks.probe"):
        for carrier in (run_django_task, retry_django_task):
            job = carrier.enqueue(path=path)
            run_jobs()
            job.refresh_from_db()
            assert (job.state, job.error_type, job.attempt) == ("dead", "NoDjangoTask", 1)
            assert f"{path!r} is not a task" in job.error


def test_what_is_outside_of_an_app_s_modules_is_not_imported() -> None:
    job = run_django_task.enqueue(path="jobs.tasks.os.system")
    run_jobs()
    job.refresh_from_db()
    assert (job.state, job.error_type) == ("scheduled", "RetryLater")
    assert "'jobs.tasks.os.system' cannot be imported" in job.error


def test_a_task_that_is_not_there_is_looked_for_again_and_then_given_up(
    monkeypatch: pytest.MonkeyPatch, conf: Callable[..., None]
) -> None:
    conf(UNKNOWN_TASK_GRACE=timedelta(minutes=2))
    result = plugin.add.enqueue(1)
    job = Job.objects.get()
    with monkeypatch.context() as old_code:
        old_code.delattr(plugin, "add")
        run_jobs()
        job.refresh_from_db()
        assert (job.state, job.failures) == ("scheduled", 0)
    let_time_pass(job.id)
    assert ran(result).return_value == 2

    lost = plugin.add.enqueue(1)
    monkeypatch.delattr(plugin, "add")
    run_jobs(retries=True)
    job = Job.objects.get(id=lost.id)
    assert (job.state, job.error_type, job.attempt) == ("dead", "UnknownDjangoTask", 5)


def test_a_database_that_is_away_before_the_task_begins_is_not_its_failure() -> None:
    result = plugin.add.enqueue(1)

    def be_away(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("SELECT") and 'FROM "jobs_job"' in sql:
            raise OperationalError("the server closed the connection")
        return execute(sql, *rest)

    with connection.execute_wrapper(be_away), suppress(OperationalError):
        run_jobs()
    result.refresh()
    assert (result.status, result.errors) == (TaskResultStatus.READY, [])
    assert Job.objects.get().failures == 0
    assert ran(result, retries=True).return_value == 2


def test_what_was_accepted_runs_though_the_settings_have_changed() -> None:
    result = plugin.add.using(queue_name="pdf", priority=3).enqueue(1)
    with override_settings(TASKS={"default": OURS | {"QUEUES": ["default"]}}):
        assert ran(result).return_value == 2
    assert default_task_backend.get_result(result.id).task.queue_name == "pdf"
