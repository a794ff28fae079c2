"""A run for a day that is over gives what it would have given as the day began."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from compliance import digests, notices, services, tasks
from compliance.deadlines import due_in, due_within, expiring_in, expiring_within
from compliance.models import (
    Client,
    ClientDocument,
    ClientScore,
    DocumentVersion,
    Filing,
    ScoreHistory,
)
from compliance.services import refresh_scores
from jobs.dry_run import try_out
from jobs.testing import enqueued_jobs
from notifications.models import Notification
from tenants.models import Member, Role, Tenant
from tests.tenants.past import happened

from .builders import (
    DAY,
    figures,
    make_client,
    make_document,
    make_filing,
    make_member,
    make_random_clients,
    make_tenant,
)

pytestmark = pytest.mark.django_db

LATER = DAY + timedelta(days=20)


def begins(day: date, zone: str = "UTC") -> datetime:
    return datetime.combine(day, time.min, ZoneInfo(zone))


def scores(tenant: Tenant, day: date) -> dict[str, Any]:
    """Return each client's figures as a refresh would keep them, and undo it."""
    with transaction.atomic():
        done = refresh_scores(tenant_slugs=[tenant.slug], as_of=day)
        found = {
            row.client.code: figures(row)
            for row in ScoreHistory.objects.filter(client__tenant=tenant).select_related("client")
        }
        assert done.clients == len(found)
        transaction.set_rollback(True)
    return found


def answers(tenant: Tenant, day: date, *, asked: date) -> dict[str, Any]:
    """Return what all runs of compliance find for ``day`` when it is ``asked``, in the morning."""
    at = begins(asked, tenant.timezone) + timedelta(hours=9)
    with time_machine.travel(at, tick=False):
        return {
            "scores": scores(tenant, day),
            "emailed": expiring_in(tenant, day, digests.EXPIRY_DAYS, most=50),
            "noticed": expiring_within(tenant, day, notices.EXPIRY_DAYS, most=50),
            "reminded": due_in(tenant, day, digests.FILING_DAYS, most=50),
            "warned": due_within(tenant, day, notices.FILING_DAYS, most=50),
        }


@dataclass
class Papers:
    """A client's papers, some of which each run has to tell."""

    client: Client
    good: ClientDocument
    missing: ClientDocument
    late: Filing
    handed_in: Filing


@pytest.fixture
def papers() -> Papers:
    """Papers that are on record for a month as the day begins."""
    client = make_client(make_tenant())
    papers = Papers(
        client=client,
        good=make_document(client, DAY + timedelta(days=7)),
        missing=make_document(client, DAY + timedelta(days=7), status="rejected"),
        late=make_filing(client, DAY - timedelta(days=2)),
        handed_in=make_filing(client, DAY - timedelta(days=2), status="submitted"),
    )
    happened(begins(DAY) - timedelta(days=30))
    return papers


def change(row: Any, **fields: Any) -> None:
    """Change a row by SQL, as anybody may."""
    assert type(row).objects.filter(pk=row.pk).update(**fields) == 1


