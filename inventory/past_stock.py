"""Which stock was low when a past day began, by the ledger and today's thresholds.

One statement, which only reads. The quantity of a stock at an instant is what its last movement
before that left; without one, what its first movement since then found; without any, what is there.
When a product, a warehouse or a threshold was made or changed is not kept: they count as they are
now.
"""

from datetime import date, datetime, time

from django.db import connection

from inventory.alerts import LOW, parameters
from inventory.models import Severity
from tenants.models import Tenant

# The last movement is the one with the highest id. Those of one stock are numbered in the order in
# which they were made, since each waits for the row of its stock; `at`, the beginning of a
# transaction, may be out of order. The two ids are aggregates over the movements of one stock, and
# so found by the index on it: with `ORDER BY … LIMIT 1` the planner may walk through the ledger of
# all.
_LOW_THEN = f"""
    WITH past AS (
        SELECT stock.id, stock.product_id, stock.warehouse_id, stock.threshold,
               coalesce(before.quantity, since.quantity - since.change, stock.quantity) AS quantity
        FROM inventory_stock stock
        JOIN inventory_warehouse place ON place.id = stock.warehouse_id
        CROSS JOIN LATERAL (
            SELECT max(id) FILTER (WHERE at < %(instant)s) AS last_before,
                   min(id) FILTER (WHERE at >= %(instant)s) AS first_since
            FROM inventory_movement WHERE stock_id = stock.id
        ) nearest
        LEFT JOIN inventory_movement before ON before.id = nearest.last_before
        LEFT JOIN inventory_movement since ON since.id = nearest.first_since
        WHERE place.tenant_id = %(tenant)s
    ), low AS ({LOW.format(stock="past")})
    SELECT severity, count(*) FROM low GROUP BY severity ORDER BY severity DESC
"""


def low_stock_on(tenant: Tenant, day: date, warehouse: str | None = None) -> dict[Severity, int]:
    """Return how many stocks were at or below their threshold when ``day`` began, by severity.

    Args:
        tenant: Whose stock, and whose time zone the day is of.
        day: A date that has begun there.
        warehouse: The code of the only warehouse to look at; None: all of them.
    """
    values = parameters(tenant, warehouse) | {"instant": _beginning(tenant, day)}
    with connection.cursor() as cursor:
        cursor.execute(_LOW_THEN, values)
        return {Severity(severity): count for severity, count in cursor.fetchall()}


def _beginning(tenant: Tenant, day: date) -> datetime:
    """Return when the day begins: where clocks skip midnight, the moment at which they do."""
    return datetime.combine(day, time.min, tenant.zone)
