"""E-mails as the mail server receives them, and what the delivery log says about them."""

import hashlib
import re
from datetime import timedelta
from decimal import Decimal
from email.message import EmailMessage
from pathlib import Path
from typing import cast

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from pydantic import SecretStr
from pytest_django import Settings

from jobs.errors import InvalidPayload
from jobs.models import AuditEntry, Effect, Job
from jobs.states import State
from jobs.testing import assert_enqueued, enqueued_jobs, run_jobs
from notifications import task_helpers, tasks
from notifications.attachments import Attachment
from notifications.lines import MOST_LISTED
from notifications.models import Delivery
from tests.conftest import Mailbox
from tests.tenants.builders import make_tenant, make_user

from .builders import DAY, low_stock_item, order_line, queue_confirmation, queue_invoice

pytestmark = pytest.mark.django_db

PDF = b"%PDF-1.7 the invoice"


@pytest.fixture
def attachment(tmp_path: Path, settings: Settings) -> Attachment:
    """A kept PDF."""
    settings.MEDIA_ROOT = tmp_path
    name = default_storage.save("documents/x.pdf", ContentFile(PDF))
    return Attachment(
        storage_name=name,
        filename="invoice-2026-000101.pdf",
        sha256=hashlib.sha256(PDF).hexdigest(),
    )


def body(message: EmailMessage, kind: str) -> str:
    """Return the text (``plain``) or the HTML of a message."""
    part = message.get_body((kind,))
    assert part is not None
    return cast("str", part.get_content())


def row(delivery: Delivery) -> Delivery:
    """Return the delivery as it is now."""
    return Delivery.objects.get(pk=delivery.pk)


# --- what arrives --------------------------------------------------------------------------------


def test_an_order_confirmation_arrives_with_subject_text_and_html(mailbox: Mailbox) -> None:
    tenant = make_tenant(name="Acme Trading", locale="de_DE", address="Hafen 12\nBremen")

    delivery = queue_confirmation(tenant, ship_to="59 rue de l'Abbaye\nReims")
    assert row(delivery).state == Delivery.State.QUEUED
    run_jobs()

    (message,) = mailbox.messages()
    assert message["Subject"] == "Order 10248 is confirmed"
    assert message["To"] == "Ann Lee <ann@chevalier.example>"
    assert message["From"] == "Acme Trading <no-reply@erp.example>"
    assert message["Message-ID"] == delivery.message_id
    assert message["List-Unsubscribe"] is None
    for kind in ("plain", "html"):
        words = body(message, kind).replace("\xa0", " ")
        for expected in (
            "Ann Lee",
            "3. November 2026",
            "Queso Cabrales",
            "168,00 €",
            "200,38 €",
            "Reims",
        ):
            assert expected in words
    assert "<" not in body(message, "plain")
    assert "l'Abbaye" in body(message, "plain")
    sent = row(delivery)
    assert (sent.state, sent.subject) == (Delivery.State.SENT, "Order 10248 is confirmed")
    assert sent.sent_at is not None
    assert sent.job_id == Job.objects.get(task="notifications.email_order_confirmation").id


def test_an_invoice_arrives_with_its_pdf(mailbox: Mailbox, attachment: Attachment) -> None:
    delivery = queue_invoice(make_tenant(name="Acme"), attachments=[attachment])
    run_jobs()

    (message,) = mailbox.messages()
    (pdf,) = list(message.iter_attachments())
    assert message["Subject"] == "Invoice 2026-000101 from Acme, due 3 December 2026"
    assert "€472.38" in body(message, "plain")
    assert "€472.38" in body(message, "html")
    assert "attached" in body(message, "plain")
    assert pdf.get_filename() == "invoice-2026-000101.pdf"
    assert pdf.get_content_type() == "application/pdf"
    assert pdf.get_content() == PDF
    assert row(delivery).attachments == [attachment.model_dump()]


def test_a_low_stock_alert_is_one_digest_that_can_be_unsubscribed_from(mailbox: Mailbox) -> None:
    user = make_user(email="kim@acme.example")
    items = [low_stock_item(f"Product {n}") for n in range(MOST_LISTED + 12)]

    task_helpers.queue_low_stock_alert_email(
        tenant=make_tenant(),
        to=user.email,
        recipient_name="Kim",
        user_id=user.pk,
        day=DAY,
        items=items,
        stock_url="https://erp.example/stock/",
    )
    run_jobs()

    (message,) = mailbox.messages()
    assert message["Subject"] == "62 products low on stock, 62 critical"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = message["List-Unsubscribe"].strip("<> ")
    assert link.startswith("http")
    assert link in body(message, "plain")
    assert "and 12 more" in body(message, "plain")
    assert "https://erp.example/stock/" in body(message, "html")


