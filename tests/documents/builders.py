"""The one place where tests of documents get their contents from."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from io import BytesIO
from typing import Any

import pypdf

from documents.contexts import (
    InvoiceContext,
    InvoiceLine,
    OrderSheetContext,
    OrderSheetLine,
    Party,
)
from tenants.models import Tenant

DAY = date(2026, 11, 3)


def a_tenant(**fields: Any) -> Tenant:
    """Return a company, unsaved."""
    return Tenant(**{"slug": "acme", "name": "Acme Trading Ltd"} | fields)


def line(description: str, amount: str = "10.00", quantity: int = 1, **fields: Any) -> InvoiceLine:
    """Return one line of an invoice."""
    return InvoiceLine(
        description=description,
        quantity=Decimal(quantity),
        amount=Decimal(amount),
        **{"unit_price": Decimal(amount) / quantity} | fields,
    )


#: Northwind's order 10248.
LINES = [
    line("Queso Cabrales", "168.00", 12, sku="11"),
    line("Singaporean Hokkien Fried Mee", "98.00", 10, sku="42"),
    line("Mozzarella di Giovanni", "174.00", 5, sku="72"),
]


def an_invoice(lines: Sequence[InvoiceLine] = LINES, **fields: Any) -> InvoiceContext:
    """Return what an invoice says; its total is right unless given."""
    values: dict[str, Any] = {
        "number": "2026-000101",
        "order_number": "10248",
        "issued_on": DAY,
        "due_on": date(2026, 12, 3),
        "ordered_on": date(2026, 10, 30),
        "seller": Party(name="Acme Trading Ltd", address="12 Harbour Road\nBristol"),
        "buyer": Party(name="Vins et alcools Chevalier", address="59 rue de l'Abbaye\nReims"),
        "lines": list(lines),
        "freight": Decimal("32.38"),
        "currency": "EUR",
    } | fields
    values.setdefault("total", sum(each.amount for each in lines) + values["freight"])
    return InvoiceContext(**values)


def an_order_sheet(**fields: Any) -> OrderSheetContext:
    """Return what an order sheet says."""
    party = Party(name="Vins et alcools Chevalier")
    values: dict[str, Any] = {
        "order_number": "10248",
        "ordered_on": DAY,
        "seller": Party(name="Acme Trading Ltd"),
        "buyer": party,
        "ship_to": party,
        "lines": [OrderSheetLine(description="Queso Cabrales", quantity=Decimal(12), sku="11")],
    }
    return OrderSheetContext(**values | fields)


def text_of(content: bytes) -> str:
    """Return the text of a PDF, its pages one after the other."""
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(BytesIO(content)).pages)
