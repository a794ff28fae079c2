"""Which documents and filings a day's reminders are about."""

from datetime import date, timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from compliance import digests, notices
from compliance.deadlines import Found, due_in, due_within, expiring_in, expiring_within
from compliance.errors import NoSuchDay
from compliance.models import Client, ClientDocument, Filing
from notifications.lines import DueFiling, ExpiringDocument
from tenants.models import Tenant

from .builders import DAY, make_client, make_document, make_filing, make_tenant

pytestmark = pytest.mark.django_db

#: The end of a leap year's February, ends of years, an ordinary day.
DAYS = [DAY, date(2024, 2, 29), date(2024, 1, 30), date(2023, 12, 31), date(1999, 12, 2)]
#: Days away from those, on and beside every edge of the rules.
OFFSETS = [-400, -31, *range(-9, 18), 29, 30, 31, 400]


def emailed(tenant: Tenant, day: date = DAY) -> Found[ExpiringDocument]:
    return expiring_in(tenant, day, digests.EXPIRY_DAYS, most=50)


def noticed(tenant: Tenant, day: date = DAY) -> Found[ExpiringDocument]:
    return expiring_within(tenant, day, notices.EXPIRY_DAYS, most=50)


def reminded(tenant: Tenant, day: date = DAY) -> Found[DueFiling]:
    return due_in(tenant, day, digests.FILING_DAYS, most=50)


def warned(tenant: Tenant, day: date = DAY) -> Found[DueFiling]:
    return due_within(tenant, day, notices.FILING_DAYS, most=100)


def days_left(found: Found[ExpiringDocument] | Found[DueFiling]) -> list[int]:
    return [line.days_left for line in found.first.values()]


@pytest.mark.parametrize("day", DAYS)
def test_documents_are_told_on_their_days(day: date) -> None:
    client = make_client(make_tenant())
    for offset in OFFSETS:
        make_document(client, day + timedelta(days=offset))

    assert days_left(emailed(client.tenant, day)) == [1, 3, 7, 14, 30]
    assert days_left(noticed(client.tenant, day)) == [0, 1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("day", DAYS)
def test_filings_are_told_on_their_days(day: date) -> None:
    client = make_client(make_tenant())
    for offset in OFFSETS:
        make_filing(client, day + timedelta(days=offset))

    email, app = reminded(client.tenant, day), warned(client.tenant, day)
    assert days_left(email) == [-7, -6, -5, -4, -3, -2, -1, 0, 3, 7, 14]
    assert days_left(app) == [-400, -31, *range(-9, 15)]
    assert (email.overdue, app.overdue) == (7, 11)


@pytest.mark.parametrize(
    ("status", "told"),
    [("valid", 1), ("expired", 1), ("pending_review", 0), ("rejected", 0)],
)
def test_a_document_that_is_missing_is_not_told_as_expiring(status: str, told: int) -> None:
    client = make_client(make_tenant())
    make_document(client, DAY + timedelta(days=7), status=status)

    assert (emailed(client.tenant).total, noticed(client.tenant).total) == (told, told)


@pytest.mark.parametrize("status", Filing.Status.values)
def test_only_filings_not_yet_handed_in_are_told(status: str) -> None:
    client = make_client(make_tenant())
    make_filing(client, DAY, status=status)

    told = int(status in {"draft", "prepared"})
    assert (reminded(client.tenant).total, warned(client.tenant).total) == (told, told)


def test_every_status_of_a_document_is_either_there_or_missing() -> None:
    both = [*ClientDocument.THERE, *ClientDocument.MISSING]
    assert sorted(both) == sorted(ClientDocument.Status)


def test_the_latest_version_counts_and_no_other() -> None:
    client = make_client(make_tenant())
    soon, later = DAY + timedelta(days=7), DAY + timedelta(days=900)
    make_document(client, soon, later)
    make_document(client, soon, None)
    make_document(client)
    make_document(client, None)
    told = make_document(client, later, soon)

    assert list(emailed(client.tenant).first) == list(noticed(client.tenant).first) == [told.pk]


def test_clients_that_are_not_active_and_those_of_others_are_left_out() -> None:
    tenant = make_tenant()
    for client in (make_client(tenant, is_active=False), make_client(make_tenant())):
        make_document(client, DAY + timedelta(days=7))
        make_filing(client, DAY)

    for found in (emailed(tenant), noticed(tenant), reminded(tenant), warned(tenant)):
        assert (found.total, found.first, found.more) == (0, {}, 0)


def test_the_soonest_come_first_and_the_rest_is_counted() -> None:
    client = make_client(make_tenant())
    for days in (7, 1, 3, 3, 0):
        make_document(client, DAY + timedelta(days=days))
        make_filing(client, DAY - timedelta(days=days))

    documents = expiring_within(client.tenant, DAY, 7, most=3)
    filings = due_within(client.tenant, DAY, 14, most=2)

    assert (days_left(documents), documents.total, documents.more) == ([0, 1, 3], 5, 2)
    assert (days_left(filings), filings.total, filings.more) == ([-7, -3], 5, 3)
    assert filings.overdue == 4


def test_a_line_says_what_people_know_it_by() -> None:
    client = Client.objects.create(
        tenant=make_tenant(), code="A-1", name="Zoë\r\nBcc: x\u202e " + "長" * 180
    )
    make_document(client, DAY + timedelta(days=1))
    filing = make_filing(client, DAY - timedelta(days=1))

    (document,) = emailed(client.tenant).first.values()
    (due,) = reminded(client.tenant).first.values()

    assert document.client.startswith("Zoë Bcc: x 長長")
    assert (len(document.client), document.client_code, document.document) == (70, "A-1", "licence")
    assert (document.expires_on, document.when) == (DAY + timedelta(days=1), "tomorrow")
    assert (due.filing, due.authority) == (filing.kind, "Tax office")
    assert (due.when, due.is_overdue, due.period_end) == ("1 day overdue", True, filing.period_end)


@pytest.mark.parametrize("day", [date.min, date.max, date.max - timedelta(days=14)])
def test_a_day_at_the_end_of_the_calendar_is_refused_by_name(day: date) -> None:
    tenant = make_tenant()
    with pytest.raises(NoSuchDay, match=f"as_of: {day}"):
        emailed(tenant, day) if day > DAY else reminded(tenant, day)


@pytest.mark.parametrize("many", [5, 50])
@pytest.mark.parametrize(("asked", "each"), [(DAY, 1), (DAY + timedelta(days=1), 2)])
def test_one_statement_finds_them_however_many_they_are_and_two_on_a_day_that_is_over(
    many: int, asked: date, each: int
) -> None:
    client = make_client(make_tenant())
    for _ in range(many):
        make_document(client, DAY + timedelta(days=7))
        make_filing(client, DAY)

    with time_machine.travel(asked, tick=False), CaptureQueriesContext(connection) as queries:
        found = [f(client.tenant).total for f in (emailed, noticed, reminded, warned)]

    assert (found, len(queries)) == ([many] * 4, 4 * each)
