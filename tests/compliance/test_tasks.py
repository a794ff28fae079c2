"""The job that refreshes scores, as workers run it."""

from datetime import UTC, date, datetime

import pytest
import time_machine
from django.db import connection

from compliance import tasks
from compliance.models import ClientScore
from compliance.task_helpers import queue_score_refresh
from jobs.errors import InvalidPayload
from jobs.models import Job
from jobs.testing import assert_enqueued, enqueued_jobs, run_jobs

from .builders import DAY, make_client, make_tenant

pytestmark = pytest.mark.django_db


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
