"""Tasks of the sales."""

from jobs import job_task
from sales import services


@job_task(name="sales.render_order_sheet", queue="pdf", atomic=True)
def render_order_sheet(*, order_id: int) -> None:
    """Render the sheet by which an order is picked and packed."""
    services.render_order_sheet(order_id)


@job_task(name="sales.render_invoice", queue="pdf", atomic=True)
def render_invoice(*, invoice_id: int) -> None:
    """Render an invoice as PDF."""
    services.render_invoice(invoice_id)


@job_task(name="sales.email_invoice", queue="email")
def email_invoice(*, invoice_id: int) -> None:
    """E-mail an invoice with its PDF to the customer."""
    services.email_invoice(invoice_id)


@job_task(name="sales.record_invoice_sent", queue="notifications", atomic=True)
def record_invoice_sent(*, invoice_id: int) -> None:
    """Mark an invoice as sent, with an audit entry."""
    services.record_invoice_sent(invoice_id)
