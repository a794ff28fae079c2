"""The one place where tests get customers and orders from."""

from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

from imports.models import ImportRun
from sales.models import Customer, Order, OrderLine
from sales.services import confirm_order
from tenants.models import Tenant
from tests.imports.builders import run_import
from tests.inventory.builders import make_product

_numbers = count(1)
NORTHWIND_FILES = {
    "products": "products.csv",
    "customers": "customers.csv",
    "orders": "orders.csv",
    "order_lines": "order_details.csv",
}


def make_customer(tenant: Tenant, **fields: Any) -> Customer:
    """Return a new customer with an e-mail address."""
    number = next(_numbers)
    given = {
        "code": f"C{number}",
        "company_name": f"Customer {number}",
        "contact_name": f"Contact {number}",
        "email": f"customer-{number}@buyer.example",
    }
    return Customer.objects.create(tenant=tenant, **(given | fields))


def make_order(tenant: Tenant, *, customer: Customer | None = None, **fields: Any) -> Order:
    """Return a new draft with two lines, of 20.00 and 8.50, and a freight of 4.25."""
    number = next(_numbers)
    given = {"number": f"A-{number}", "order_date": date(2026, 3, 1), "freight": "4.25"}
    order = Order.objects.create(
        tenant=tenant, customer=customer or make_customer(tenant), **(given | fields)
    )
    add_line(order, "10.00", 2)
    add_line(order, "10.00", 1, "0.15")
    return order


def add_line(order: Order, unit_price: str, quantity: int, discount: str = "0") -> OrderLine:
    """Return a new line of a new product."""
    line = OrderLine.objects.create(
        order=order,
        product=make_product(order.tenant),
        unit_price=unit_price,
        quantity=quantity,
        discount=discount,
    )
    line.refresh_from_db()
    return line


def make_confirmed_order(tenant: Tenant, **fields: Any) -> Order:
    """Return a new order that is confirmed; its jobs wait."""
    order = make_order(tenant, **fields)
    confirm_order(order.pk)
    order.refresh_from_db()
    return order


def import_northwind(tenant: Tenant, folder: Path) -> dict[str, ImportRun]:
    """Import the four files; return the runs by kind."""
    return {
        kind: run_import(tenant, (folder / name).read_bytes(), kind=kind, filename=name)
        for kind, name in NORTHWIND_FILES.items()
    }
