"""Jobs by filter, page by page."""

import json
import random
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection

from jobs import selectors
from jobs.models import Job
from jobs.selectors import BadCursor, JobFilter, job_list
from jobs.states import FINAL, State
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


QUEUES, TENANTS = ("email", "pdf"), ("", "acme", "Zebra")

FILTERS = [
    JobFilter(),
    JobFilter(tenant="acme"),
    JobFilter(tenant="Zebra", queue="pdf"),
    JobFilter(tenant="acme", states=(State.QUEUED, State.DEAD)),
    JobFilter(tenant="acme", states=(State.SCHEDULED,)),
    JobFilter(tenant="acme", states=(State.RUNNING,)),
    JobFilter(tenant="acme", states=tuple(FINAL)),
    JobFilter(states=(State.QUEUED,)),
    JobFilter(states=(State.QUEUED, State.AVAILABLE, State.RUNNING, State.SCHEDULED)),
    JobFilter(states=(State.SCHEDULED, State.SUCCEEDED), queue="email"),
]


def fits(job: Job, wanted: JobFilter) -> bool:
    return (
        job.queue in (wanted.queue or QUEUES)
        and job.tenant in ((wanted.tenant,) if wanted.tenant else TENANTS)
        and job.state in (wanted.states or State.values)
    )


@pytest.mark.parametrize("most", [2_000, 3])
def test_pages_of_every_filter_have_each_job_once_in_both_directions(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_list, "_MOST", most)
    chance = random.Random(7)
    jobs = [
        make_job(
            chance.choice(list(State)),
            queue=chance.choice(QUEUES),
            tenant=chance.choice(TENANTS),
            seat=chance.randrange(50),
            scheduled_at=ago(seconds=chance.randrange(50)),
        )
        for _ in range(120)
    ][::-1]
    for wanted in FILTERS:
        expected = [job for job in jobs if fits(job, wanted)]
        assert expected
        page = selectors.list_jobs(wanted, limit=3)
        seen = list(page.items)
        while page.older:
            page = selectors.list_jobs(wanted, limit=3, before=page.older)
            seen += page.items
        assert seen == expected
        back = list(page.items)
        while page.newer:
            page = selectors.list_jobs(wanted, limit=3, after=page.newer)
            back[:0] = page.items
        assert back == expected


@pytest.mark.parametrize("wanted", [{"queue": "a\0"}, {"tenant": "a\0"}, {"states": ("lost",)}])
def test_a_filter_that_nothing_can_fit_finds_nothing(wanted: dict[str, Any]) -> None:
    make_job(tenant="acme")
    assert found(**({"tenant": "acme"} | wanted)) == []


def put_in(number: int, tenant: str, state: State = State.SUCCEEDED) -> list[Job]:
    final = {"finished_at": ago(seconds=1)} if state in FINAL else {}
    return Job.objects.bulk_create(
        Job(
            task="jobs.probe",
            queue="email",
            tenant=tenant,
            state=state,
            max_attempts=3,
            timeout=60,
            **final,
        )
        for _ in range(number)
    )


def analyze() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE jobs_job")


def rows_read(list_them: Callable[[], object]) -> int:
    """Count the rows that PostgreSQL reads for it, those that it passes by included."""
    asked: list[tuple[str, Any]] = []

    def keep(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        asked.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(keep):
        list_them()

    def count(plan: dict[str, Any]) -> int:
        below: int = sum(count(part) for part in plan.get("Plans", []))
        if "Relation Name" not in plan:
            return below
        passed = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
        once = sum(float(plan.get(name, 0)) for name in passed)
        return below + round(once * float(plan["Actual Loops"]))

    read = 0
    with connection.cursor() as cursor:
        # As it is where the table is large.
        cursor.execute("SET LOCAL enable_seqscan = off")
        for sql, params in asked:
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", params)
            (told,) = cursor.fetchone()
            read += count((json.loads(told) if isinstance(told, str) else told)[0]["Plan"])
    return read


@pytest.mark.parametrize("states", [(), (State.SUCCEEDED,)])
def test_a_tenant_s_jobs_are_found_behind_any_number_of_others_whatever_statistics_say(
    states: tuple[str, ...],
) -> None:
    own = put_in(400, "small")[::-1]
    analyze()  # as if every job were of this tenant
    put_in(1_500, "big")
    wanted = JobFilter(tenant="small", states=states)
    first = selectors.list_jobs(wanted)
    assert first.items == own[:50]
    assert rows_read(lambda: selectors.list_jobs(wanted)) < 200
    deep = selectors.list_jobs(wanted, before=str(own[299].id))
    assert deep.items == own[300:350]
    assert rows_read(lambda: selectors.list_jobs(wanted, before=str(own[299].id))) < 200
    assert rows_read(lambda: selectors.list_jobs(wanted, after=str(own[299].id))) < 200
    assert rows_read(lambda: selectors.list_jobs(JobFilter(tenant="nobody"))) < 200


def test_a_tenant_s_jobs_that_wait_and_run_are_found_behind_any_number_of_others() -> None:
    waiting = put_in(20, "small", State.QUEUED)
    later = put_in(20, "small", State.SCHEDULED)
    running = [make_job(State.RUNNING, tenant="small", worker=uuid4()) for _ in range(3)]
    analyze()
    put_in(1_500, "big", State.QUEUED)
    wanted = JobFilter(tenant="small")
    assert selectors.list_jobs(wanted).items == [*waiting, *later, *running][::-1]
    assert rows_read(lambda: selectors.list_jobs(wanted)) < 200


def test_the_jobs_in_line_are_found_when_statistics_remember_a_longer_line() -> None:
    put_in(1_500, "", State.QUEUED)
    analyze()
    Job.objects.update(state=State.SUCCEEDED, finished_at=ago(seconds=1))
    last = make_job()
    wanted = JobFilter(states=(State.QUEUED,))
    assert selectors.list_jobs(wanted).items == [last]
    assert rows_read(lambda: selectors.list_jobs(wanted)) < 200