def test_the_text_is_no_leftover_of_a_template(mailbox: Mailbox, attachment: Attachment) -> None:
    tenant, user = make_tenant(), make_user()
    queue_confirmation(tenant, lines=[order_line(f"Line {n}") for n in range(60)])
    queue_invoice(tenant, attachments=[attachment])
    task_helpers.queue_low_stock_alert_email(
        tenant=tenant,
        to=user.email,
        recipient_name="",
        user_id=user.pk,
        day=DAY,
        items=[low_stock_item()],
        stock_url="https://erp.example/stock/",
    )
    task_helpers.queue_password_reset_email(
        to="ann@acme.example",
        recipient_name="Ann",
        reset_link="https://erp.example/r/abc",
        expires_at=timezone.now() + timedelta(hours=1),
    )
    run_jobs()

    messages = mailbox.messages()
    assert len(messages) == 4
    for message in messages:
        for kind in ("plain", "html"):
            words = body(message, kind)
            assert not re.search(r"\{[{%#]|[}%]\}|None\b|\bOrderLine\b", words)
            assert "&amp;lt;" not in words
        assert all(len(line) < 400 for line in body(message, "plain").splitlines())
    html = body(messages[0], "html")
    assert "<script" not in html
    assert "http://" not in html.replace("http://localhost", "")


# --- hostile and foreign input -------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "ann",
        "ann@",
        "@acme.example",
        "a b@acme.example",
        "ann@acme",
        "",
        "ann@acme.example, bob@acme.example",
        "ann@acme.example\r\nBcc: x@y.example",
        "ünal@acme.example",
    ],
)
def test_a_malformed_address_is_refused_and_names_the_field(address: str) -> None:
    with pytest.raises(InvalidPayload) as caught:
        queue_confirmation(make_tenant(), to=address)

    assert list(caught.value.problems) == ["to"]
    assert Delivery.objects.count() == 0
    assert enqueued_jobs() == []


def test_other_bad_fields_are_named_too_and_leave_no_delivery_row() -> None:
    with pytest.raises(InvalidPayload) as caught:
        queue_confirmation(make_tenant(), currency="euro", total="a lot")

    assert set(caught.value.problems) == {"currency", "total"}
    assert Delivery.objects.count() == 0


def test_an_address_at_an_international_domain_travels_as_punycode(mailbox: Mailbox) -> None:
    queue_confirmation(make_tenant(), to="ann@bücher.example", recipient_name="Ánn 李")
    run_jobs()

    (message,) = mailbox.messages()
    assert message["X-Envelope-To"] == "ann@xn--bcher-kva.example"
    assert message["To"].addresses[0].display_name == "Ánn 李"


def test_line_breaks_in_header_fields_are_harmless(mailbox: Mailbox) -> None:
    queue_confirmation(
        make_tenant(name="Acme\r\nBcc: eve@evil.example"),
        recipient_name='Ann\r\nBcc: eve@evil.example\r\n\r\n"<script>',
        order_number="1\r\nX-Evil: yes",
    )
    run_jobs()

    (message,) = mailbox.messages()
    assert message["Bcc"] is None
    assert message["X-Evil"] is None
    assert message["X-Envelope-To"] == "ann@chevalier.example"
    assert message["Subject"] == "Order 1 X-Evil: yes is confirmed"
    assert len(message["To"].addresses) == 1


def test_markup_in_a_name_is_escaped_in_html_and_left_alone_in_text_and_subject(
    mailbox: Mailbox,
) -> None:
    name = "Tom & <b>Jerry</b>'s"
    queue_confirmation(
        make_tenant(name=name), recipient_name=name, order_number=name, lines=[order_line(name)]
    )
    run_jobs()

    (message,) = mailbox.messages()
    assert message["Subject"] == f"Order {name} is confirmed"
    assert body(message, "plain").count(name) == 4
    assert "<b>Jerry" not in body(message, "html")
    assert "Tom &amp; &lt;b&gt;Jerry&lt;/b&gt;&#x27;s" in body(message, "html")


