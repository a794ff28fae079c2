"""Confirming and invoicing: once, with everything that belongs to it, or not at all."""

from datetime import UTC, datetime
from decimal import Decimal
from email.message import EmailMessage
from pathlib import Path

import pytest
import time_machine
from django.core.files.storage import default_storage
from django.db import transaction
from pypdf import PdfReader

from documents.models import Document
from jobs.models import AuditEntry, Job
from jobs.testing import assert_enqueued, enqueued_jobs, run_jobs
from notifications.models import Delivery
from sales import services
from sales.errors import EmptyOrder, NoAddress, WrongState
from sales.models import Invoice, InvoiceCounter, Order
from sales.task_helpers import queue_invoicing
from tenants.models import Tenant
from tests.conftest import Mailbox
from tests.sales.builders import (
    import_northwind,
    make_confirmed_order,
    make_customer,
    make_order,
)
from tests.tenants.builders import make_tenant

pytestmark = pytest.mark.django_db

CONFIRMATION = "notifications.email_order_confirmation"
SHEET = "sales.render_order_sheet"
CHAIN = ["sales.render_invoice", "sales.email_invoice", "sales.record_invoice_sent"]


@pytest.fixture
def tenant() -> Tenant:
    """A company."""
    return make_tenant()


def audited(action: str) -> list[AuditEntry]:
    """Return the audit entries of an action."""
    return list(AuditEntry.objects.filter(action=action))


def attachments(message: EmailMessage) -> list[EmailMessage]:
    """Return the files of a message."""
    return list(message.iter_attachments())


# --- orders --------------------------------------------------------------------------------------


def test_confirming_an_order_enqueues_its_email_and_its_sheet(tenant: Tenant) -> None:
    order = make_order(tenant)
    assert services.confirm_order(order.pk) is True
    order.refresh_from_db()
    assert order.state == "confirmed"
    assert_enqueued(SHEET, order_id=order.pk)
    email = assert_enqueued(CONFIRMATION, order_number=order.number)
    assert (email.payload["total"], email.tenant) == ("32.75", tenant.slug)
    assert [entry.subject_id for entry in audited("sales.order_confirmed")] == [str(order.pk)]


def test_a_confirmed_order_reaches_the_customer_and_the_storage(
    tenant: Tenant, mailbox: Mailbox
) -> None:
    order = make_confirmed_order(tenant)
    run_jobs()
    (message,) = mailbox.messages()
    assert order.customer.email in str(message["To"])
    assert order.number in str(message["Subject"])
    order.refresh_from_db()
    assert order.sheet is not None
    assert (order.sheet.kind, order.sheet.pages) == ("order_sheet", 1)
    with default_storage.open(order.sheet.storage_name) as file:
        assert order.number in PdfReader(file).pages[0].extract_text()


def test_confirming_twice_does_nothing_the_second_time(tenant: Tenant) -> None:
    order = make_confirmed_order(tenant)
    assert services.confirm_order(order.pk) is False
    assert len(enqueued_jobs()) == 2
    assert len(audited("sales.order_confirmed")) == 1


def test_a_confirmation_that_rolls_back_leaves_nothing(tenant: Tenant) -> None:
    order = make_order(tenant)

    def fail_after_confirming() -> None:
        with transaction.atomic():
            services.confirm_order(order.pk)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_confirming()
    order.refresh_from_db()
    assert order.state == "draft"
    assert enqueued_jobs() == []
    assert not Delivery.objects.exists()


def test_a_customer_without_an_address_is_confirmed_without_email_and_the_log_says_so(
    tenant: Tenant,
) -> None:
    make_confirmed_order(tenant, customer=make_customer(tenant, email=""))
    assert [job.task for job in enqueued_jobs()] == [SHEET]
    (entry,) = audited("sales.confirmation_not_emailed")
    assert entry.detail == {"reason": "the customer has no e-mail address"}
    assert entry.tenant == tenant.slug


