"""The job that refreshes scores, as workers run it."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection

from compliance import tasks
from compliance.errors import NoSuchDay
from compliance.models import ClientScore
from compliance.task_helpers import queue_score_refresh
from jobs.errors import InvalidPayload
from jobs.models import Job
from jobs.scheduled_date import date_argument
from jobs.task import JobTask
from jobs.testing import assert_enqueued, enqueued_jobs, run_jobs
from notifications.models import Notification
from tenants.models import Role

from .builders import DAY, make_client, make_document, make_filing, make_member, make_tenant

pytestmark = pytest.mark.django_db

AnyTask = JobTask[..., dict[str, Any]]


def test_the_job_scores_a_tenants_clients_and_returns_the_counts() -> None:
    tenant, other = make_tenant(), make_tenant()
    client = make_client(tenant, issues=2)
    make_client(other)
    job = queue_score_refresh(tenant=tenant.slug, as_of=DAY)
    assert (job.queue, job.tenant) == ("compliance", tenant.slug)

    (ran,) = run_jobs()

    assert ran.state == "succeeded"
    assert ran.result == {"tenants": 1, "clients": 1, "changed": 1, "raised": 0, "failed": []}
    score = ClientScore.objects.get()
    assert (score.client, score.score, score.as_of) == (client, 90, DAY)


def test_the_job_of_a_zone_scores_its_tenants_for_their_own_today() -> None:
    apia = make_client(make_tenant(timezone="Pacific/Apia"))
    make_client(make_tenant(timezone="America/New_York"))
    queue_score_refresh(zone="Pacific/Apia")

    with time_machine.travel(datetime(2027, 3, 1, 11, 30, tzinfo=UTC), tick=False):
        tasks.refresh_scores(zone="Pacific/Apia")

    assert ClientScore.objects.get().client == apia
    assert ClientScore.objects.get().as_of == date(2027, 3, 2)


def test_a_zone_that_does_not_exist_is_refused_and_names_the_field() -> None:
    with pytest.raises(InvalidPayload) as refused:
        queue_score_refresh(zone="Mars/Olympus")

    assert list(refused.value.problems) == ["zone"]
    assert not enqueued_jobs()


def test_a_tenant_that_nobody_has_becomes_a_dead_letter_at_once() -> None:
    queue_score_refresh(tenant="nobody")

    (ran,) = run_jobs()

    assert (ran.state, ran.attempt, ran.error_type) == ("dead", 1, "UnknownTenant")


def test_a_tenant_that_fails_gets_a_job_of_its_own() -> None:
    bad = make_client(make_tenant(timezone="Atlantis/Capital")).tenant
    good = make_client(make_tenant())
    queue_score_refresh()

    run_jobs()

    assert ClientScore.objects.get().client == good
    assert_enqueued(tasks.refresh_scores, tenant=bad.slug)
    run_jobs(retries=True)
    alone = Job.objects.get(tenant=bad.slug)
    assert (alone.state, alone.failures) == ("dead", alone.max_attempts)


def test_a_refresh_that_fails_leaves_nothing_behind() -> None:
    tenant = make_tenant()
    make_client(tenant)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE compliance_scorehistory ADD CHECK (score < 100)")
    queue_score_refresh(tenant=tenant.slug, as_of=DAY)

    (ran,) = run_jobs()

    assert ran.state == "scheduled"
    assert not ClientScore.objects.exists()


REMINDERS = [
    tasks.email_document_expiry,
    tasks.notify_document_expiry,
    tasks.email_filing_reminders,
    tasks.notify_filing_deadlines,
]
EACH = pytest.mark.parametrize("task", REMINDERS, ids=lambda task: task.name)


@EACH
def test_a_zone_gives_each_of_its_active_tenants_a_job_with_the_day(task: AnyTask) -> None:
    tokyo, other = (make_tenant(timezone="Asia/Tokyo") for _ in range(2))
    make_tenant(timezone="Asia/Tokyo", is_active=False)
    make_tenant(timezone="Asia/Seoul")

    task.enqueue(zone="Asia/Tokyo", as_of=DAY)
    zone, *each = run_jobs()

    slugs = sorted([tokyo.slug, other.slug])
    assert (zone.result, zone.queue) == ({"tenants": slugs}, "compliance")
    assert {(job.task, job.state) for job in each} == {(task.name, "succeeded")}
    assert sorted(job.tenant for job in each) == slugs
    for job in each:
        assert job.payload == {"tenant": job.tenant, "zone": None, "as_of": DAY.isoformat()}


@EACH
def test_a_zone_without_a_day_leaves_it_to_each_tenant(task: AnyTask) -> None:
    tenant = make_tenant(timezone="Asia/Tokyo")
    task(zone="Asia/Tokyo")
    assert assert_enqueued(task, tenant=tenant.slug).payload["as_of"] is None


@EACH
@pytest.mark.parametrize("given", [{}, {"tenant": "acme", "zone": "UTC"}], ids=["neither", "both"])
def test_neither_tenant_nor_zone_or_both_are_a_dead_letter_at_once(
    task: AnyTask, given: dict[str, Any]
) -> None:
    task.enqueue(**given)

    (ran,) = run_jobs()

    assert (ran.state, ran.attempt, ran.error_type) == ("dead", 1, "TenantOrZone")
    assert "tenant, zone: expected one of them, and not both." in ran.error


@EACH
def test_other_mistakes_are_named(task: AnyTask) -> None:
    with pytest.raises(InvalidPayload) as refused:
        task.enqueue(zone="Mars/Olympus", as_of="yesterday")
    assert list(refused.value.problems) == ["zone", "as_of"]

    task.enqueue(tenant="nobody")
    task.enqueue(tenant=make_tenant().slug, as_of=date.max)
    assert [(job.state, job.error_type) for job in run_jobs()] == [
        ("dead", "UnknownTenant"),
        ("dead", "NoSuchDay"),
    ]


@EACH
def test_a_tenant_that_is_not_active_is_skipped(task: AnyTask) -> None:
    tenant = make_tenant(is_active=False)
    make_member(tenant, Role.OWNER)
    client = make_client(tenant)
    make_document(client, DAY + timedelta(days=7))
    make_filing(client, DAY)

    assert task(tenant=tenant.slug, as_of=DAY) == {"skipped": "not active"}
    assert (enqueued_jobs(), Notification.objects.count()) == ([], 0)


@EACH
def test_a_tenants_job_says_what_it_found(task: AnyTask) -> None:
    tenant = make_tenant()
    make_member(tenant, Role.OWNER, email="owner@acme.example")
    client = make_client(tenant)
    make_document(client, DAY + timedelta(days=7))
    make_filing(client, DAY)

    task.using(tenant=tenant.slug).enqueue(tenant=tenant.slug, as_of=DAY)
    ran = run_jobs()[0]

    assert ran.state == "succeeded"
    assert ran.result in (
        {"found": 1, "people": 1, "unreachable": []},
        {"found": 1, "notices": 1},
    )


@pytest.mark.parametrize("task", [tasks.refresh_scores, *REMINDERS], ids=lambda task: task.name)
def test_the_day_is_what_a_schedule_gives(task: AnyTask) -> None:
    assert date_argument(task.definition.arguments) == "as_of"


def test_a_day_at_an_end_of_the_calendar_is_refused_before_there_are_jobs_for_it() -> None:
    make_tenant()
    for day in (date.min, date.max):
        with pytest.raises(NoSuchDay, match="too near to an end of the calendar"):
            tasks.email_filing_reminders(zone="UTC", as_of=day)
    assert enqueued_jobs() == []
