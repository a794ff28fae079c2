"""The notices in the app about documents and filings: once for each person, subject and day."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from compliance.models import Client
from compliance.notices import Noticed, notify_document_expiry, notify_filing_deadlines
from jobs.testing import enqueued_jobs
from notifications.inbox import set_preference
from notifications.kinds import Channel, Choice, Kind
from notifications.models import Notification
from tenants.models import Role, Tenant, User

from .builders import DAY, make_client, make_document, make_filing, make_member, make_tenant

pytestmark = pytest.mark.django_db

Work = Callable[[Tenant, date], Noticed]
BOTH = pytest.mark.parametrize(
    ("work", "kind"),
    [
        (notify_document_expiry, Kind.DOCUMENT_EXPIRY),
        (notify_filing_deadlines, Kind.FILING_DEADLINE),
    ],
    ids=["documents", "filings"],
)


@pytest.fixture
def tenant() -> Tenant:
    """A tenant with one person of each role."""
    tenant = make_tenant()
    for role in Role:
        make_member(tenant, role)
    return tenant


def add(client: Client, many: int, days: int = 5) -> None:
    """Give the client so many documents and filings of a day some days on."""
    for _ in range(many):
        make_document(client, DAY + timedelta(days=days))
        make_filing(client, DAY + timedelta(days=days))


def told() -> list[str]:
    return sorted(notice.user.username.split("@")[0] for notice in Notification.objects.all())


@BOTH
def test_owners_managers_and_accountants_are_told_and_viewers_are_not(
    tenant: Tenant, work: Work, kind: Kind
) -> None:
    add(make_client(tenant), 1)

    assert work(tenant, DAY) == Noticed(found=1, notices=3)

    assert told() == ["accountant", "manager", "owner"]
    assert {notice.kind for notice in Notification.objects.all()} == {kind}
    assert {notice.day for notice in Notification.objects.all()} == {DAY}
    assert enqueued_jobs() == []


@BOTH
def test_who_turned_it_off_is_not_told(tenant: Tenant, work: Work, kind: Kind) -> None:
    add(make_client(tenant), 1)
    owner = User.objects.get(username__startswith="owner@")
    set_preference(user_id=owner.pk, kind=kind, channel=Channel.IN_APP, choice=Choice.OFF)

    work(tenant, DAY)

    assert told() == ["accountant", "manager"]


@BOTH
def test_a_day_asked_for_again_tells_nothing_and_the_next_day_does(
    tenant: Tenant, work: Work, kind: Kind
) -> None:
    add(make_client(tenant), 2)

    assert [work(tenant, DAY).notices for _ in range(2)] == [6, 0]
    add(make_client(tenant), 1)
    assert work(tenant, DAY).notices == 3
    assert work(tenant, DAY + timedelta(days=1)).notices == 9


@BOTH
def test_nothing_to_tell_is_no_notice(tenant: Tenant, work: Work, kind: Kind) -> None:
    add(make_client(tenant), 1, days=15)
    assert work(tenant, DAY) == Noticed(found=0)
    assert not Notification.objects.exists()


@BOTH
def test_many_share_a_last_notice(tenant: Tenant, work: Work, kind: Kind) -> None:
    client = make_client(tenant)
    add(client, 51)
    add(client, 3, days=0)

    assert work(tenant, DAY) == Noticed(found=54, notices=3 * 51)

    mine = Notification.objects.filter(user__username__startswith="owner@")
    assert mine.filter(title__endswith=" today").count() == 3  # the most pressing have their own
    shared = mine.get(subject_key__in=["compliance.documents", "compliance.filings"])
    assert shared.title in {
        "4 more documents expire within 7 days",
        "4 more filings are due or overdue",
    }


@BOTH
def test_one_that_is_left_over_is_told_as_one(tenant: Tenant, work: Work, kind: Kind) -> None:
    add(make_client(tenant), 51)
    work(tenant, DAY)
    shared = Notification.objects.filter(title__startswith="1 more")
    assert {notice.title for notice in shared} == {
        "1 more document expires within 7 days"
        if kind == Kind.DOCUMENT_EXPIRY
        else "1 more filing is due or overdue"
    }


@pytest.mark.parametrize(
    ("days", "words", "priority"),
    [
        (0, "expires today", "urgent"),
        (1, "expires tomorrow", "urgent"),
        (3, "expires in 3 days", "high"),
        (4, "expires in 4 days", "medium"),
        (7, "expires in 7 days", "medium"),
    ],
)
def test_a_document_is_the_more_pressing_the_sooner_it_expires(
    days: int, words: str, priority: str
) -> None:
    tenant = make_tenant()
    make_member(tenant, Role.OWNER)
    document = make_document(make_client(tenant, name="Müller"), DAY + timedelta(days=days))
    notify_document_expiry(tenant, DAY)

    notice = Notification.objects.get()
    assert (notice.title, notice.priority) == (f"Müller: licence {words}", priority)
    assert notice.action_url == f"/admin/compliance/clientdocument/{document.pk}/change/"


@pytest.mark.parametrize(
    ("days", "words", "priority"),
    [
        (-100, "is 100 days overdue", "urgent"),
        (-1, "is 1 day overdue", "urgent"),
        (0, "is due today", "high"),
        (3, "is due in 3 days", "high"),
        (4, "is due in 4 days", "medium"),
        (7, "is due in 7 days", "medium"),
        (8, "is due in 8 days", "low"),
        (14, "is due in 14 days", "low"),
    ],
)
def test_a_filing_is_the_more_pressing_the_later_it_gets(
    days: int, words: str, priority: str
) -> None:
    tenant = make_tenant()
    make_member(tenant, Role.OWNER)
    filing = make_filing(make_client(tenant, name="Müller"), DAY + timedelta(days=days))
    notify_filing_deadlines(tenant, DAY)

    notice = Notification.objects.get()
    assert (notice.title, notice.priority) == (f"Müller: {filing.kind} {words}", priority)
    assert notice.action_url == f"/admin/compliance/filing/{filing.pk}/change/"


def test_dates_are_written_as_the_tenant_writes_them() -> None:
    tenant = make_tenant()
    Tenant.objects.filter(pk=tenant.pk).update(locale="de_DE")
    tenant.refresh_from_db()
    make_member(tenant, Role.OWNER)
    client = make_client(tenant, name="<b>Tom</b> & Söhne\r\n")
    make_document(client, DAY)
    filing = make_filing(client, DAY)
    notify_document_expiry(tenant, DAY)
    notify_filing_deadlines(tenant, DAY)

    due, expiring = Notification.objects.all()
    assert expiring.body == (
        f"{client.code} <b>Tom</b> & Söhne: the last good day of licence is 1. März 2026."
    )
    assert due.body == (
        f"{client.code} <b>Tom</b> & Söhne: {filing.kind} for the period until 30. Januar 2026, "
        "to Tax office, due on 1. März 2026."
    )


def test_the_page_of_a_notice_is_there(admin_client: Any) -> None:
    tenant = make_tenant()
    make_member(tenant, Role.OWNER)
    add(make_client(tenant), 51)
    notify_document_expiry(tenant, DAY)
    notify_filing_deadlines(tenant, DAY)

    of_each = {notice.subject_key.split(":")[0]: notice for notice in Notification.objects.all()}
    assert len(of_each) == 4
    for notice in of_each.values():
        assert admin_client.get(notice.action_url).status_code == 200


@BOTH
def test_more_documents_and_filings_take_no_more_statements(
    tenant: Tenant, work: Work, kind: Kind
) -> None:
    def statements(many: int) -> int:
        company = make_tenant()
        make_member(company, Role.OWNER)
        add(make_client(company), many)
        with time_machine.travel(DAY, tick=False), CaptureQueriesContext(connection) as queries:
            assert work(company, DAY).found == many
        return len(queries)

    assert statements(5) == statements(50) == statements(80) == 3
