"""The one place where tests get products and stock from."""

from datetime import datetime
from itertools import count
from typing import Any

from inventory.models import Movement, Product, Stock, Warehouse
from inventory.services import ensure_default_warehouse, move_stock
from tenants.models import Tenant

_numbers = count(1)


def make_product(tenant: Tenant, **fields: Any) -> Product:
    """Return a new product without stock."""
    number = next(_numbers)
    given = {"sku": f"P{number}", "name": f"Product {number}", "unit_price": "10.00"} | fields
    return Product.objects.create(tenant=tenant, **given)


def make_stock(
    tenant: Tenant,
    quantity: int,
    threshold: int = 0,
    *,
    warehouse: Warehouse | None = None,
    override: int | None = None,
    **product: Any,
) -> Stock:
    """Return the stock of a new product, with its ledger."""
    stock = Stock.objects.create(
        product=make_product(tenant, threshold=threshold, **product),
        warehouse=warehouse or ensure_default_warehouse(tenant),
        threshold=override,
    )
    change_to(stock, quantity)
    return stock


def change_to(stock: Stock, quantity: int) -> None:
    """Bring the stock to ``quantity`` by a movement."""
    stock.refresh_from_db()
    if quantity != stock.quantity:
        change = quantity - stock.quantity
        move_stock(stock=stock, change=change, reason=Movement.Reason.RECEIPT)
        stock.refresh_from_db()


def move_at(stock: Stock, at: datetime, change: int) -> None:
    """Move stock at an instant of choice, ledger and all."""
    stock.refresh_from_db()
    stock.quantity += change
    stock.save(update_fields=["quantity"])
    Movement.objects.create(
        stock=stock,
        change=change,
        quantity=stock.quantity,
        reason=Movement.Reason.ADJUSTMENT,
        actor="test",
        at=at,
    )
