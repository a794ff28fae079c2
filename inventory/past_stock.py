"""What a check would have found and announced when a past day began. It only reads.

The same parts of SQL as today's (:mod:`inventory.alerts`), on other sources. The quantity of a
stock at an instant is what its last movement before that left; without one, what its first movement
since then found; without any, what is there. Which stock, products and warehouses there were,
whether they were active, their names and thresholds, and what was on order, are what was recorded
then (:mod:`tenants.past`). Alerts are those that were open then, and say what they said.

No alert changes: they are about now. So each missed day is told by itself, also what is low on two
of them; the dates tell them apart.
"""

from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import cache

from django.db import connection

from inventory.alerts import (
    ANSWER,
    ASKED,
    DIFFERS,
    SEVERITY,
    STOCK,
    WORSE,
    Checked,
    answer,
    parameters,
)
from inventory.errors import UnknownWarehouse
from inventory.models import Product, Stock, StockAlert, Warehouse
from tenants.history import past_of, rows_at
from tenants.models import Tenant
from tenants.past import beginning, instants
from tenants.selectors import local_date

# In braces: what stands for a table at the instant at which records count.
#
# The last movement is the one with the highest id. Those of one stock are numbered in the order in
# which they were made, since each waits for the row of its stock; `at`, the beginning of a
# transaction, may be out of order. The two ids are aggregates over the movements of one stock, and
# so found by the index on it: with `ORDER BY … LIMIT 1` the planner may walk through the ledger of
# all. Alerts are looked up stock by stock, too.
#
# An alert closes by an instant of its own, so those from before their history count as well. Of two
# that overlap, by transactions that began in another order than they were made, the later counts.
_CHECK_THEN = """
    WITH past AS (
        SELECT stock.id, stock.product_id, stock.warehouse_id, stock.threshold, stock.on_order,
               coalesce(before.quantity, since.quantity - since.change, stock.quantity) AS quantity
        FROM {place} place
        JOIN {stock} stock ON stock.warehouse_id = place.id
        CROSS JOIN LATERAL (
            SELECT max(id) FILTER (WHERE at < %(ledger)s) AS last_before,
                   min(id) FILTER (WHERE at >= %(ledger)s) AS first_since
            FROM inventory_movement WHERE stock_id = stock.id
        ) nearest
        LEFT JOIN inventory_movement before ON before.id = nearest.last_before
        LEFT JOIN inventory_movement since ON since.id = nearest.first_since
    ), found AS (
        SELECT stock.id AS stock_id, product.sku, product.name, warehouse.name AS warehouse,
               stock.quantity, level.threshold, stock.on_order, missing.is_low,
               {severity} AS severity
        FROM {judged}
        WHERE {asked}
    ), compared AS (
        SELECT found.*, alert.id AS alert_id, {differs} AS differs, {worse} AS is_worse
        FROM found
        LEFT JOIN LATERAL (
            SELECT one.* FROM {alert} one
            WHERE one.closed_at IS NULL OR one.closed_at >= %(begins)s
            ORDER BY one.id DESC LIMIT 1
        ) alert ON true
    ), low AS (
        SELECT severity FROM compared WHERE is_low
    ), recovered AS (
        SELECT FROM compared WHERE NOT is_low AND alert_id IS NOT NULL
    ), changed AS (
        SELECT compared.*, alert_id IS NULL AS is_new, is_worse AND (
                   EXISTS (SELECT FROM {alerts} told WHERE {told})
                   OR EXISTS (SELECT FROM {past_alerts} told WHERE {told})
               ) AS told_since
        FROM compared
        WHERE is_low AND (differs OR is_worse)
    )
    {answer}
"""

_TOLD_SINCE = """
    told.stock_id = compared.stock_id AND told.announced_at >= %(begins)s
    AND told.announced_severity >= compared.severity
"""


@cache
def _check_then() -> str:
    at = "%(instant)s"
    return _CHECK_THEN.format(
        place=rows_at(Warehouse, at, key="tenant_id", value="%(tenant)s"),
        stock=rows_at(Stock, at, key="warehouse_id", value="place.id"),
        severity=SEVERITY,
        judged=STOCK.format(
            stock="past",
            product=rows_at(Product, at, key="id", value="stock.product_id"),
            warehouse=rows_at(Warehouse, at, key="id", value="stock.warehouse_id"),
        ),
        asked=ASKED,
        differs=DIFFERS.format(alert="alert", found="found"),
        worse=WORSE.format(alert="alert", found="found"),
        alert=rows_at(StockAlert, "%(begins)s", key="stock_id", value="found.stock_id"),
        alerts=StockAlert._meta.db_table,
        past_alerts=past_of(StockAlert)._meta.db_table,
        told=_TOLD_SINCE,
        answer=ANSWER,
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


@cache
def _codes_then() -> str:
    place = rows_at(Warehouse, "%(instant)s", key="tenant_id", value="%(tenant)s")
    return f"SELECT place.code FROM {place} place ORDER BY place.code"


def _refuse_unknown(tenant: Tenant, warehouse: str, instant: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_codes_then(), {"tenant": tenant.pk, "instant": instant})
        codes = [code for (code,) in cursor.fetchall()]
    if warehouse not in codes:
        raise UnknownWarehouse(warehouse, codes)


def check_as_of(tenant: Tenant, day: date, warehouse: str | None = None) -> Checked:
    """Return what :func:`inventory.alerts.refresh_alerts` would have, as ``day`` began.

    Before all records, alerts alone are those of the day itself, which are none: what was told on
    the day on which records came would else not have been new.

    Args:
        tenant: Whose stock, and whose time zone the day is of.
        day: A date that is over there.
        warehouse: The code, then, of the only warehouse to look at; None: all of them.

    Raises:
        UnknownWarehouse: there was none of this code.
    """
    begins = ledger = beginning(tenant, day)
    instant = instants({tenant: day}, Product, Warehouse)[tenant.pk]
    if instant > begins:  # nothing was on record; there may have been a ledger, of long ago
        ledger = _ledger_instant(tenant, begins)
    if warehouse is not None:
        _refuse_unknown(tenant, warehouse, instant)
    values = {"begins": begins, "ledger": ledger, "instant": instant}
    with connection.cursor() as cursor:
        cursor.execute(_check_then(), parameters(tenant, warehouse) | values)
        found = answer(cursor.fetchall())
    before_records = instant > beginning(tenant, day + timedelta(days=1))
    return replace(found, before_records=before_records)
