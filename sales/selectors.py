"""Reads of the sales."""

from decimal import Decimal

from django.db.models import QuerySet, Sum

from sales.models import Invoice, Order, OrderLine


def lines_of(order: Order) -> QuerySet[OrderLine]:
    """Return the order's lines with their products, in the order they were entered."""
    return order.lines.select_related("product").order_by("id")


def lines_total(order: Order) -> Decimal:
    """Return the sum of the order's lines, each rounded to cents; without the freight."""
    total: Decimal | None = order.lines.aggregate(total=Sum("amount"))["total"]
    return total or Decimal("0.00")


def order_total(order: Order) -> Decimal:
    """Return what the order costs, freight included."""
    return lines_total(order) + order.freight


def get_invoice(invoice_id: int) -> Invoice:
    """Return the invoice with its order, customer, tenant and document."""
    return Invoice.objects.select_related("order__customer", "tenant", "document").get(
        pk=invoice_id
    )
