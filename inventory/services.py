"""Writes of the inventory. Stock and its ledger change together, or not at all."""

from collections import Counter
from collections.abc import Mapping
from datetime import date
from typing import TypedDict

import structlog
from django.db import connection, transaction

from inventory.alerts import hold_alerts, refresh_alerts
from inventory.announcements import announce, announce_late
from inventory.errors import InsufficientStock
from inventory.models import Movement, Product, Severity, Stock, Warehouse
from inventory.past_stock import check_as_of
from inventory.selectors import get_warehouse
from jobs.context import current_context
from jobs.errors import DayToCome
from tenants.models import Tenant
from tenants.selectors import get_tenant, local_date

log = structlog.get_logger(__name__)


class CheckResult(TypedDict):
    """What a check of the stock found and changed; one of a past day, what it would have."""

    #: Severity to stocks at or below their threshold, told before or not.
    low: dict[str, int]
    opened: int
    updated: int
    closed: int
    #: Severity to alerts, of those that were new or worse.
    announced: dict[str, int]
    #: How many of those people have been told of since, of a past day.
    told_since: int
    #: By this run.
    people_emailed: int


def ensure_default_warehouse(tenant: Tenant) -> Warehouse:
    """Return the tenant's default warehouse, made at the first call. Safe in a race."""
    warehouse, _ = Warehouse.objects.get_or_create(
        tenant=tenant, code=Warehouse.DEFAULT, defaults={"name": "Main warehouse"}
    )
    return warehouse


def ensure_stock(product: Product, warehouse: Warehouse) -> Stock:
    """Return the stock of a product in a warehouse, empty at first. Safe in a race.

    Raises:
        ValueError: product and warehouse belong to different tenants.
    """
    if product.tenant_id != warehouse.tenant_id:
        raise ValueError(f"{product} and {warehouse} belong to different tenants")
    stock, _ = Stock.objects.get_or_create(product=product, warehouse=warehouse)
    return stock


# The check precedes the change in one statement, so two of them can never both take the last unit:
# the second waits for the row lock, sees what the first left, and finds no row.
_MOVE = """
    WITH moved AS (
        UPDATE inventory_stock SET quantity = quantity + %(change)s
        WHERE id = %(stock)s AND quantity + %(change)s >= 0
        RETURNING id, quantity
    )
    INSERT INTO inventory_movement (stock_id, change, quantity, reason, reference, actor)
    SELECT id, %(change)s, quantity, %(reason)s, %(reference)s, %(actor)s FROM moved
    RETURNING quantity
"""


def move_stock(*, stock: Stock, change: int, reason: Movement.Reason, reference: str = "") -> int:
    """Add ``change`` units (below zero: take them) and write the ledger; return what is left.

    Raises:
        InsufficientStock: fewer units are there than should go; nothing changes.
        ValueError: ``change`` is zero.
    """
    if change == 0:
        raise ValueError("a movement of nothing is no movement")
    values: dict[str, int | str] = {
        "stock": stock.pk,
        "change": change,
        "reason": reason.value,
        "reference": reference,
        "actor": current_context().actor,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_MOVE, values)
        row = cursor.fetchone()
    if row is None:
        raise InsufficientStock(f"{stock}: fewer than {-change} units are there.")
    return int(row[0])


def set_stock(*, stock: Stock, quantity: int, reference: str = "") -> int:
    """Make it ``quantity`` units, as counted, by an adjustment; return the change.

    Raises:
        ValueError: ``quantity`` is below zero.
    """
    if quantity < 0:
        raise ValueError("a stock cannot be below zero")
    with transaction.atomic():
        there = Stock.objects.select_for_update().get(pk=stock.pk).quantity
        change = quantity - there
        if change:
            move_stock(
                stock=stock, change=change, reason=Movement.Reason.ADJUSTMENT, reference=reference
            )
    return change


def check_stock(
    *, tenant: str, warehouse: str | None = None, as_of: date | None = None
) -> CheckResult:
    """Compare stock with its thresholds, and tell the right people of what is new or worse.

    In one transaction, so that whatever is marked as announced is announced.

    For a past day: what that check would have found, and told, as the day began. People are told of
    it now, with its date, but of what they were told since; alerts, which are about now, stay as
    they are. Asked again for the same day, nobody is told twice, whatever the warehouse.

    What is known of days before that of the company's first records is what came later, so it is
    only counted, and nobody is told. Nor is anybody of a company that is not at work: its check
    counts what it would have found and changed, and changes nothing.

    Args:
        tenant: The slug.
        warehouse: The code, on that day, of the only warehouse to look at; None: all of them.
        as_of: The tenant's day to check for. None or today: the stock of now.

    Raises:
        UnknownTenant, UnknownWarehouse: there is none of this name.
        DayToCome: ``as_of`` has not begun there.
    """
    company = get_tenant(tenant)
    refuse_day_to_come(company, as_of)
    past = as_of if as_of is not None and as_of < local_date(company) else None
    if past is None and warehouse is not None:
        get_warehouse(company, warehouse)
    emailed = 0
    with transaction.atomic():
        if past is None:
            found = refresh_alerts(company, warehouse)
            if company.is_active:
                emailed = announce(company, found.announced)
        else:
            hold_alerts(company)
            found = check_as_of(company, past, warehouse)
            if company.is_active and not found.before_records:
                emailed = announce_late(company, found.announced, past)
        if not company.is_active:
            # Else an alert would be marked as announced of which nobody was told.
            transaction.set_rollback(True)
    log.info(
        "stock_checked",
        past_day=past.isoformat() if past else None,
        opened=found.opened,
        updated=found.updated,
        closed=found.closed,
        announced=len(found.announced),
    )
    return {
        "low": _by_label(found.low),
        "opened": found.opened,
        "updated": found.updated,
        "closed": found.closed,
        "announced": dict(Counter(low.severity.label for low in found.announced)),
        "told_since": sum(low.told_since for low in found.announced),
        "people_emailed": emailed,
    }


def refuse_day_to_come(tenant: Tenant, as_of: date | None) -> None:
    """Raise ``DayToCome`` when the day has not begun where the tenant is; None is today."""
    if as_of is not None and as_of > (today := local_date(tenant)):
        raise DayToCome("as_of", as_of, today)


def _by_label(low: Mapping[Severity, int]) -> dict[str, int]:
    return {severity.label: count for severity, count in low.items()}
