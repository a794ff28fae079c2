"""What business code calls to have work on orders done. All of it in the caller's transaction."""

from jobs import Job
from sales import services, tasks
from sales.models import Invoice, Order


def queue_order_sheet(*, order: Order) -> Job:
    """Have the sheet rendered by which the order is picked and packed."""
    return tasks.render_order_sheet.using(tenant=order.tenant.slug).enqueue(order_id=order.pk)


def queue_invoicing(*, order_id: int) -> Invoice:
    """Issue the order's invoice, and have it rendered, e-mailed and recorded, in this order.

    Asking again returns the invoice as it is. See :func:`sales.services.issue_invoice`.

    Raises:
        WrongState, EmptyOrder: the order cannot be invoiced (yet).
    """
    return services.issue_invoice(order_id)


def queue_invoice_delivery(*, invoice: Invoice) -> Job:
    """Have the invoice rendered and, when its e-mail is prepared, sent and recorded as sent.

    Returns the first job of the chain; each step is enqueued by the success of the one before.
    """
    follows = []
    if invoice.email_id is not None:
        follows = [
            tasks.email_invoice.step(invoice_id=invoice.pk),
            tasks.record_invoice_sent.step(invoice_id=invoice.pk),
        ]
    return tasks.render_invoice.using(tenant=invoice.tenant.slug, follows=follows).enqueue(
        invoice_id=invoice.pk
    )
