"""Which stock was low when a past day began: by the ledger, and by the thresholds of then.

A few statements, which only read. The quantity of a stock at an instant is what its last movement
before that left; without one, what its first movement since then found; without any, what is there.
Which stock, products and warehouses there were, whether they were active, and their thresholds are
what was recorded then (:mod:`tenants.past`).
"""

from datetime import date, datetime, timedelta
from functools import cache

from django.db import connection

from inventory.alerts import LOW, parameters
from inventory.models import Product, Severity, Stock, Warehouse
from tenants.history import rows_at
from tenants.models import Tenant
from tenants.past import beginning, instants
from tenants.selectors import local_date

# In braces: what stands for a table at the instant at which records count.
#
# The last movement is the one with the highest id. Those of one stock are numbered in the order in
# which they were made, since each waits for the row of its stock; `at`, the beginning of a
# transaction, may be out of order. The two ids are aggregates over the movements of one stock, and
# so found by the index on it: with `ORDER BY … LIMIT 1` the planner may walk through the ledger of
# all.
_LOW_THEN = """
    WITH past AS (
        SELECT stock.id, stock.product_id, stock.warehouse_id, stock.threshold,
               coalesce(before.quantity, since.quantity - since.change, stock.quantity) AS quantity
        FROM {place} place
        JOIN {stock} stock ON stock.warehouse_id = place.id
        CROSS JOIN LATERAL (
            SELECT max(id) FILTER (WHERE at < %(begins)s) AS last_before,
                   min(id) FILTER (WHERE at >= %(begins)s) AS first_since
            FROM inventory_movement WHERE stock_id = stock.id
        ) nearest
        LEFT JOIN inventory_movement before ON before.id = nearest.last_before
        LEFT JOIN inventory_movement since ON since.id = nearest.first_since
    ), low AS ({low})
    SELECT severity, count(*) FROM low GROUP BY severity ORDER BY severity DESC
"""


@cache
def _low_then() -> str:
    at = "%(instant)s"
    return _LOW_THEN.format(
        place=rows_at(Warehouse, at, key="tenant_id", value="%(tenant)s"),
        stock=rows_at(Stock, at, key="warehouse_id", value="place.id"),
        low=LOW.format(
            stock="past",
            product=rows_at(Product, at, key="id", value="stock.product_id"),
            warehouse=rows_at(Warehouse, at, key="id", value="stock.warehouse_id"),
        ),
    )


_FIRST_MOVEMENT = """
    SELECT min(movement.at)
    FROM inventory_warehouse warehouse
    JOIN inventory_stock stock ON stock.warehouse_id = warehouse.id
    JOIN inventory_movement movement ON movement.stock_id = stock.id
    WHERE warehouse.tenant_id = %s
"""


def _ledger_instant(tenant: Tenant, begins: datetime) -> datetime:
    """Return when a day begins; before there was a ledger, when the first day of that ends."""
    with connection.cursor() as cursor:
        cursor.execute(_FIRST_MOVEMENT, [tenant.pk])
        (first,) = cursor.fetchone()
    if first is None or first < begins:
        return begins
    return beginning(tenant, local_date(tenant, first) + timedelta(days=1))


def low_stock_on(tenant: Tenant, day: date, warehouse: str | None = None) -> dict[Severity, int]:
    """Return how many stocks were at or below their threshold when ``day`` began, by severity.

    Args:
        tenant: Whose stock, and whose time zone the day is of.
        day: A date that is over there.
        warehouse: The code of the only warehouse to look at; None: all of them.
    """
    begins = beginning(tenant, day)
    instant = instants({tenant: day}, Product, Warehouse)[tenant.pk]
    if instant > begins:  # nothing was on record; there may have been a ledger, of long ago
        begins = _ledger_instant(tenant, begins)
    values = parameters(tenant, warehouse) | {"begins": begins, "instant": instant}
    with connection.cursor() as cursor:
        cursor.execute(_low_then(), values)
        return {Severity(severity): count for severity, count in cursor.fetchall()}
