"""Everything about one job."""

import uuid

import pytest

from jobs import audit, selectors
from jobs.models import Job
from jobs.states import State
from tests.jobs.records import make_attempt, make_dead_letter, make_job, make_worker

pytestmark = pytest.mark.django_db


def test_a_job_comes_with_its_attempts_in_order_and_who_ran_them() -> None:
    worker = make_worker("email")
    job = make_job(State.SCHEDULED)
    make_attempt(job, number=2)
    make_attempt(job, number=1, worker=worker.id, pid=7)
    detail = selectors.job_detail(job.id)
    assert [item.attempt.number for item in detail.attempts] == [1, 2]
    assert detail.attempts[0].worker == "worker-1:7"
    assert detail.attempts[0].seconds == pytest.approx(2, abs=0.1)


def test_its_audit_entries_are_those_of_the_job_alone_oldest_first() -> None:
    job = make_job()
    for subject, kind in ((job.id, "job"), (uuid.uuid4(), "job"), (job.id, "sales.invoice")):
        audit.record(action="x.done", subject_type=kind, subject_id=str(subject), actor="user:ann")
    assert [entry.subject_id for entry in selectors.job_detail(job.id).audit] == [str(job.id)]


def test_its_relatives_are_found_both_ways() -> None:
    letter = make_dead_letter(correlation_id="r1")
    replay = make_job(replay_of=letter.job, correlation_id="r1")
    child = make_job(enqueued_by=f"job:{replay.id}", correlation_id="r1")
    assert selectors.job_detail(letter.job_id).replays == [replay]
    detail = selectors.job_detail(replay.id)
    assert detail.replay_of == letter.job
    assert detail.same_correlation == [child, letter.job]
    assert selectors.job_detail(child.id).parent == replay


@pytest.mark.parametrize("enqueued_by", ["job:nonsense", f"job:{uuid.uuid4()}", "user:ann", ""])
def test_a_parent_that_is_gone_is_left_out(enqueued_by: str) -> None:
    assert selectors.job_detail(make_job(enqueued_by=enqueued_by).id).parent is None


@pytest.mark.parametrize("job_id", [str(uuid.uuid4()), "nonsense", ""])
def test_a_job_that_does_not_exist_is_said_so(job_id: str) -> None:
    with pytest.raises(Job.DoesNotExist):
        selectors.job_detail(job_id)
