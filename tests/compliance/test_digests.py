"""The e-mails about documents and filings: one for each person and day, to those it concerns."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from compliance import tasks
from compliance.digests import Emailed, email_document_expiry, email_filing_reminders
from compliance.models import Client
from jobs.task import JobTask
from jobs.testing import enqueued_jobs, run_jobs
from notifications.inbox import set_preference
from notifications.kinds import Channel, Choice, Kind
from notifications.models import Delivery, Notification
from tenants.models import Member, Role, Tenant, User
from tests.conftest import Mailbox
from tests.tenants.builders import make_member

from .builders import DAY, make_client, make_document, make_filing, make_tenant

pytestmark = pytest.mark.django_db

DOCUMENTS = "notifications.email_document_expiry_warning"
FILINGS = "notifications.email_filing_reminder"

Work = Callable[[Tenant, date], Emailed]
BOTH = pytest.mark.parametrize(
    ("work", "email", "kind"),
    [
        (email_document_expiry, DOCUMENTS, Kind.DOCUMENT_EXPIRY),
        (email_filing_reminders, FILINGS, Kind.FILING_DEADLINE),
    ],
    ids=["documents", "filings"],
)


@pytest.fixture
def tenant() -> Tenant:
    """A tenant with one person of each role, a document that expires and a filing that is due."""
    tenant = make_tenant()
    for role in Role:
        make_member(tenant, role, username=role.value, email=f"{role.value}@acme.example")
    add(make_client(tenant), 1)
    return tenant


def add(client: Client, many: int, day: date = DAY) -> None:
    """Give the client so many documents and filings to be told of."""
    for _ in range(many):
        make_document(client, day + timedelta(days=7))
        make_filing(client, day + timedelta(days=3))


def addressees(email: str) -> list[str]:
    return sorted(job.payload["to"].split("@")[0] for job in enqueued_jobs(email))


@BOTH
def test_owners_managers_and_accountants_are_told_and_viewers_are_not(
    tenant: Tenant, work: Work, email: str, kind: Kind
) -> None:
    make_member(make_tenant(), Role.OWNER)

    done = work(tenant, DAY)

    assert done == Emailed(found=1, people=3)
    assert addressees(email) == ["accountant", "manager", "owner"]
    assert {job.tenant for job in enqueued_jobs()} == {tenant.slug}
    assert not Notification.objects.exists()


@BOTH
def test_a_choice_of_ones_own_comes_before_the_role(
    tenant: Tenant, work: Work, email: str, kind: Kind
) -> None:
    for role, choice in (
        (Role.OWNER, Choice.OFF),
        (Role.MANAGER, Choice.DIGEST),
        (Role.WAREHOUSE, Choice.ON),
    ):
        member = Member.objects.get(tenant=tenant, role=role)
        set_preference(user_id=member.user_id, kind=kind, channel=Channel.EMAIL, choice=choice)
        set_preference(user_id=member.user_id, kind=kind, channel=Channel.IN_APP, choice=Choice.OFF)

    work(tenant, DAY)

    assert addressees(email) == ["accountant", "manager", "warehouse"]


@BOTH
def test_nothing_to_tell_is_no_e_mail(tenant: Tenant, work: Work, email: str, kind: Kind) -> None:
    assert work(tenant, DAY + timedelta(days=2)) == Emailed(found=0)
    assert enqueued_jobs() == []
    assert not Delivery.objects.exists()


@BOTH
def test_many_make_one_e_mail_a_person(
    tenant: Tenant, work: Work, email: str, kind: Kind, mailbox: Mailbox
) -> None:
    for _ in range(4):
        add(make_client(tenant), 15)

    assert work(tenant, DAY).found == 61
    run_jobs()

    messages = mailbox.messages()
    assert len(messages) == 3
    for message in messages:
        text = message.get_body(("plain",)).get_content()  # type: ignore[union-attr]
        assert "... and 11 more" in text
        assert text.count(" (C0") == 50
        assert str(message["Subject"]).startswith("61 ")


@BOTH
def test_a_day_asked_for_again_sends_nothing_and_the_next_day_does(
    tenant: Tenant, work: Work, email: str, kind: Kind, mailbox: Mailbox
) -> None:
    for _ in range(2):
        assert work(tenant, DAY).people == 3
        run_jobs()
    add(make_client(tenant), 1)
    work(tenant, DAY)
    run_jobs()
    assert len(mailbox.messages()) == 3

    add(make_client(tenant), 1, DAY + timedelta(days=1))
    work(tenant, DAY + timedelta(days=1))
    run_jobs()
    assert len(mailbox.messages()) == 6


@BOTH
def test_a_past_day_is_told_as_it_would_have_been(
    tenant: Tenant, work: Work, email: str, kind: Kind
) -> None:
    past = date(2024, 2, 29)
    add(make_client(tenant), 1, past)

    work(tenant, past)

    (line,) = enqueued_jobs(email)[0].payload[
        "documents" if kind == Kind.DOCUMENT_EXPIRY else "filings"
    ]
    assert enqueued_jobs(email)[0].payload["day"] == "2024-02-29"
    expected = (
        ("expires_on", "2024-03-07", 7)
        if kind == Kind.DOCUMENT_EXPIRY
        else ("due_on", "2024-03-03", 3)
    )
    assert (line[expected[0]], line["days_left"]) == expected[1:]


@BOTH
def test_an_address_that_cannot_be_written_to_costs_the_others_nothing(
    tenant: Tenant, work: Work, email: str, kind: Kind
) -> None:
    make_member(tenant, Role.OWNER, username="broken", email="nobody@")
    make_member(
        tenant,
        Role.OWNER,
        username="long",
        email="long@acme.example",
        first_name="Ж" * 150,
        last_name="Ж" * 150,
    )

    done = work(tenant, DAY)

    assert (done.people, done.unreachable) == (4, ["broken"])
    assert addressees(email) == ["accountant", "long", "manager", "owner"]


@BOTH
@pytest.mark.parametrize("letter", ["Ж", "🍣", '"'])
def test_the_longest_names_fit_into_a_jobs_arguments(
    tenant: Tenant, work: Work, email: str, kind: Kind, letter: str
) -> None:
    User.objects.update(first_name=letter * 150, last_name=letter * 150)
    for number in range(50):
        name, code = letter * 200, f"{number:02}" + letter * 30
        client = Client.objects.create(tenant=tenant, code=code, name=name)
        make_document(client, DAY + timedelta(days=1))
        make_filing(client, DAY)
        client.documents.update(kind=letter * 100)
        client.filings.update(kind=letter * 100, authority=letter * 100)

    assert work(tenant, DAY).people == 3


@BOTH
def test_more_documents_and_filings_take_no_more_statements(
    tenant: Tenant, work: Work, email: str, kind: Kind
) -> None:
    def statements(many: int) -> int:
        company = make_tenant()
        for role in (Role.OWNER, Role.ACCOUNTANT):
            make_member(company, role)
        add(make_client(company), many)
        with CaptureQueriesContext(connection) as queries:
            assert work(company, DAY) == Emailed(found=many, people=2)
        return len(queries)

    statements(1)  # what is looked up once in a process
    assert statements(5) == statements(50) == statements(80)


@pytest.mark.parametrize(
    ("task", "email"),
    [(tasks.email_document_expiry, DOCUMENTS), (tasks.email_filing_reminders, FILINGS)],
    ids=["documents", "filings"],
)
def test_at_one_instant_each_tenant_has_its_own_day(
    task: JobTask[..., dict[str, Any]], email: str
) -> None:
    auckland, los_angeles = date(2026, 3, 2), date(2026, 3, 1)
    expected = {}
    for zone, day in (("Pacific/Auckland", auckland), ("America/Los_Angeles", los_angeles)):
        company = make_tenant(timezone=zone)
        make_member(company, Role.OWNER)
        client = make_client(company)
        for offset in (-1, 0, 1):  # of three days in a row only the tenant's own has one to tell
            add(client, 1, day + timedelta(days=offset))
        expected[company.slug] = day.isoformat()
    # 11:30 in Auckland on the 2nd, 14:30 in Los Angeles on the 1st.
    with time_machine.travel(datetime(2026, 3, 1, 22, 30, tzinfo=UTC), tick=False):
        for slug in expected:
            task(tenant=slug)

    told = {job.tenant: job.payload for job in enqueued_jobs(email)}
    assert {slug: payload["day"] for slug, payload in told.items()} == expected
    lines = [payload.get("documents") or payload["filings"] for payload in told.values()]
    assert [len(each) for each in lines] == [1, 1]


def test_the_button_leads_to_a_list_of_the_site(tenant: Tenant, admin_client: Any) -> None:
    email_document_expiry(tenant, DAY)
    email_filing_reminders(tenant, DAY)

    for email, model in ((DOCUMENTS, "clientdocument"), (FILINGS, "filing")):
        url = enqueued_jobs(email)[0].payload["portal_url"]
        path = url[url.index("/admin/") :]
        page = admin_client.get(path)
        assert page.status_code == 200
        assert f"/compliance/{model}/" in path
        assert page.context["cl"].result_count == 1
