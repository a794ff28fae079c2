"""Low stock: which stock is at or below its threshold, how badly, and who has not been told.

One statement whatever the number of products: it finds all that is low and opens or updates its
alerts, closes the alerts of what has recovered, and tells which are worth announcing. An alert is
announced when it is new and again only when it gets worse than it ever was; getting better and
worse again tells nobody anything new.

A past day is judged by the same parts of SQL (:mod:`inventory.past_stock`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from django.db import connection, transaction

from inventory.models import Severity
from tenants.models import Tenant


@dataclass(frozen=True, kw_only=True)
class LowStock:
    """A stock worth announcing. Quantities are units of the product."""

    stock_id: int
    #: None: of a past day, on which none was open yet.
    alert_id: int | None
    sku: str
    name: str
    warehouse: str
    quantity: int
    threshold: int
    on_order: int
    severity: Severity
    #: Of a past day: since it began, people were told that this stock is as low, or lower.
    told_since: bool = False


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a check found and changed; one of a past day, what it would have changed."""

    opened: int
    updated: int
    closed: int
    #: Stocks at or below their threshold, told before or not, by severity.
    low: dict[Severity, int]
    #: Worst first.
    announced: list[LowStock]
    #: Of a day before that of the company's first records, about which nothing is known.
    before_records: bool = False


# In braces: a table, or what stands for it: the stock of another day, say.
# A stock that is not active (its product or its warehouse is not) is never low.
STOCK = """
    {stock} stock
    JOIN {product} product ON product.id = stock.product_id
    JOIN {warehouse} warehouse ON warehouse.id = stock.warehouse_id
    CROSS JOIN LATERAL (
        SELECT coalesce(stock.threshold, product.threshold) AS threshold
    ) level
    CROSS JOIN LATERAL (
        SELECT product.is_active AND warehouse.is_active
               AND level.threshold > 0 AND stock.quantity <= level.threshold AS is_low,
               (level.threshold - stock.quantity)::numeric / nullif(level.threshold, 0) AS part
    ) missing
"""

#: Which of it is looked at.
ASKED = """
    warehouse.tenant_id = %(tenant)s
    AND (%(warehouse)s::text IS NULL OR warehouse.code = %(warehouse)s)
"""

#: Of what is low: what is missing, as a part of the threshold, makes it.
SEVERITY = """
    CASE WHEN missing.part >= 0.50 THEN %(critical)s
         WHEN missing.part >= 0.25 THEN %(high)s
         WHEN missing.part >= 0.10 THEN %(medium)s
         ELSE %(low)s END
"""

# What an alert says, and what was found.
DIFFERS = """
    ({alert}.severity, {alert}.quantity, {alert}.threshold)
    IS DISTINCT FROM ({found}.severity, {found}.quantity, {found}.threshold)
"""
WORSE = "coalesce({alert}.announced_severity, 0) < {found}.severity"

_ANNOUNCED = ", ".join(field.name for field in fields(LowStock))

#: What :func:`answer` reads, from three sets of rows: all that is ``low``, by severity; the alerts
#: of it that ``changed``, which are new, say something else now, or are worse than ever; and those
#: that have ``recovered``. Each row has the counts, and something to announce if there is anything.
ANSWER = f"""
    SELECT counts.*, worse.*
    FROM (
        SELECT (SELECT count(*) FROM changed WHERE is_new) AS opened,
               (SELECT count(*) FROM changed WHERE differs AND NOT is_new) AS updated,
               (SELECT count(*) FROM recovered) AS closed,
               ARRAY(SELECT severity FROM low GROUP BY severity ORDER BY severity DESC),
               ARRAY(SELECT count(*) FROM low GROUP BY severity ORDER BY severity DESC)
    ) counts
    LEFT JOIN (SELECT {_ANNOUNCED} FROM changed WHERE is_worse) worse ON true
    ORDER BY worse.severity DESC, worse.quantity::numeric / worse.threshold, worse.name,
             worse.stock_id
"""