def test_names_of_many_scripts_and_any_length_arrive(mailbox: Mailbox) -> None:
    name = "株式会社さくら Δημήτρης زيت 🍣 " + "長" * 250
    queue_confirmation(make_tenant(name=name[:200]), recipient_name=name, lines=[order_line(name)])
    run_jobs()

    (message,) = mailbox.messages()
    # The parser of the test puts a space between two encoded words; RFC 2047 has none there.
    shown = message["To"].addresses[0].display_name.replace(" ", "")
    assert shown.startswith("株式会社さくらΔημήτρηςزيت🍣長長長")
    assert shown.endswith("…")
    assert name in body(message, "plain")


# --- secrets -------------------------------------------------------------------------------------


def test_a_reset_link_reaches_the_person_and_stands_nowhere_else(
    mailbox: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    link = "https://erp.example/reset/MQ/very-secret-token/"

    delivery = task_helpers.queue_password_reset_email(
        to="ann@acme.example",
        recipient_name="Ann",
        reset_link=SecretStr(link),
        expires_at=timezone.now() + timedelta(hours=1),
    )
    job = assert_enqueued(tasks.email_password_reset)
    run_jobs()

    (message,) = mailbox.messages()
    assert link in body(message, "plain")
    assert link in body(message, "html")
    assert message["From"] == "ERP <no-reply@erp.example>"
    assert job.priority == 0
    with connection.cursor() as cursor:
        for model in (Job, Delivery, Effect, AuditEntry):
            cursor.execute(
                f"SELECT count(*) FROM {model._meta.db_table} t WHERE t::text LIKE '%very-secret%'"
            )
            assert cursor.fetchone() == (0,)
    assert "very-secret" not in caplog.text
    assert row(delivery).state == Delivery.State.SENT


def test_a_failing_reset_e_mail_does_not_tell_the_link(mailbox: Mailbox) -> None:
    delivery = task_helpers.queue_password_reset_email(
        to="reject@acme.example",
        recipient_name="Ann",
        reset_link="https://erp.example/very-secret/",
        expires_at=timezone.now() + timedelta(hours=1),
    )
    (job,) = run_jobs()

    assert row(delivery).state == Delivery.State.FAILED
    assert "very-secret" not in row(delivery).error + job.error


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "erp.example/reset", "https://x y", "data:text/html,x"]
)
def test_a_reset_link_that_is_no_link_is_refused_without_being_repeated(link: str) -> None:
    with pytest.raises(InvalidPayload) as caught:
        task_helpers.queue_password_reset_email(
            to="ann@acme.example", recipient_name="Ann", reset_link=link, expires_at=timezone.now()
        )

    assert list(caught.value.problems) == ["reset_link"]
    assert link not in str(caught.value)


def test_an_expired_reset_link_is_not_sent(mailbox: Mailbox) -> None:
    delivery = task_helpers.queue_password_reset_email(
        to="ann@acme.example",
        recipient_name="Ann",
        reset_link="https://erp.example/r",
        expires_at=timezone.now() - timedelta(seconds=1),
    )
    (job,) = run_jobs()

    assert job.state == State.CANCELLED
    assert row(delivery).state == Delivery.State.FAILED
    assert mailbox.messages() == []


# --- failures and repeats ------------------------------------------------------------------------


def test_a_recipient_refused_for_good_fails_at_once(mailbox: Mailbox) -> None:
    delivery = queue_confirmation(make_tenant(), to="reject@chevalier.example")
    (job,) = run_jobs(retries=True)

    failed = row(delivery)
    assert (job.state, job.attempt) == (State.DEAD, 1)
    assert failed.state == Delivery.State.FAILED
    assert "550" in failed.error
    assert failed.sent_at is None


def test_a_temporary_refusal_is_retried_and_fails_with_the_last_attempt(mailbox: Mailbox) -> None:
    delivery = queue_confirmation(make_tenant(), to="tempfail@chevalier.example")

    run_jobs()
    waiting = row(delivery)
    (job,) = run_jobs(retries=True)

    assert waiting.state == Delivery.State.QUEUED
    assert "451" in waiting.error
    assert (job.state, job.attempt) == (State.DEAD, 5)
    assert row(delivery).state == Delivery.State.FAILED


def test_no_mail_server_is_a_failure_to_retry(settings: Settings) -> None:
    settings.EMAIL_PORT = 1
    delivery = queue_confirmation(make_tenant())

    (job,) = run_jobs()

    assert job.state == State.SCHEDULED
    assert row(delivery).state == Delivery.State.QUEUED
    assert "ConnectionRefusedError" in row(delivery).error


