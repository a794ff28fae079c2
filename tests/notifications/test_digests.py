"""The e-mails about documents and filings, as the mail server receives them."""

import re
from datetime import date, timedelta
from email.message import EmailMessage
from typing import Any, cast

import pytest

from jobs.errors import InvalidPayload
from jobs.testing import enqueued_jobs, run_jobs
from notifications import task_helpers
from notifications.lines import MOST_LISTED, DueFiling, ExpiringDocument, in_days
from notifications.models import Delivery, Preference
from tenants.models import Tenant
from tests.conftest import Mailbox
from tests.tenants.builders import make_tenant, make_user

from .builders import DAY

pytestmark = pytest.mark.django_db

PORTAL = "https://erp.example/papers/?client=1&status=open"


def document(days_left: int = 3, **fields: Any) -> ExpiringDocument:
    """Return a document that expires in so many days."""
    values = {"client": "Müller", "client_code": "C-1", "document": "trade licence"} | fields
    expires_on = DAY + timedelta(days=days_left)
    return ExpiringDocument(**{"expires_on": expires_on, "days_left": days_left} | values)


def filing(days_left: int = 3, **fields: Any) -> DueFiling:
    """Return a filing that is due in so many days."""
    values = {
        "client": "Müller",
        "client_code": "C-1",
        "filing": "VAT return",
        "authority": "Tax office",
        "period_end": date(2026, 9, 30),
        "due_on": DAY + timedelta(days=days_left),
        "days_left": days_left,
    }
    return DueFiling(**values | fields)


def warn(tenant: Tenant, documents: list[ExpiringDocument], **fields: Any) -> Delivery:
    """Ask for the e-mail about documents."""
    values: dict[str, Any] = {"to": "kim@acme.example", "recipient_name": "Kim", "day": DAY}
    values |= {"user_id": make_user().pk, "portal_url": PORTAL} | fields
    return task_helpers.queue_document_expiry_warning_email(
        tenant=tenant, documents=documents, **values
    )


def remind(tenant: Tenant, filings: list[DueFiling], **fields: Any) -> Delivery:
    """Ask for the e-mail about filings."""
    values: dict[str, Any] = {"to": "kim@acme.example", "recipient_name": "Kim", "day": DAY}
    values |= {"user_id": make_user().pk, "portal_url": PORTAL} | fields
    late = sum(each.is_overdue for each in filings)
    return task_helpers.queue_filing_reminder_email(
        tenant=tenant, filings=filings, **{"overdue_filings": late} | values
    )


def body(message: EmailMessage, kind: str) -> str:
    """Return the text (``plain``) or the HTML of a message."""
    part = message.get_body((kind,))
    assert part is not None
    return cast("str", part.get_content())


def sent(mailbox: Mailbox) -> EmailMessage:
    """Send what waits, and return the one message that came."""
    run_jobs()
    (message,) = mailbox.messages()
    return message


def both(mailbox: Mailbox) -> list[EmailMessage]:
    """Send what waits, and return the messages: about documents, about filings."""
    run_jobs()
    return sorted(mailbox.messages(), key=lambda message: "filing" in message["Subject"])


def test_a_warning_lists_the_documents_with_their_last_good_days(mailbox: Mailbox) -> None:
    tenant = make_tenant(name="Acme", locale="de_DE", address="Hafen 12\nBremen")
    warn(tenant, [document(1), document(30, client="Zoë Ødegård", document="passport")])

    message = sent(mailbox)

    assert message["Subject"] == "2 documents expire, the first tomorrow"
    for kind in ("plain", "html"):
        words = body(message, kind)
        for expected in ("Hello Kim", "3. November 2026", "trade licence", "Müller", "C-1"):
            assert expected in words
        assert "tomorrow" in words
        assert "in 30 days" in words
        assert "Zoë Ødegård" in words
        assert "03.12.2026" in words
        assert "Bremen" in words
    assert PORTAL in body(message, "plain")
    assert PORTAL.replace("&", "&amp;") in body(message, "html")


def test_a_reminder_lists_the_filings_with_their_due_dates(mailbox: Mailbox) -> None:
    remind(make_tenant(), [filing(-7), filing(-1), filing(0), filing(14)])

    message = sent(mailbox)

    assert message["Subject"] == "4 filings to hand in, 2 overdue"
    for kind in ("plain", "html"):
        words = body(message, kind)
        for expected in ("7 days overdue", "1 day overdue", "due today", "due in 14 days"):
            assert expected in words
        for expected in ("VAT return", "Tax office", "Müller", "30 Sept 2026", "27 Oct 2026"):
            assert expected in words


@pytest.mark.parametrize(
    ("days", "more", "subject"),
    [
        ([0], 0, "1 document expires today"),
        ([7], 0, "1 document expires in 7 days"),
        ([3, 7], 0, "2 documents expire, the first in 3 days"),
        ([1] * 50, 12, "62 documents expire, the first tomorrow"),
    ],
)
def test_the_subject_of_a_warning_says_how_many_and_how_soon(
    mailbox: Mailbox, days: list[int], more: int, subject: str
) -> None:
    warn(make_tenant(), [document(each) for each in days], more_documents=more)
    assert sent(mailbox)["Subject"] == subject


@pytest.mark.parametrize(
    ("days", "more", "subject"),
    [
        ([-1], 0, "1 filing to hand in, 1 overdue"),
        ([0], 0, "1 filing to hand in, due today"),
        ([3, 7], 0, "2 filings to hand in, the first due in 3 days"),
        ([-1, 7], 3, "5 filings to hand in, 1 overdue"),
    ],
)
def test_the_subject_of_a_reminder_says_how_many_and_how_late(
    mailbox: Mailbox, days: list[int], more: int, subject: str
) -> None:
    remind(make_tenant(), [filing(each) for each in days], more_filings=more)
    assert sent(mailbox)["Subject"] == subject