def test_a_cancelled_or_empty_order_is_not_confirmed(tenant: Tenant) -> None:
    cancelled, empty = make_order(tenant), make_order(tenant)
    Order.objects.filter(pk=cancelled.pk).update(state="cancelled")
    empty.lines.all().delete()
    with pytest.raises(WrongState, match="is cancelled"):
        services.confirm_order(cancelled.pk)
    with pytest.raises(EmptyOrder):
        services.confirm_order(empty.pk)


def test_an_order_sheet_is_rendered_once(tenant: Tenant) -> None:
    order = make_confirmed_order(tenant)
    for _ in range(2):
        services.render_order_sheet(order.pk)
    assert Document.objects.count() == 1


# --- invoices ------------------------------------------------------------------------------------


def test_an_invoice_has_the_amounts_of_its_order_and_the_dates_of_its_company() -> None:
    tenant = make_tenant(timezone="Pacific/Auckland", currency="NZD")
    with time_machine.travel(datetime(2026, 12, 31, 12, 0, tzinfo=UTC), tick=False):
        invoice = services.issue_invoice(make_confirmed_order(tenant).pk)
    invoice.refresh_from_db()
    assert (invoice.lines_total, invoice.freight, invoice.total) == (
        Decimal("28.50"), Decimal("4.25"), Decimal("32.75"),
    )  # fmt: skip
    assert (invoice.number, invoice.currency) == ("2027-000001", "NZD")
    assert (str(invoice.issued_on), str(invoice.due_on)) == ("2027-01-01", "2027-01-31")


def test_numbers_have_no_gap_even_when_an_invoice_is_rolled_back(tenant: Tenant) -> None:
    orders = [make_confirmed_order(tenant) for _ in range(3)]
    services.issue_invoice(orders[0].pk)

    def fail_after_issuing() -> None:
        with transaction.atomic():
            services.issue_invoice(orders[1].pk)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_issuing()
    services.issue_invoice(orders[2].pk)
    services.issue_invoice(orders[1].pk)
    assert sorted(Invoice.objects.values_list("sequence", flat=True)) == [1, 2, 3]


def test_numbers_are_of_a_company_and_begin_again_in_every_year(tenant: Tenant) -> None:
    numbers = []
    for company, year in ((tenant, 2026), (tenant, 2026), (tenant, 2027), (make_tenant(), 2027)):
        with time_machine.travel(datetime(year, 6, 1, tzinfo=UTC), tick=False):
            numbers.append(services.issue_invoice(make_confirmed_order(company).pk).number)
    assert numbers == ["2026-000001", "2026-000002", "2027-000001", "2027-000001"]
    assert InvoiceCounter.objects.get(tenant=tenant, year=2026).last == 2


def test_invoicing_is_pdf_then_email_then_audit_entry(tenant: Tenant, mailbox: Mailbox) -> None:
    order = make_confirmed_order(tenant)
    run_jobs()
    before = len(mailbox.messages())
    queue_invoicing(order_id=order.pk)
    assert [job.task for job in enqueued_jobs()] == ["sales.render_invoice"]
    assert [job.task for job in run_jobs()] == CHAIN

    invoice = Invoice.objects.get()
    assert invoice.document is not None
    (message,) = mailbox.messages()[before:]
    assert invoice.number in str(message["Subject"])
    (pdf,) = attachments(message)
    assert pdf.get_filename() == f"invoice-{invoice.number}.pdf"
    with default_storage.open(invoice.document.storage_name) as file:
        assert pdf.get_content() == file.read()
    assert (invoice.state, invoice.sent_at is not None) == ("sent", True)
    (entry,) = audited("sales.invoice_sent")
    assert (entry.subject_type, entry.subject_id) == ("sales.invoice", str(invoice.pk))
    assert entry.detail == {"number": invoice.number, "delivery": str(invoice.email_id)}


