"""Jobs by filter, page by page."""

from uuid import UUID

import pytest

from jobs import selectors
from jobs.models import Job
from jobs.selectors import BadCursor, JobFilter
from jobs.states import State
from tests.jobs.records import ago, make_job

pytestmark = pytest.mark.django_db


def found(**wanted: object) -> list[Job]:
    return selectors.list_jobs(JobFilter(**wanted)).items  # type: ignore[arg-type]


def test_the_newest_job_comes_first() -> None:
    jobs = [make_job() for _ in range(3)]
    assert found() == jobs[::-1]


@pytest.mark.parametrize(
    ("wanted", "fields"),
    [
        ({"queue": "pdf"}, {"queue": "pdf"}),
        ({"task": "documents.render"}, {"task": "documents.render"}),
        ({"states": ("dead", "succeeded")}, {"state": State.SUCCEEDED}),
        ({"tenant": "acme"}, {"tenant": "acme"}),
        ({"text": "request-7"}, {"correlation_id": "request-7"}),
        ({"since": ago(hours=-1)}, {"enqueued_at": ago(hours=-2)}),
        ({"until": ago(hours=1)}, {"enqueued_at": ago(hours=2)}),
    ],
)
def test_each_field_of_the_filter_restricts(
    wanted: dict[str, object], fields: dict[str, object]
) -> None:
    make_job()
    state = fields.pop("state", State.QUEUED)
    job = make_job(state, **fields)  # type: ignore[arg-type]
    assert found(**wanted) == [job]


@pytest.mark.parametrize("length", [36, 30, 23])
def test_a_job_is_found_by_its_id_and_by_how_its_id_begins(length: int) -> None:
    make_job(id=UUID("01980000-0000-7000-8000-000000000001"))
    job = make_job(id=UUID("0198aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee"))
    assert found(text=str(job.id)[:length].upper()) == [job]


def test_text_that_is_no_id_finds_nothing_and_breaks_nothing() -> None:
    make_job()
    for text in ("%", "'; DROP TABLE jobs_job; --", "é" * 64, "abc"):
        assert found(text=text) == []


def test_pages_meet_without_gap_or_overlap_in_both_directions() -> None:
    jobs = [make_job() for _ in range(7)][::-1]
    wanted = JobFilter()
    first = selectors.list_jobs(wanted, limit=3)
    assert (first.items, first.newer) == (jobs[:3], None)
    second = selectors.list_jobs(wanted, limit=3, before=first.older or "")
    assert second.items == jobs[3:6]
    third = selectors.list_jobs(wanted, limit=3, before=second.older or "")
    assert (third.items, third.older) == (jobs[6:], None)
    back = selectors.list_jobs(wanted, limit=3, after=third.newer or "")
    assert back.items == jobs[3:6]
    start = selectors.list_jobs(wanted, limit=3, after=back.newer or "")
    assert (start.items, start.newer) == (jobs[:3], None)


def test_a_page_stays_where_it_was_while_jobs_come_in() -> None:
    jobs = [make_job() for _ in range(4)][::-1]
    older = selectors.list_jobs(JobFilter(), limit=2).older or ""
    make_job()
    assert selectors.list_jobs(JobFilter(), limit=2, before=older).items == jobs[2:]


@pytest.mark.parametrize("cursor", ["x", "1~2", "0198aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee~"])
def test_a_made_up_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(BadCursor):
        selectors.list_jobs(JobFilter(), before=cursor)
