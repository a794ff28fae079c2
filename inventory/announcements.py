"""Tells the members of a company which stock is low: one e-mail each, and notices in the app."""

from collections.abc import Sequence

from django.conf import settings
from django.urls import reverse

from inventory.alerts import LowStock
from inventory.models import Severity
from notifications.inbox import Notice, notify_members
from notifications.kinds import Channel, Kind, Urgency
from notifications.lines import LowStockItem
from notifications.selectors import people_to_tell
from notifications.task_helpers import queue_low_stock_alert_email
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
    path = reverse("admin:inventory_stockalert_changelist")
    # At once, not in a job: it is one statement, and it commits with the alerts.
    notify_members(tenant=tenant, kind=Kind.LOW_STOCK, notices=_notices(low, path))
    items = [_item(stock) for stock in low]
    people = people_to_tell(tenant, Kind.LOW_STOCK, channel=Channel.EMAIL, as_digest=True)
    for person in people:
        queue_low_stock_alert_email(
            tenant=tenant,
            to=person.email,
            recipient_name=display_name(person),
            user_id=person.pk,
            day=local_date(tenant),
            items=items,
            stock_url=f"{settings.SITE_URL.rstrip('/')}{path}",
        )
    return len(people)


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


def _notices(low: Sequence[LowStock], path: str) -> list[Notice]:
    notices = [
        Notice(
            # With the severity: what gets worse on the same day is told on the same day.
            subject_key=f"inventory.alert:{stock.alert_id}:{stock.severity.label}",
            title=f"{_short(stock.name, 100)}: {stock.quantity} left",
            body=f"{stock.warehouse}: {stock.quantity} of {stock.sku} are left, and the threshold "
            f"is {stock.threshold}. On order: {stock.on_order}.",
            action_url=path,
            priority=_URGENCY[stock.severity],
        )
        for stock in low[:MOST_NOTICES]
    ]
    if more := len(low) - len(notices):
        newest = max(stock.alert_id for stock in low)
        notices.append(
            Notice(
                subject_key=f"inventory.alerts:{newest}",
                title=f"{more} more stocks are low",
                action_url=path,
            )
        )
    return notices