CHANGES: dict[str, Callable[[Papers], Any]] = {
    "a document is rejected": lambda its: change(its.good, status="rejected"),
    "a document is accepted": lambda its: change(its.missing, status="valid"),
    "a document gets another name": lambda its: change(its.good, kind="permit"),
    "another expiry date": lambda its: change(
        its.good.versions.get(), expires_on=DAY + timedelta(days=900)
    ),
    "never expires": lambda its: change(its.good.versions.get(), expires_on=None),
    "a new version": lambda its: services.add_document_version(
        document=its.good, status=ClientDocument.Status.VALID, expires_on=date(2036, 1, 1)
    ),
    "a version is deleted": lambda its: its.good.versions.get().delete(),
    "a document is deleted": lambda its: its.good.delete(),
    "a document is added": lambda its: make_document(its.client, DAY + timedelta(days=1)),
    "a document is another client's": lambda its: change(
        its.good, client=make_client(its.client.tenant)
    ),
    "a filing is handed in": lambda its: change(its.late, status="submitted"),
    "a filing is taken back": lambda its: change(its.handed_in, status="draft"),
    "another due date": lambda its: change(its.late, due_on=DAY + timedelta(days=400)),
    "another authority": lambda its: change(its.late, authority="Customs"),
    "another period": lambda its: change(its.late, period_end=DAY),
    "a filing is deleted": lambda its: its.late.delete(),
    "a filing is added": lambda its: make_filing(its.client, DAY),
    "a client is renamed": lambda its: change(its.client, name="Zoë & Sons", code="Z"),
    "a client is no longer active": lambda its: change(its.client, is_active=False),
    "a client is added": lambda its: make_document(make_client(its.client.tenant), DAY),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_changed_since_does_not_count(what: str, papers: Papers) -> None:
    tenant = papers.client.tenant
    before = answers(tenant, DAY, asked=DAY)
    CHANGES[what](papers)
    assert answers(tenant, DAY, asked=DAY) != before  # today looks at what is there
    happened(begins(DAY))

    after = answers(tenant, DAY, asked=LATER)
    if what == "a client is renamed":  # found by a code of today
        after["scores"] = {papers.client.code: after["scores"].pop("Z")}
    assert after == before


@pytest.mark.parametrize("what", CHANGES)
def test_what_had_changed_before_does_count(what: str, papers: Papers) -> None:
    tenant = papers.client.tenant
    CHANGES[what](papers)
    happened(begins(DAY) - timedelta(microseconds=1))

    assert answers(tenant, DAY, asked=LATER) == answers(tenant, DAY, asked=DAY)


def test_a_client_that_is_gone_is_told_of_and_not_scored(papers: Papers) -> None:
    tenant = papers.client.tenant
    before = answers(tenant, DAY, asked=DAY)
    papers.client.delete()
    happened(begins(DAY) + timedelta(hours=1))

    after = answers(tenant, DAY, asked=LATER)

    assert (len(before.pop("scores")), after.pop("scores")) == (1, {})
    assert after == before


def test_companies_far_apart_are_each_asked_at_their_own_instant() -> None:
    apia, honolulu = (make_tenant(timezone=f"Pacific/{place}") for place in ("Apia", "Honolulu"))
    documents = {tenant: make_document(make_client(tenant)) for tenant in (apia, honolulu)}
    happened(datetime(2026, 1, 1, tzinfo=UTC))
    ClientDocument.objects.update(status="rejected")
    happened(datetime(2026, 2, 28, 12, tzinfo=UTC))  # in Apia it is 1 March already
    ClientDocument.objects.update(status="valid")
    happened(datetime(2026, 3, 1, 15, tzinfo=UTC))  # in Honolulu it is 1 March by now
    assert all(document.client.tenant == tenant for tenant, document in documents.items())

    def missing(at: datetime) -> list[int]:
        with transaction.atomic(), time_machine.travel(at, tick=False):
            refresh_scores(as_of=DAY)
            found = [
                ScoreHistory.objects.get(client__tenant=tenant, as_of=DAY).missing
                for tenant in (apia, honolulu)
            ]
            transaction.set_rollback(True)
        return found

    # In Apia the day is over, in Honolulu it lasts for half an hour more.
    assert missing(datetime(2026, 3, 2, 9, 30, tzinfo=UTC)) == [0, 0]
    assert missing(datetime(2026, 3, 20, tzinfo=UTC)) == [0, 1]


@pytest.mark.parametrize("day", [date(1999, 12, 31), DAY - timedelta(days=1), DAY])
def test_before_the_first_records_they_count_as_their_first_day_left_them(day: date) -> None:
    tenant = make_tenant(timezone="Pacific/Auckland")
    client = make_client(tenant)
    late = make_filing(client, day - timedelta(days=2), status="archived")
    happened(begins(DAY, tenant.timezone) + timedelta(hours=9))
    change(late, status="draft")
    happened(begins(DAY, tenant.timezone) + timedelta(hours=23))
    expected = answers(tenant, day, asked=day)
    change(late, status="submitted")
    happened(begins(DAY + timedelta(days=1), tenant.timezone))

    assert expected["reminded"].total == 1
    assert answers(tenant, day, asked=LATER) == expected


def test_on_the_day_of_an_import_yesterday_is_seen_with_what_was_imported() -> None:
    client = make_client(make_tenant(), issues=2)
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    make_filing(client, yesterday)

    refresh_scores(as_of=yesterday)

    assert ClientScore.objects.get().missing == 2
    assert due_in(client.tenant, yesterday, [0], most=5).total == 1


def test_a_look_back_keeps_to_its_day_with_what_was_known_then(papers: Papers) -> None:
    with time_machine.travel(begins(LATER), tick=False):
        change(papers.late, status="submitted")
        happened(begins(DAY) + timedelta(days=3))
        refresh_scores()
        now = figures(ClientScore.objects.get())
        refresh_scores(as_of=DAY)

    assert figures(ClientScore.objects.get()) == now
    assert (now.overdue, ScoreHistory.objects.get(as_of=DAY).overdue) == (0, 1)


def test_yesterday_again_does_not_undo_what_was_known_at_its_end() -> None:
    """It is seen as it began, when the documents were not renewed yet."""
    client = make_client(make_tenant())
    make_member(client.tenant, Role.OWNER)
    papers = [make_document(client, DAY + timedelta(days=200), status="rejected") for _ in range(5)]
    happened(begins(DAY) - timedelta(days=30))
    for paper in papers:
        change(paper, status="valid")
    happened(begins(DAY) + timedelta(hours=10))
    with time_machine.travel(begins(DAY) + timedelta(hours=15), tick=False):
        refresh_scores()  # by hand
        known = figures(ClientScore.objects.get())
    with time_machine.travel(begins(DAY) + timedelta(days=1, minutes=30), tick=False):
        assert refresh_scores(as_of=DAY).raised == 0

        assert (known.missing, figures(ClientScore.objects.get())) == (0, known)
        assert ScoreHistory.objects.get(as_of=DAY).missing == 5
        assert ScoreHistory.objects.get(as_of=DAY + timedelta(days=1)).missing == 0
        assert refresh_scores().changed == 0
    assert not Notification.objects.exists()


def test_a_rise_of_yesterday_is_told_late_under_the_name_of_then() -> None:
    client = make_client(make_tenant(), name="Ann & Co")
    make_member(client.tenant, Role.OWNER)
    happened(begins(DAY) - timedelta(days=30))
    with time_machine.travel(begins(DAY), tick=False):
        refresh_scores()
    make_client(client.tenant)
    for _ in range(12):
        make_document(client, status="rejected")
    happened(begins(DAY) + timedelta(hours=12))
    change(client, name="Zoë & Sons")
    happened(begins(DAY) + timedelta(days=1, hours=1))

    with time_machine.travel(begins(DAY) + timedelta(days=2, hours=1), tick=False):
        assert refresh_scores(as_of=DAY + timedelta(days=1)).raised == 1

    assert "Ann & Co" in Notification.objects.get().body


def test_a_digest_of_a_past_day_goes_to_whom_it_concerns_today(papers: Papers) -> None:
    tenant = papers.client.tenant
    gone = make_member(tenant, Role.MANAGER, email="gone@acme.example")
    Member.objects.filter(user=gone).delete()
    make_member(tenant, Role.OWNER, email="ann@acme.example")
    change(papers.late, status="submitted")
    happened(begins(DAY) + timedelta(days=3))

    with time_machine.travel(begins(LATER), tick=False):
        tasks.email_filing_reminders(tenant=tenant.slug, as_of=DAY)

    (job,) = enqueued_jobs("notifications.email_filing_reminder")
    assert job.payload["to"] == "ann@acme.example"
    assert [line["filing"] for line in job.payload["filings"]] == [papers.late.kind]


def test_a_dry_run_of_a_past_day_tells_what_was_there(papers: Papers) -> None:
    tenant = papers.client.tenant
    make_member(tenant, Role.OWNER, email="ann@acme.example")
    change(papers.late, status="submitted")
    papers.good.delete()
    happened(begins(DAY) + timedelta(days=3))

    with time_machine.travel(begins(LATER), tick=False):
        told = {
            task.name: try_out(task, {"tenant": tenant.slug, "as_of": DAY}, tenant=tenant.slug)[1]
            for task in (
                tasks.email_filing_reminders,
                tasks.email_document_expiry,
                tasks.notify_filing_deadlines,
                tasks.notify_document_expiry,
            )
        }
    kinds = [papers.late.kind, papers.good.kind] * 2
    assert all(kind in str(one.detail) for kind, one in zip(kinds, told.values(), strict=True))
    assert enqueued_jobs() == []
    assert not Notification.objects.exists()


def some_day(dice: random.Random) -> date:
    return DAY + timedelta(days=dice.randint(-40, 40))


#: What happens to a row, by chance.
WHIMS: list[tuple[Any, Callable[[random.Random, Any], Any]]] = [
    (ClientDocument, lambda d, row: change(row, status=d.choice(ClientDocument.Status.values))),
    (ClientDocument, lambda d, row: change(row, client=d.choice(Client.objects.order_by("pk")))),
    (
        ClientDocument,
        lambda d, row: services.add_document_version(document=row, expires_on=some_day(d)),
    ),
    (ClientDocument, lambda d, row: row.delete()),
    (DocumentVersion, lambda d, row: change(row, expires_on=d.choice([some_day(d), None]))),
    (DocumentVersion, lambda d, row: row.delete()),
    (
        Filing,
        lambda d, row: change(row, status=d.choice(Filing.Status.values), due_on=some_day(d)),
    ),
    (Filing, lambda d, row: row.delete()),
    (Client, lambda d, row: change(row, is_active=d.random() < 0.5, name=f"{row.name}!")),
]


def stir(dice: random.Random, tenants: list[Tenant]) -> None:
    """Change, add and delete records at random."""
    for _ in range(40):
        if dice.random() < 0.1:
            make_random_clients(dice, tenants, DAY, 1)
        model, whim = dice.choice(WHIMS)
        rows = list(model.objects.order_by("pk"))
        if rows:
            whim(dice, dice.choice(rows))


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_afterwards_a_day_stays_what_it_was(seed: int) -> None:
    dice = random.Random(seed)
    zones = ["UTC", "Pacific/Apia", "Pacific/Honolulu", "Asia/Kathmandu"]
    tenants = [make_tenant(timezone=zone) for zone in dice.sample(zones, 2)]
    make_random_clients(dice, tenants, DAY, 12)
    happened(datetime(2025, 12, 1, tzinfo=UTC))
    as_it_was = {}
    for number in range(4):  # the zones' days overlap: each is asked before the next one's changes
        day = DAY + timedelta(days=number)
        for tenant in sorted(tenants, key=lambda tenant: begins(day, tenant.timezone)):
            as_it_was[tenant, day] = answers(tenant, day, asked=day)
            stir(dice, tenants)
            happened(begins(day, tenant.timezone))

    for (tenant, day), expected in as_it_was.items():
        assert answers(tenant, day, asked=LATER) == expected


def test_a_past_day_takes_one_statement_more_however_many_clients_there_are() -> None:
    def statements(many: int, *, asked: date) -> int:
        tenant = make_tenant()
        for _ in range(many):
            make_client(tenant, issues=1)
        happened(begins(DAY) - timedelta(days=9))
        with time_machine.travel(begins(asked), tick=False), CaptureQueriesContext(connection) as q:
            refresh_scores(tenant_slugs=[tenant.slug], as_of=DAY)
        return len(q)

    today = statements(3, asked=DAY)
    assert statements(3, asked=LATER) == statements(30, asked=LATER) == today + 1