def test_a_finished_send_is_not_repeated_when_its_job_runs_again(mailbox: Mailbox) -> None:
    delivery = queue_confirmation(make_tenant())
    run_jobs()
    # A crash after the server took it and before the row said so.
    Delivery.objects.filter(pk=delivery.pk).update(state=Delivery.State.QUEUED, sent_at=None)
    Job.objects.update(state=State.AVAILABLE, finished_at=None)
    run_jobs()

    assert len(mailbox.messages()) == 1
    assert row(delivery).state == Delivery.State.SENT


def test_a_send_with_an_unknown_outcome_is_repeated_under_the_same_message_id(
    mailbox: Mailbox,
) -> None:
    delivery = queue_confirmation(make_tenant())
    job = assert_enqueued(tasks.email_order_confirmation)
    Effect.objects.create(
        key=f"email:{delivery.message_id}", state=Effect.State.STARTED, job_id=job.id
    )
    run_jobs()

    (message,) = mailbox.messages()
    assert message["Message-ID"] == delivery.message_id


def test_a_replay_with_a_corrected_address_reaches_the_person(mailbox: Mailbox) -> None:
    delivery = queue_confirmation(make_tenant(), to="reject@chevalier.example")
    (dead,) = run_jobs()
    tasks.email_order_confirmation.using(tenant=dead.tenant).enqueue(
        **dead.payload | {"to": "ann@chevalier.example"}
    )
    run_jobs()

    (message,) = mailbox.messages()
    sent = row(delivery)
    assert message["Message-ID"] == delivery.message_id
    assert (sent.state, sent.recipient, sent.error) == (
        Delivery.State.SENT,
        "ann@chevalier.example",
        "",
    )


def test_an_attachment_that_changed_is_not_sent(mailbox: Mailbox, attachment: Attachment) -> None:
    default_storage.delete(attachment.storage_name)
    default_storage.save(attachment.storage_name, ContentFile(b"another file"))

    delivery = queue_invoice(make_tenant(), attachments=[attachment])
    (job,) = run_jobs(retries=True)

    assert (job.state, job.attempt) == (State.DEAD, 1)
    assert "SHA-256" in row(delivery).error
    assert mailbox.messages() == []


def test_an_attachment_that_is_missing_is_waited_for(
    mailbox: Mailbox, attachment: Attachment
) -> None:
    default_storage.delete(attachment.storage_name)
    queue_invoice(make_tenant(), attachments=[attachment])
    (job,) = run_jobs()
    assert job.state == State.SCHEDULED

    default_storage.save(attachment.storage_name, ContentFile(PDF))
    run_jobs(retries=True)

    assert len(mailbox.messages()) == 1


# --- asking --------------------------------------------------------------------------------------


def test_a_rolled_back_transaction_leaves_neither_row_nor_job() -> None:
    tenant = make_tenant()

    def business() -> None:
        with transaction.atomic():
            queue_confirmation(tenant)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        business()

    assert Delivery.objects.count() == 0
    assert enqueued_jobs() == []


def test_the_same_key_asks_once_per_tenant_and_event(mailbox: Mailbox) -> None:
    here, there = make_tenant(), make_tenant()

    first = queue_confirmation(here, dedup_key="order:10248")
    again = queue_confirmation(here, dedup_key="order:10248", to="other@chevalier.example")
    queue_confirmation(there, dedup_key="order:10248")
    queue_invoice(here, dedup_key="order:10248")
    run_jobs()

    assert again.pk == first.pk
    assert again.job_id == first.job_id
    assert len(mailbox.messages()) == 3


def test_the_database_refuses_a_second_row_of_one_key() -> None:
    first = queue_confirmation(make_tenant(), dedup_key="order:1")
    copy = Delivery(
        tenant=first.tenant,
        event=first.event,
        recipient=first.recipient,
        dedup_key="order:1",
        message_id="<other@erp.example>",
    )

    with pytest.raises(IntegrityError, match="notif_delivery_once"):
        copy.save(force_insert=True)


def test_an_e_mail_can_be_enqueued_by_hand_without_a_delivery(mailbox: Mailbox) -> None:
    tenant = make_tenant(slug="acme")
    tasks.email_order_confirmation.using(tenant="acme").enqueue(
        to="ann@chevalier.example",
        recipient_name="Ann",
        order_number="1",
        ordered_on=DAY,
        lines=[],
        freight=Decimal(0),
        total=Decimal(0),
        currency="EUR",
    )
    (job,) = run_jobs()

    (message,) = mailbox.messages()
    delivery = Delivery.objects.get(job_id=job.id)
    assert delivery.tenant == tenant
    assert message["Message-ID"] == delivery.message_id
