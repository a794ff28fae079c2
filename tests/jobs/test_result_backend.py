"""``AsyncResult(job.id)`` is right in every state of a job."""

from typing import Any

import pytest
from celery import current_app
from celery.exceptions import TaskRevokedError
from celery.result import AsyncResult
from django_celery_results.models import TaskResult

from jobs import job_task
from jobs.errors import Discard, InvalidPayload, PermanentError, RetryLater, UnknownTask
from jobs.states import Move, State
from jobs.tasks import probe
from jobs.testing import run_jobs
from tests.jobs.stages import claim, put_into, settle

pytestmark = pytest.mark.django_db


def result_of(job_id: Any) -> AsyncResult[Any]:
    return AsyncResult(str(job_id), app=current_app)


@pytest.mark.parametrize(
    ("state", "status", "ready"),
    [
        (State.SCHEDULED, "PENDING", False),
        (State.AVAILABLE, "PENDING", False),
        (State.QUEUED, "PENDING", False),
        (State.RUNNING, "STARTED", False),
        (State.SUCCEEDED, "SUCCESS", True),
        (State.CANCELLED, "REVOKED", True),
        (State.DEAD, "FAILURE", True),
    ],
)
def test_celery_s_status_is_that_of_the_row(state: State, status: str, ready: bool) -> None:
    result = result_of(put_into(state).id)
    assert (result.status, result.ready()) == (status, ready)
    assert (result.successful(), result.failed()) == (
        state == State.SUCCEEDED,
        state == State.DEAD,
    )
    assert (result.name, result.queue) == ("jobs.probe", "maintenance")
    assert (result.date_done is not None) is ready


def test_a_job_that_failed_and_waits_is_a_retry() -> None:
    job = probe.enqueue(label="x", fail_times=1)
    run_jobs()
    result = result_of(job.id)
    assert (result.status, result.ready(), result.retries) == ("RETRY", False, 1)
    assert "asked to fail" in str(result.result)
    run_jobs(retries=True)
    assert (result.status, result.result) == ("SUCCESS", None)


def test_the_result_is_what_the_body_returned() -> None:
    @job_task(name="tests.sum", queue="email")
    def add(*, left: int, right: int) -> dict[str, int]:
        return {"sum": left + right}

    result = add.delay(left=2, right=3)
    run_jobs()
    assert result.get(timeout=1) == {"sum": 5}


@pytest.mark.parametrize(
    ("name", "caught_as"),
    [
        ("ValueError", ValueError),
        ("PermanentError", PermanentError),
        ("InvalidPayload", InvalidPayload),
        ("UnknownTask", UnknownTask),
        ("RetryLater", RetryLater),
        ("Exception", Exception),
        ("UnicodeDecodeError", Exception),
        ("NoSuchInvoice", Exception),
    ],
)
def test_the_failure_of_a_dead_job_is_raised_to_who_asks(
    name: str, caught_as: type[Exception]
) -> None:
    claimed = claim(probe.enqueue(label="x").id)
    settle(claimed, Move.DIED, error_type=name, error="the invoice is gone")
    result = result_of(claimed.id)
    with pytest.raises(caught_as, match=r"^the invoice is gone$") as raised:
        result.get(timeout=1)
    assert type(raised.value).__name__ == name
    assert "the invoice is gone" in str(result.result)
    assert result.get(timeout=1, propagate=False) is not None


def test_a_cancelled_job_is_a_revoked_task() -> None:
    @job_task(name="tests.moot", queue="email")
    def moot() -> None:
        raise Discard("the order was withdrawn")

    job = moot.enqueue()
    run_jobs()
    assert "the order was withdrawn" in str(result_of(job.id).result)
    with pytest.raises(TaskRevokedError):
        result_of(put_into(State.CANCELLED).id).get(timeout=1)


@pytest.mark.parametrize("task_id", ["01a2003d-5fe2-76f2-81ab-8520a71158a1", "not-a-uuid"])
def test_what_is_no_job_is_pending_as_celery_has_it(task_id: str) -> None:
    assert result_of(task_id).status == "PENDING"
    assert result_of(task_id).result is None


def test_a_late_message_of_celery_changes_nothing() -> None:
    job = put_into(State.SUCCEEDED)
    before = list(TaskResult.objects.values())
    current_app.backend.store_result(str(job.id), "late", "FAILURE")
    current_app.backend.mark_as_started(str(job.id))
    assert list(TaskResult.objects.values()) == before
    assert result_of(job.id).status == "SUCCESS"


def test_what_flower_and_the_admin_list_is_written_by_the_settlement() -> None:
    job = probe.enqueue(label="x", fail_permanently=True)
    run_jobs()
    row: Any = TaskResult.objects.get(task_id=str(job.id))
    assert (row.status, row.task_name) == ("FAILURE", "jobs.probe")
    assert "asked to fail permanently" in row.result
    assert "Traceback" in (row.traceback or "")
    assert row.task_kwargs is None, "arguments stay in the job"
    assert row.date_started is not None
    assert row.date_done >= row.date_started
