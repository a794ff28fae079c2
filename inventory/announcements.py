"""Tells the members of a company which stock is low: one e-mail each, and notices in the app.

What is told late, of a day that is over, has the date of that day, and speaks of it as over.
"""

from collections.abc import Sequence
from datetime import date

from django.conf import settings
from django.urls import reverse

from inventory.alerts import LowStock
from inventory.models import Severity
from notifications.inbox import Notice, notify_members
from notifications.kinds import Channel, Kind, Urgency
from notifications.lines import LowStockItem
from notifications.selectors import people_to_tell
from notifications.task_helpers import queue_low_stock_alert_email
from tenants.formats import format_day
from tenants.models import Tenant
from tenants.selectors import display_name, local_date

#: Stocks that get a notice of their own at one check, the worst ones; the rest share one.
MOST_NOTICES = 50

_URGENCY = {
    Severity.CRITICAL: Urgency.URGENT,
    Severity.HIGH: Urgency.HIGH,
    Severity.MEDIUM: Urgency.MEDIUM,
    Severity.LOW: Urgency.LOW,
}


def announce(tenant: Tenant, low: Sequence[LowStock]) -> int:
    """Tell the members of ``low`` (worst first); return how many of them an e-mail is enqueued for.

    Who is told, their roles and their preferences decide: never somebody who only reads.
    """
    if not low:
        return 0
    # At once, not in a job: it is one statement, and it commits with the alerts.
    notify_members(tenant=tenant, kind=Kind.LOW_STOCK, notices=_notices(low))
    return _email(tenant, low, local_date(tenant))


def announce_late(
    tenant: Tenant, low: Sequence[LowStock], day: date, warehouse: str | None = None
) -> int:
    """Tell the members what was low (worst first) as a past day began; returns as `announce` does.

    Once for each day (of all warehouses, or of one), however often it is asked for.
    """
    if not low:
        return 0
    notices = _late_notices(tenant, low, day, warehouse)
    notify_members(tenant=tenant, kind=Kind.LOW_STOCK, notices=notices, day=day)
    return _email(tenant, low, day, once=f"inventory.low_stock:{day}:{warehouse or ''}")


def _email(tenant: Tenant, low: Sequence[LowStock], day: date, *, once: str = "") -> int:
    """E-mail whom it concerns; of a past day ``once``, by a key to which the person is added."""
    items = [_item(stock) for stock in low]
    people = people_to_tell(tenant, Kind.LOW_STOCK, channel=Channel.EMAIL, as_digest=True)
    deliveries = [
        queue_low_stock_alert_email(
            tenant=tenant,
            to=person.email,
            recipient_name=display_name(person),
            user_id=person.pk,
            day=day,
            is_late=bool(once),
            items=items,
            stock_url=f"{settings.SITE_URL.rstrip('/')}{_page()}",
            dedup_key=f"{once}:{person.pk}" if once else "",
        )
        for person in people
    ]
    return sum(not delivery.is_twin for delivery in deliveries)


def _page() -> str:
    return reverse("admin:inventory_stockalert_changelist")


def _item(stock: LowStock) -> LowStockItem:
    return LowStockItem.model_validate(
        {
            "product": _short(stock.name, 100),
            "sku": stock.sku,
            "warehouse": _short(stock.warehouse, 50),
            "quantity": stock.quantity,
            "threshold": stock.threshold,
            "severity": stock.severity.label,
        }
    )


def _short(name: str, longest: int) -> str:
    """Return a name that leaves room for the others: a job's arguments take 64 KiB at most."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def _notices(low: Sequence[LowStock]) -> list[Notice]:
    notices = [
        Notice(
            # With the severity: what gets worse on the same day is told on the same day.
            subject_key=f"inventory.alert:{stock.alert_id}:{stock.severity.label}",
            title=f"{_short(stock.name, 100)}: {stock.quantity} left",
            body=f"{stock.warehouse}: {stock.quantity} of {stock.sku} are left, and the threshold "
            f"is {stock.threshold}. On order: {stock.on_order}.",
            action_url=_page(),
            priority=_URGENCY[stock.severity],
        )
        for stock in low[:MOST_NOTICES]
    ]
    if more := len(low) - len(notices):
        newest = max(stock.alert_id or 0 for stock in low)
        notices.append(
            Notice(
                subject_key=f"inventory.alerts:{newest}",
                title=f"{more} more stocks are low",
                action_url=_page(),
            )
        )
    return notices


def _late_notices(
    tenant: Tenant, low: Sequence[LowStock], day: date, warehouse: str | None
) -> list[Notice]:
    on = format_day(day, tenant.locale)
    notices = [
        Notice(
            # By the stock: it need not have had an alert.
            subject_key=f"inventory.stock:{stock.stock_id}:{stock.severity.label}",
            title=f"{_short(stock.name, 100)}: {stock.quantity} left on {on}",
            body=f"{stock.warehouse}: as {on} began, {stock.quantity} of {stock.sku} were left, "
            f"and the threshold was {stock.threshold}. On order then: {stock.on_order}.",
            action_url=_page(),
            priority=_URGENCY[stock.severity],
        )
        for stock in low[:MOST_NOTICES]
    ]
    if more := len(low) - len(notices):
        notices.append(
            Notice(
                subject_key=f"inventory.stocks:{warehouse or ''}",
                title=f"{more} more stocks were low on {on}",
                action_url=_page(),
            )
        )
    return notices
