"""Writes of the sales: confirming an order, and everything about its invoice.

Each may be called again at any point and does nothing twice: what decides is the row, locked.
"""

from datetime import timedelta
from decimal import Decimal

import structlog
from django.db import transaction
from django.db.models.functions import Now

from documents import services as documents
from jobs import audit
from notifications import services as notifications
from notifications.attachments import Attachment
from notifications.lines import OrderLine as EmailLine
from notifications.task_helpers import queue_order_confirmation_email
from sales import papers, selectors
from sales.errors import EmptyOrder, NoAddress, WrongState
from sales.models import Invoice, Order
from sales.numbering import next_sequence, printed
from tenants.selectors import local_date

log = structlog.get_logger(__name__)

#: From an invoice's date to the date it is due.
PAYMENT_TERM = timedelta(days=30)
#: Characters of a product's name in an e-mail: a job's arguments take 64 KiB at most.
LONGEST_DESCRIPTION = 100


# --- orders --------------------------------------------------------------------------------------


def confirm_order(order_id: int) -> bool:
    """Confirm a draft; enqueue its confirmation e-mail and its order sheet with it.

    A customer without an e-mail address gets none; the audit log says so.

    Returns:
        False when it was confirmed before, and nothing is done.

    Raises:
        WrongState: it is cancelled.
        EmptyOrder: it has no lines.
    """
    from sales.task_helpers import queue_order_sheet

    with transaction.atomic():
        order = _locked_order(order_id)
        if order.state in (Order.State.CONFIRMED, Order.State.SHIPPED):
            return False
        if order.state != Order.State.DRAFT:
            raise WrongState(f"Order {order} is {order.state}; only a draft can be confirmed.")
        if not order.lines.exists():
            raise EmptyOrder(f"Order {order} has no lines.")
        order.state = Order.State.CONFIRMED
        order.confirmed_at = Now()
        order.save(update_fields=["state", "confirmed_at"])
        _record(order, "sales.order_confirmed", "sales.order", order.pk)
        if order.customer.email:
            _queue_confirmation(order)
        else:
            _record(
                order,
                "sales.confirmation_not_emailed",
                "sales.order",
                order.pk,
                reason="the customer has no e-mail address",
            )
        queue_order_sheet(order=order)
    return True


def render_order_sheet(order_id: int) -> None:
    """Render and keep the order's sheet; for an atomic task."""
    with transaction.atomic():
        order = _locked_order(order_id)
        if order.sheet_id is not None:
            return
        order.sheet = documents.render_order_sheet(
            tenant=order.tenant,
            subject_type="sales.order",
            subject_id=order.pk,
            sheet=papers.order_sheet(order),
        )
        order.save(update_fields=["sheet"])


# --- invoices ------------------------------------------------------------------------------------


def issue_invoice(order_id: int) -> Invoice:
    """Give a confirmed order its invoice, and enqueue what follows: PDF, e-mail, audit entry.

    The number has no gap: it is taken in this transaction. An order that has its invoice keeps
    it, and nothing is enqueued again. Without an e-mail address the PDF alone is made; the audit
    log says so, and :func:`send_invoice` sends it later.

    Raises:
        WrongState: the order is not confirmed, or cancelled.
        EmptyOrder: it has no lines.
    """
    from sales.task_helpers import queue_invoice_delivery

    with transaction.atomic():
        order = _locked_order(order_id)
        if (known := Invoice.objects.filter(order=order).first()) is not None:
            return known
        if order.state not in (Order.State.CONFIRMED, Order.State.SHIPPED):
            raise WrongState(f"Order {order} is {order.state}; confirm it before invoicing it.")
        if not order.lines.exists():
            raise EmptyOrder(f"Order {order} has no lines.")
        today = local_date(order.tenant)
        sequence = next_sequence(order.tenant, today.year)
        invoice = Invoice.objects.create(
            tenant=order.tenant,
            order=order,
            year=today.year,
            sequence=sequence,
            number=printed(today.year, sequence),
            issued_on=today,
            due_on=today + PAYMENT_TERM,
            currency=order.tenant.currency,
            lines_total=selectors.lines_total(order),
            freight=order.freight,
        )
        _record(order, "sales.invoice_issued", "sales.invoice", invoice.pk, number=invoice.number)
        if order.customer.email:
            _prepare_email(invoice)
        else:
            _record(
                order,
                "sales.invoice_not_emailed",
                "sales.invoice",
                invoice.pk,
                reason="the customer has no e-mail address",
            )
        queue_invoice_delivery(invoice=invoice)
    log.info("invoice_issued", invoice_id=invoice.pk, order_id=order.pk)
    return invoice


