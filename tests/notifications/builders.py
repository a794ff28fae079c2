"""The one place where tests of notifications get their e-mails from."""

from datetime import date
from decimal import Decimal
from typing import Any

from notifications import task_helpers
from notifications.inbox import Notice
from notifications.lines import LowStockItem, OrderLine
from notifications.models import Delivery
from tenants.models import Tenant

DAY = date(2026, 11, 3)


def order_line(description: str = "Queso Cabrales", **fields: Any) -> OrderLine:
    """Return a line of an order."""
    return OrderLine(
        **{"description": description, "quantity": Decimal(12), "amount": Decimal("168.00")}
        | fields
    )


def low_stock_item(product: str = "Chai", **fields: Any) -> LowStockItem:
    """Return a product that is low."""
    return LowStockItem(
        **{
            "product": product,
            "sku": "P-1",
            "warehouse": "Main",
            "quantity": Decimal(3),
            "threshold": Decimal(10),
            "severity": "critical",
        }
        | fields
    )


def queue_confirmation(tenant: Tenant, **fields: Any) -> Delivery:
    """Ask for the e-mail that an order is confirmed."""
    values: dict[str, Any] = {
        "to": "ann@chevalier.example",
        "recipient_name": "Ann Lee",
        "order_number": "10248",
        "ordered_on": DAY,
        "lines": [order_line()],
        "freight": Decimal("32.38"),
        "total": Decimal("200.38"),
        "currency": "EUR",
    }
    return task_helpers.queue_order_confirmation_email(tenant=tenant, **values | fields)


def queue_invoice(tenant: Tenant, **fields: Any) -> Delivery:
    """Ask for the e-mail of an invoice."""
    values: dict[str, Any] = {
        "to": "ann@chevalier.example",
        "recipient_name": "Ann Lee",
        "invoice_number": "2026-000101",
        "order_number": "10248",
        "issued_on": DAY,
        "due_on": date(2026, 12, 3),
        "total": Decimal("472.38"),
        "currency": "EUR",
    }
    return task_helpers.queue_invoice_email(tenant=tenant, **values | fields)


def notice(subject_key: str = "inventory.product:1", **fields: Any) -> Notice:
    """Return a notice."""
    return Notice(**{"subject_key": subject_key, "title": "Chai is low"} | fields)
