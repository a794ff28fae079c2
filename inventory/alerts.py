"""Low stock: which stock is at or below its threshold, how badly, and who has not been told.

Three statements whatever the number of products: one finds all that is low and opens or updates
its alerts, one closes the alerts of what has recovered, one picks those worth announcing. An
alert is announced when it is new and again only when it gets worse than it ever was; getting
better and worse again tells nobody anything new.
"""

from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from inventory.models import Severity
from tenants.models import Tenant


@dataclass(frozen=True, kw_only=True)
class LowStock:
    """A stock worth announcing. Quantities are units of the product."""

    alert_id: int
    sku: str
    name: str
    warehouse: str
    quantity: int
    threshold: int
    on_order: int
    severity: Severity


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a check found and changed."""

    opened: int
    updated: int
    closed: int
    #: Stocks at or below their threshold, told before or not, by severity.
    low: dict[Severity, int]
    #: Worst first.
    announced: list[LowStock]


# In braces: a table, or what stands for it: the stock of another day, say.
# A stock that is not active (its product or its warehouse is not) is never low.
# What is missing, as a part of the threshold, makes the severity.
LOW = """
    SELECT stock.id AS stock_id, stock.quantity, level.threshold,
           CASE WHEN missing.part >= 0.50 THEN %(critical)s
                WHEN missing.part >= 0.25 THEN %(high)s
                WHEN missing.part >= 0.10 THEN %(medium)s
                ELSE %(low)s END AS severity
    FROM {stock} stock
    JOIN {product} product ON product.id = stock.product_id AND product.is_active
    JOIN {warehouse} warehouse
      ON warehouse.id = stock.warehouse_id AND warehouse.is_active
    CROSS JOIN LATERAL (
        SELECT coalesce(stock.threshold, product.threshold) AS threshold
    ) level
    CROSS JOIN LATERAL (
        SELECT (level.threshold - stock.quantity)::numeric / nullif(level.threshold, 0) AS part
    ) missing
    WHERE warehouse.tenant_id = %(tenant)s
      AND (%(warehouse)s::text IS NULL OR warehouse.code = %(warehouse)s)
      AND level.threshold > 0 AND stock.quantity <= level.threshold
"""

_LOW_NOW = LOW.format(
    stock="inventory_stock", product="inventory_product", warehouse="inventory_warehouse"
)

_OPEN_OR_UPDATE = f"""
    WITH low AS ({_LOW_NOW}), changed AS (
        INSERT INTO inventory_stockalert AS alert (stock_id, severity, quantity, threshold)
        SELECT stock_id, severity, quantity, threshold FROM low
        ON CONFLICT (stock_id) WHERE closed_at IS NULL DO UPDATE
        SET severity = excluded.severity, quantity = excluded.quantity,
            threshold = excluded.threshold
        WHERE (alert.severity, alert.quantity, alert.threshold)
              IS DISTINCT FROM (excluded.severity, excluded.quantity, excluded.threshold)
        RETURNING old.id IS NULL AS is_new
    )
    SELECT (SELECT count(*) FROM changed WHERE is_new),
           (SELECT count(*) FROM changed WHERE NOT is_new),
           ARRAY(SELECT severity FROM low GROUP BY severity ORDER BY severity DESC),
           ARRAY(SELECT count(*) FROM low GROUP BY severity ORDER BY severity DESC)
"""

# Each alert is judged by its own stock, not by its absence from all that is low: whatever the
# planner believes about the tables, that is a look-up for each alert, never one set per alert.
_CLOSE_RECOVERED = """
    UPDATE inventory_stockalert alert SET closed_at = now()
    FROM inventory_stock stock
    JOIN inventory_product product ON product.id = stock.product_id
    JOIN inventory_warehouse warehouse ON warehouse.id = stock.warehouse_id
    WHERE stock.id = alert.stock_id AND alert.closed_at IS NULL
      AND warehouse.tenant_id = %(tenant)s
      AND (%(warehouse)s::text IS NULL OR warehouse.code = %(warehouse)s)
      AND NOT (product.is_active AND warehouse.is_active
               AND coalesce(stock.threshold, product.threshold) > 0
               AND stock.quantity <= coalesce(stock.threshold, product.threshold))
"""

_ANNOUNCE = """
    WITH worse AS (
        UPDATE inventory_stockalert alert
        SET announced_severity = alert.severity, announced_at = now()
        FROM inventory_stock stock
        JOIN inventory_warehouse warehouse ON warehouse.id = stock.warehouse_id
        WHERE stock.id = alert.stock_id AND alert.closed_at IS NULL
          AND warehouse.tenant_id = %(tenant)s
          AND (%(warehouse)s::text IS NULL OR warehouse.code = %(warehouse)s)
          AND coalesce(alert.announced_severity, 0) < alert.severity
        RETURNING alert.id, alert.stock_id, alert.quantity, alert.threshold, alert.severity
    )
    SELECT worse.id, product.sku, product.name, warehouse.name, worse.quantity, worse.threshold,
           stock.on_order, worse.severity
    FROM worse
    JOIN inventory_stock stock ON stock.id = worse.stock_id
    JOIN inventory_product product ON product.id = stock.product_id
    JOIN inventory_warehouse warehouse ON warehouse.id = stock.warehouse_id
    ORDER BY worse.severity DESC, worse.quantity::numeric / worse.threshold, product.name,
             worse.id
"""


def parameters(tenant: Tenant, warehouse: str | None) -> dict[str, Any]:
    """Return what the statements on a tenant's stock are given."""
    return {
        "tenant": tenant.pk,
        "warehouse": warehouse,
        **{severity.label: severity.value for severity in Severity},
    }


def refresh_alerts(tenant: Tenant, warehouse: str | None = None) -> Checked:
    """Open, update and close the tenant's alerts; mark and return those worth announcing.

    Args:
        tenant: Whose stock.
        warehouse: The code of the only warehouse to look at; None: all of them.
    """
    values = parameters(tenant, warehouse)
    with transaction.atomic(), connection.cursor() as cursor:
        # Two checks of one tenant at once would lock each other's alerts in different orders.
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtext('inventory.refresh_alerts'), %s::int)",
            [tenant.pk],
        )
        cursor.execute(_OPEN_OR_UPDATE, values)
        opened, updated, severities, counts = cursor.fetchone()
        cursor.execute(_CLOSE_RECOVERED, values)
        closed = cursor.rowcount
        cursor.execute(_ANNOUNCE, values)
        announced = [
            LowStock(
                alert_id=row[0],
                sku=row[1],
                name=row[2],
                warehouse=row[3],
                quantity=row[4],
                threshold=row[5],
                on_order=row[6],
                severity=Severity(row[7]),
            )
            for row in cursor.fetchall()
        ]
    return Checked(
        opened=opened,
        updated=updated,
        closed=closed,
        low=dict(zip(map(Severity, severities), counts, strict=True)),
        announced=announced,
    )