def test_a_list_is_cut_and_says_how_many_more_there_are(mailbox: Mailbox) -> None:
    tenant = make_tenant()
    warn(tenant, [document(document=f"paper {n}.") for n in range(MOST_LISTED + 5)])
    remind(tenant, [filing(filing=f"return {n}.") for n in range(MOST_LISTED)], more_filings=9)

    for message, what, more in zip(both(mailbox), ("paper", "return"), (5, 9), strict=True):
        text, html = body(message, "plain"), body(message, "html")
        assert f"... and {more} more" in text
        assert f"… and {more} more" in html
        assert f"{what} {MOST_LISTED - 1}." in text
        assert f"{what} {MOST_LISTED}." not in text + html
        assert str(message["Subject"]).startswith(f"{MOST_LISTED + more} ")


def test_the_text_is_no_leftover_of_a_template(mailbox: Mailbox) -> None:
    tenant = make_tenant()
    for many in (1, 3):
        warn(tenant, [document()] * many, recipient_name="")
        remind(tenant, [filing(-1)] * many, recipient_name="")
    run_jobs()

    messages = mailbox.messages()
    assert len(messages) == 4
    for message in messages:
        for kind in ("plain", "html"):
            words = body(message, kind)
            assert not re.search(r"\{[{%#]|[}%]\}|None\b|\bDueFiling\b|\bExpiringDocument\b", words)
            assert "Hello," in words
        assert "<" not in body(message, "plain")
        assert "\n\n\n" not in body(message, "plain")
        assert "http://" not in body(message, "html").replace("http://localhost", "")


def test_they_can_be_unsubscribed_from_each_alone(mailbox: Mailbox, client: Any) -> None:
    kim = make_user(email="kim@acme.example")
    warn(make_tenant(), [document()], user_id=kim.pk)
    remind(make_tenant(), [filing()], user_id=kim.pk)

    for message, kind in zip(both(mailbox), ("document_expiry", "filing_deadline"), strict=True):
        link = message["List-Unsubscribe"].strip("<> ")
        assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert link in body(message, "plain")
        client.post(link[link.index("/", 8) :], {"List-Unsubscribe": "One-Click"})
        choice = Preference.objects.get(user=kim, kind=kind)
        assert (choice.channel, choice.choice) == ("email", "off")


def test_markup_and_line_breaks_in_names_are_harmless(mailbox: Mailbox) -> None:
    name = "Tom & <script>alert(1)</script>'s {{ secret }}\r\nBcc: eve@evil.example"
    tenant = make_tenant(name=name)
    warn(tenant, [document(client=name, document=name, client_code=name)], recipient_name=name)
    remind(tenant, [filing(client=name, filing=name, authority=name)], recipient_name=name)
    run_jobs()

    for message in mailbox.messages():
        assert message["Bcc"] is None
        assert message["X-Envelope-To"] == "kim@acme.example"
        html = body(message, "html")
        assert "<script" not in html
        assert "Tom &amp; &lt;script&gt;alert(1)&lt;/script&gt;&#x27;s {{ secret }}" in html
        assert "Tom & <script>alert(1)</script>'s {{ secret }}" in body(message, "plain")


def test_names_of_many_scripts_arrive(mailbox: Mailbox) -> None:
    name = "株式会社さくら Δημήτρης زيت 🍣"
    warn(make_tenant(name=name), [document(client=name, document=name)], recipient_name=name)

    message = sent(mailbox)
    for kind in ("plain", "html"):
        assert body(message, kind).count(name) >= 3


def test_the_same_key_asks_once(mailbox: Mailbox) -> None:
    tenant = make_tenant()
    first = warn(tenant, [document()], dedup_key="kim:today")
    assert warn(tenant, [document()], dedup_key="kim:today") == first
    remind(tenant, [filing()], dedup_key="kim:today")
    run_jobs()
    assert len(mailbox.messages()) == 2


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"to": "kim@"}, "to"),
        ({"portal_url": "javascript:alert(1)"}, "portal_url"),
        ({"recipient_name": "x" * 301}, "recipient_name"),
    ],
)
def test_bad_fields_are_named_and_leave_no_delivery_row(
    fields: dict[str, str], problem: str
) -> None:
    tenant = make_tenant()
    with pytest.raises(InvalidPayload) as of_warning:
        warn(tenant, [document()], **fields)
    with pytest.raises(InvalidPayload) as of_reminder:
        remind(tenant, [filing()], **fields)

    for caught in (of_warning, of_reminder):
        assert list(caught.value.problems) == [problem]
    assert Delivery.objects.count() == 0
    assert enqueued_jobs() == []


def test_an_e_mail_about_nothing_is_refused() -> None:
    tenant = make_tenant()
    with pytest.raises(InvalidPayload) as of_warning:
        warn(tenant, [])
    with pytest.raises(InvalidPayload) as of_reminder:
        remind(tenant, [])

    assert list(of_warning.value.problems) == ["documents"]
    assert list(of_reminder.value.problems) == ["filings"]


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (-2, "2 days ago"),
        (-1, "yesterday"),
        (0, "today"),
        (1, "tomorrow"),
        (2, "in 2 days"),
    ],
)
def test_how_far_off_a_day_is(days: int, words: str) -> None:
    assert in_days(days) == words