def send_invoice(invoice_id: int) -> bool:
    """Enqueue the e-mail of an invoice that could not be sent when it was issued.

    Returns:
        False when its e-mail was asked for before, and nothing is done.

    Raises:
        NoAddress: the customer still has none.
    """
    from sales.task_helpers import queue_invoice_delivery

    with transaction.atomic():
        invoice = Invoice.objects.select_for_update().get(pk=invoice_id)
        if not invoice.order.customer.email:
            raise NoAddress(f"The customer of invoice {invoice} has no e-mail address.")
        if invoice.email_id is not None or invoice.state == Invoice.State.SENT:
            return False
        _prepare_email(invoice)
        queue_invoice_delivery(invoice=invoice)
    return True


def render_invoice(invoice_id: int) -> None:
    """Render and keep the invoice's PDF; for an atomic task."""
    with transaction.atomic():
        Invoice.objects.select_for_update().get(pk=invoice_id)
        invoice = selectors.get_invoice(invoice_id)
        if invoice.document_id is not None:
            return
        invoice.document = documents.render_invoice(
            tenant=invoice.tenant,
            subject_type="sales.invoice",
            subject_id=invoice.pk,
            invoice=papers.invoice_paper(invoice),
        )
        invoice.save(update_fields=["document"])


def email_invoice(invoice_id: int) -> None:
    """Send the invoice with its PDF to the customer, once; not in a transaction.

    Raises:
        NoAddress: the customer's address is gone since.
        WrongState: there is no PDF, or nobody has asked for the e-mail.
    """
    invoice = selectors.get_invoice(invoice_id)
    customer = invoice.order.customer
    if not customer.email:
        raise NoAddress(f"{customer} has no e-mail address; add one, then replay this job.")
    if invoice.document is None or invoice.email_id is None:
        raise WrongState(f"Invoice {invoice} is not rendered, or its e-mail was not asked for.")
    document = invoice.document
    notifications.send_invoice_email(
        delivery_id=invoice.email_id,
        to=customer.email,
        recipient_name=customer.contact_name or customer.company_name,
        invoice_number=invoice.number,
        order_number=invoice.order.number,
        issued_on=invoice.issued_on,
        due_on=invoice.due_on,
        total=invoice.total,
        currency=invoice.currency,
        attachments=[
            Attachment(
                storage_name=document.storage_name,
                filename=document.filename,
                sha256=document.sha256,
            )
        ],
    )


def record_invoice_sent(invoice_id: int) -> None:
    """Mark the invoice as sent and write the audit entry; for an atomic task."""
    with transaction.atomic():
        invoice = Invoice.objects.select_for_update().get(pk=invoice_id)
        if invoice.state == Invoice.State.SENT:
            return
        invoice.state = Invoice.State.SENT
        invoice.sent_at = Now()
        invoice.save(update_fields=["state", "sent_at"])
        detail = {"number": invoice.number, "delivery": str(invoice.email_id)}
        _record(invoice.order, "sales.invoice_sent", "sales.invoice", invoice.pk, **detail)


# --- shared --------------------------------------------------------------------------------------


def _locked_order(order_id: int) -> Order:
    orders = Order.objects.select_for_update(of=("self",)).select_related("tenant", "customer")
    return orders.get(pk=order_id)


def _record(order: Order, action: str, subject: str, subject_id: int, **detail: str) -> None:
    audit.record(
        action=action,
        subject_type=subject,
        subject_id=str(subject_id),
        detail=detail or None,
        tenant=order.tenant.slug,
    )


def _queue_confirmation(order: Order) -> None:
    queue_order_confirmation_email(
        tenant=order.tenant,
        to=order.customer.email,
        recipient_name=order.customer.contact_name or order.customer.company_name,
        order_number=order.number,
        ordered_on=order.order_date,
        lines=[
            EmailLine(
                description=line.product.name[:LONGEST_DESCRIPTION],
                quantity=Decimal(line.quantity),
                amount=line.amount,
            )
            for line in selectors.lines_of(order)
        ],
        freight=order.freight,
        total=selectors.order_total(order),
        currency=order.tenant.currency,
        ship_to=papers.ship_to_line(order),
        dedup_key=f"sales.order:{order.pk}",
    )


def _prepare_email(invoice: Invoice) -> None:
    """Write the delivery row of the invoice's e-mail, which its job will send."""
    invoice.email, _ = notifications.prepare_delivery(
        event="invoice",
        to=invoice.order.customer.email,
        tenant=invoice.tenant,
        dedup_key=f"sales.invoice:{invoice.pk}",
    )
    invoice.save(update_fields=["email"])