def test_every_step_may_run_twice_and_does_nothing_twice(tenant: Tenant, mailbox: Mailbox) -> None:
    order = make_confirmed_order(tenant)
    invoice = queue_invoicing(order_id=order.pk)
    assert queue_invoicing(order_id=order.pk) == invoice
    run_jobs()
    sent = len(mailbox.messages())
    assert services.send_invoice(invoice.pk) is False
    # Messages delivered twice, replays: every step anew, in the same order.
    Job.objects.filter(task__in=CHAIN).update(state="available", finished_at=None, canvas=None)
    run_jobs()
    assert Document.objects.filter(kind="invoice").count() == 1
    assert len(mailbox.messages()) == sent
    assert len(audited("sales.invoice_sent")) == 1


@pytest.mark.parametrize("step", range(3))
def test_a_crash_at_any_step_is_made_good_by_the_next_attempt(
    tenant: Tenant, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    order = make_confirmed_order(tenant)
    run_jobs()
    before = len(mailbox.messages())
    name = ["render_invoice", "email_invoice", "record_invoice_sent"][step]
    real = getattr(services, name)
    calls = []

    def crash_after_the_work(invoice_id: int) -> None:
        real(invoice_id)
        calls.append(invoice_id)
        if len(calls) == 1:
            raise ConnectionError("the worker loses its database here")

    monkeypatch.setattr(services, name, crash_after_the_work)
    queue_invoicing(order_id=order.pk)
    run_jobs(retries=True)
    assert len(calls) == 2
    invoice = Invoice.objects.get()
    assert invoice.state == "sent"
    assert len(mailbox.messages()) == before + 1
    assert len(audited("sales.invoice_sent")) == 1
    assert Document.objects.filter(kind="invoice").count() == 1


def test_without_an_address_the_invoice_is_rendered_and_sent_when_there_is_one(
    tenant: Tenant, mailbox: Mailbox
) -> None:
    customer = make_customer(tenant, email="")
    invoice = services.issue_invoice(make_confirmed_order(tenant, customer=customer).pk)
    run_jobs()
    invoice.refresh_from_db()
    assert (invoice.state, invoice.document is not None) == ("issued", True)
    assert len(audited("sales.invoice_not_emailed")) == 1
    with pytest.raises(NoAddress):
        services.send_invoice(invoice.pk)

    customer.email = "late@buyer.example"
    customer.save()
    assert services.send_invoice(invoice.pk) is True
    run_jobs()
    invoice.refresh_from_db()
    assert invoice.state == "sent"
    (message,) = mailbox.messages()
    assert len(attachments(message)) == 1


def test_an_address_that_vanished_ends_as_a_dead_letter_whose_replay_sends(
    tenant: Tenant,
) -> None:
    order = make_confirmed_order(tenant)
    run_jobs()
    invoice = services.issue_invoice(order.pk)
    order.customer.email = ""
    order.customer.save()
    jobs = run_jobs()
    assert [job.state for job in jobs] == ["succeeded", "dead"]
    assert "add one, then replay" in jobs[1].error
    invoice.refresh_from_db()
    assert invoice.state == "issued"


def test_a_draft_or_empty_order_is_not_invoiced(tenant: Tenant) -> None:
    draft, empty = make_order(tenant), make_confirmed_order(tenant)
    empty.lines.all().delete()
    with pytest.raises(WrongState, match="is draft; confirm it"):
        services.issue_invoice(draft.pk)
    with pytest.raises(EmptyOrder):
        services.issue_invoice(empty.pk)
    assert not InvoiceCounter.objects.exists()


def test_the_invoice_of_northwind_order_10248(tenant: Tenant, northwind: Path) -> None:
    import_northwind(tenant, northwind)
    order = Order.objects.get(tenant=tenant, number="10248")
    order.customer.email = "paul@vins.example"
    order.customer.save()
    services.confirm_order(order.pk)
    invoice = services.issue_invoice(order.pk)
    run_jobs()
    invoice.refresh_from_db()
    assert (invoice.lines_total, invoice.freight) == (Decimal("440.00"), Decimal("32.38"))
    assert invoice.document is not None
    with default_storage.open(invoice.document.storage_name) as file:
        pages = PdfReader(file).pages
        assert len(pages) == 1
        text = pages[0].extract_text()
    for words in ("440.00", "32.38", "472.38", "Queso Cabrales", "Vins et alcools Chevalier"):
        assert words in text
