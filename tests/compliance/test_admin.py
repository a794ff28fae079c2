"""Compliance on the admin site, as a person sees it."""

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from compliance import tasks
from compliance.models import Client, ClientDocument, DocumentVersion
from compliance.services import refresh_scores
from jobs.testing import enqueued_jobs, run_jobs
from notifications.models import Notification
from tenants.history import past_of
from tenants.models import Role, User

from .builders import (
    DAY,
    add_issues,
    make_client,
    make_document,
    make_filing,
    make_member,
    make_tenant,
)

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:No directory at"),  # static files are not collected here
]

LIST = "/admin/compliance/client/"


@pytest.fixture
def browser() -> Browser:
    """A superuser's browser."""
    browser = Browser()
    browser.force_login(User.objects.create_superuser("root", "root@example.com", "x"))
    return browser


def page(browser: Browser, url: str, **query: str) -> str:
    response = browser.get(url, query or None)
    assert response.status_code == 200
    return response.content.decode()


def test_the_list_shows_scores_and_filters_by_risk(browser: Browser) -> None:
    tenant = make_tenant()
    safe, shaky = make_client(tenant, name="Safe & Sound"), make_client(tenant, name="Shaky")
    make_document(shaky, DAY, status="rejected")
    make_filing(shaky, DAY.replace(year=2025))
    for _ in range(10):
        make_document(shaky, status="pending_review")
    refresh_scores(as_of=DAY)
    unscored = make_client(tenant, name="Newcomer")

    everything = page(browser, LIST)
    high = page(browser, LIST, score__risk__exact="high")

    assert all(client.code in everything for client in (safe, shaky, unscored))
    assert "Safe &amp; Sound" in everything
    assert "11 missing, 1 expiring, 1 overdue" in everything
    assert shaky.code in high
    assert safe.code not in high
    assert unscored.code not in high


def test_a_longer_list_takes_no_more_statements(browser: Browser) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as queries:
            page(browser, LIST)
        return len(queries)

    tenant = make_tenant()
    for _ in range(3):
        make_client(tenant, issues=1)
    refresh_scores(as_of=DAY)
    page(browser, LIST)
    few = statements()
    for _ in range(20):
        make_client(tenant, issues=1)
    assert statements() == few


def test_refresh_scores_now_enqueues_a_job_for_each_tenant_concerned(browser: Browser) -> None:
    first, second = make_tenant(), make_tenant()
    chosen = [make_client(first), make_client(first), make_client(second, issues=3)]
    make_client(make_tenant())

    response = browser.post(
        LIST,
        {"action": "refresh_scores", "_selected_action": [client.pk for client in chosen]},
        follow=True,
    )

    assert "Scores of 2 tenants are being refreshed." in response.content.decode()
    jobs = enqueued_jobs(tasks.refresh_scores)
    assert [job.payload["tenant"] for job in jobs] == [first.slug, second.slug]
    assert [job.tenant for job in jobs] == [first.slug, second.slug]
    run_jobs()
    assert [Client.objects.get(pk=client.pk).score.score for client in chosen] == [100, 100, 85]


def test_a_client_is_shown_with_its_papers_and_cannot_be_given_a_score(browser: Browser) -> None:
    client = make_client(make_tenant(), issues=2)
    make_filing(client, DAY)
    refresh_scores(as_of=DAY)

    shown = page(browser, reverse("admin:compliance_client_change", args=[client.pk]))

    assert 'name="documents-0-kind"' in shown
    assert 'name="filings-0-due_on"' in shown
    assert 'name="score-0-score"' not in shown
    assert "score-history" in shown or "score_history" in shown


def test_a_version_added_by_hand_is_the_one_that_counts(browser: Browser) -> None:
    document = make_document(make_client(make_tenant()), DAY)
    version = document.versions.get()

    response = browser.post(
        reverse("admin:compliance_clientdocument_change", args=[document.pk]),
        {
            "client": document.client.pk,
            "kind": "licence",
            "status": "valid",
            "versions-TOTAL_FORMS": "2",
            "versions-INITIAL_FORMS": "1",
            "versions-0-id": version.pk,
            "versions-0-document": document.pk,
            "versions-0-number": "1",
            "versions-0-expires_on": "2026-03-01",
            "versions-1-document": document.pk,
            "versions-1-number": "2",
            "versions-1-expires_on": "2031-05-17",
        },
    )

    assert response.status_code == 302
    assert DocumentVersion.objects.filter(document=document).count() == 2
    assert ClientDocument.objects.get().kind == "licence"
    assert "May 17, 2031" in page(browser, reverse("admin:compliance_clientdocument_changelist"))


def test_filings_are_listed(browser: Browser) -> None:
    filing = make_filing(make_client(make_tenant()), DAY)

    assert filing.kind in page(browser, reverse("admin:compliance_filing_changelist"))


def test_the_link_of_an_announcement_opens_the_clients_at_risk(browser: Browser) -> None:
    tenant = make_tenant()
    make_member(tenant, Role.OWNER)
    calm, shaky = make_client(tenant), make_client(tenant)
    elsewhere = make_client(make_tenant(), issues=20)
    refresh_scores(as_of=DAY)
    add_issues(shaky, 5)
    refresh_scores(as_of=DAY)

    shown = page(browser, Notification.objects.get().action_url)

    assert shaky.code in shown
    assert calm.code not in shown
    assert elsewhere.code not in shown


def test_a_client_is_deleted_with_its_papers_and_what_they_were_is_kept(browser: Browser) -> None:
    client = make_client(make_tenant())
    make_document(client, DAY)
    make_filing(client, DAY)
    url = reverse("admin:compliance_client_delete", args=[client.pk])

    assert "past" not in page(browser, url).lower()
    assert browser.post(url, {"post": "yes"}).status_code == 302

    assert not Client.objects.exists()
    for model in (Client, ClientDocument, DocumentVersion):
        (label,) = past_of(model)._base_manager.values_list("pgh_label", flat=True)
        assert label == "deleted"