_STOCK_NOW = STOCK.format(
    stock="inventory_stock", product="inventory_product", warehouse="inventory_warehouse"
)

# An alert that is recovered is judged by its own stock, not by its absence from all that is low:
# whatever the planner believes about the tables, that is a look-up for each alert, never one set
# per alert. So are the names of what changed.
_CHECK = f"""
    WITH low AS (
        SELECT stock.id AS stock_id, stock.quantity, level.threshold, {SEVERITY} AS severity
        FROM {_STOCK_NOW}
        WHERE {ASKED} AND missing.is_low
    ), written AS (
        INSERT INTO inventory_stockalert AS alert
            (stock_id, severity, quantity, threshold, announced_severity, announced_at)
        SELECT stock_id, severity, quantity, threshold, severity, now() FROM low
        ON CONFLICT (stock_id) WHERE closed_at IS NULL DO UPDATE
        SET severity = excluded.severity, quantity = excluded.quantity,
            threshold = excluded.threshold,
            announced_severity = greatest(alert.announced_severity, excluded.severity),
            announced_at = CASE WHEN {WORSE.format(alert="alert", found="excluded")} THEN now()
                                ELSE alert.announced_at END
        WHERE {DIFFERS.format(alert="alert", found="excluded")}
           OR {WORSE.format(alert="alert", found="excluded")}
        RETURNING new.id AS alert_id, new.stock_id, new.quantity, new.threshold, new.severity,
                  old.id IS NULL AS is_new,
                  {DIFFERS.format(alert="old", found="new")} AS differs,
                  {WORSE.format(alert="old", found="new")} AS is_worse
    ), recovered AS (
        UPDATE inventory_stockalert alert SET closed_at = now()
        FROM {_STOCK_NOW}
        WHERE stock.id = alert.stock_id AND alert.closed_at IS NULL
          AND {ASKED} AND NOT missing.is_low
        RETURNING 1
    ), changed AS (
        SELECT written.*, product.sku, product.name, warehouse.name AS warehouse, stock.on_order,
               false AS told_since
        FROM written
        JOIN inventory_stock stock ON stock.id = written.stock_id
        JOIN inventory_product product ON product.id = stock.product_id
        JOIN inventory_warehouse warehouse ON warehouse.id = stock.warehouse_id
    )
    {ANSWER}
"""


def parameters(tenant: Tenant, warehouse: str | None) -> dict[str, Any]:
    """Return what the statements on a tenant's stock are given."""
    return {
        "tenant": tenant.pk,
        "warehouse": warehouse,
        **{severity.label: severity.value for severity in Severity},
    }


def answer(rows: Sequence[Sequence[Any]]) -> Checked:
    """Return what the rows of :data:`ANSWER` say."""
    opened, updated, closed, severities, counts, *_ = rows[0]
    names = [field.name for field in fields(LowStock)]
    found = [dict(zip(names, row[5:], strict=True)) for row in rows]
    return Checked(
        opened=opened,
        updated=updated,
        closed=closed,
        low=dict(zip(map(Severity, severities), counts, strict=True)),
        announced=[
            LowStock(**low | {"severity": Severity(low["severity"])})
            for low in found
            if low["stock_id"] is not None
        ],
    )


def hold_alerts(tenant: Tenant) -> None:
    """Wait for a check of the tenant that is under way; others wait, until the transaction ends.

    Two at once would lock each other's alerts in different orders; and one of a past day would not
    see what the other is telling.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtext('inventory.refresh_alerts'), %s::int)",
            [tenant.pk],
        )


def refresh_alerts(tenant: Tenant, warehouse: str | None = None) -> Checked:
    """Open, update and close the tenant's alerts; mark and return those worth announcing.

    Args:
        tenant: Whose stock.
        warehouse: The code of the only warehouse to look at; None: all of them.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        hold_alerts(tenant)
        cursor.execute(_CHECK, parameters(tenant, warehouse))
        return answer(cursor.fetchall())
