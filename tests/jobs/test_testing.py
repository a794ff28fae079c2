"""The tools for those who write tasks."""

from datetime import timedelta

import pytest

from jobs import job_task
from jobs.effects import once
from jobs.errors import NotPossible
from jobs.models import Job
from jobs.task import JobTask
from jobs.tasks import probe
from jobs.testing import assert_enqueued, enqueued_jobs, run_jobs

pytestmark = pytest.mark.django_db


@pytest.fixture
def other() -> JobTask[..., None]:
    """A task of this test's own."""

    @job_task(name="tests.testing_other", queue="email")
    def task(*, tags: list[str] | None = None) -> None:
        """Do nothing."""

    return task


def test_waiting_jobs_are_listed_the_oldest_first_by_task_or_its_name(
    other: JobTask[..., None],
) -> None:
    first = probe.enqueue(label="first").id
    second = other.enqueue().id
    third = probe.using(delay=timedelta(hours=1)).enqueue(label="third").id
    assert [job.id for job in enqueued_jobs()] == [first, second, third]
    assert [job.id for job in enqueued_jobs(probe)] == [first, third]
    assert [job.id for job in enqueued_jobs("jobs.probe")] == [first, third]
    run_jobs()
    assert [job.id for job in enqueued_jobs()] == [third]


def test_the_one_job_that_fits_is_found_by_some_of_its_arguments(
    other: JobTask[..., None],
) -> None:
    probe.enqueue(label="a")
    wanted = probe.enqueue(label="b", sleep_ms=5)
    other.enqueue(tags=["x"])
    assert assert_enqueued(probe, label="b").id == wanted.id
    assert assert_enqueued("jobs.probe", sleep_ms=5).id == wanted.id
    assert assert_enqueued(other, tags=["x"]).task == "tests.testing_other"


def test_a_failed_assertion_lists_what_waits() -> None:
    with pytest.raises(AssertionError, match=r"found 0\. Waiting:\n  nothing"):
        assert_enqueued(probe, label="a")
    probe.enqueue(label="a")
    probe.enqueue(label="a")
    with pytest.raises(AssertionError, match=r"found 2\. Waiting:\n  jobs\.probe \{.*'label': 'a'"):
        assert_enqueued(probe, label="a")


def test_jobs_run_here_with_what_they_enqueue_and_come_back_as_they_ended() -> None:
    @job_task(name="tests.fan_out", queue="email")
    def fan_out() -> None:
        for label in ("a", "b"):
            probe.enqueue(label=label)

    parent = fan_out.enqueue()
    ran = run_jobs()
    assert [job.task for job in ran] == ["tests.fan_out", "jobs.probe", "jobs.probe"]
    assert ran[0].id == parent.id
    assert {job.state for job in ran} == {"succeeded"}
    assert run_jobs() == []


def test_what_is_for_later_waits_unless_retries_are_asked_for() -> None:
    later = probe.using(delay=timedelta(days=1)).enqueue(label="x")
    assert run_jobs() == []
    failing = probe.enqueue(label="y", fail_times=99)
    ran = run_jobs(retries=True)
    assert {job.id: job.state for job in ran} == {later.id: "succeeded", failing.id: "dead"}
    assert Job.objects.get(id=failing.id).attempt == 3


def test_effects_are_allowed_while_jobs_run_and_refused_again_afterwards() -> None:
    @job_task(name="tests.effective", queue="imports")
    def effective() -> str:
        return once("tests.effect", lambda: "sent")

    effective.enqueue()
    assert [job.result for job in run_jobs()] == ["sent"]
    with pytest.raises(NotPossible):
        once("tests.effect", lambda: "sent")
