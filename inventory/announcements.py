"""Tells the members of a company which stock is low: one e-mail each, and notices in the app.

What is told late, of a day that is over, has the date of that day, and speaks of it as over. Each
person is told of a stock once: what an earlier late check of that day told, whichever warehouses it
looked at, is left out (:class:`inventory.models.LateNews`).
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import date
from typing import Any

from django.conf import settings
from django.db import connection
from django.urls import reverse

from inventory.alerts import LowStock
from inventory.models import Severity
from notifications.inbox import Notice, notify, notify_members
from notifications.kinds import Channel, Kind, Urgency
from notifications.lines import LowStockItem
from notifications.selectors import people_to_tell
from notifications.task_helpers import queue_low_stock_alert_email
from tenants.formats import format_day
from tenants.models import Tenant, User
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
    return _email(tenant, _addressees(tenant), low, local_date(tenant))


def announce_late(tenant: Tenant, low: Sequence[LowStock], day: date) -> int:
    """Tell the members what was low (worst first) as a past day began; returns as `announce` does.

    Not of what they were told since, nor of what an earlier late check of that day told them.
    """
    # By rank among all: when some have been told meanwhile, no other stocks take their places.
    own = {stock.stock_id for stock in low[:MOST_NOTICES]}
    news = [stock for stock in low if not stock.told_since]
    if not news:
        return 0
    readers = {
        person.pk for person in people_to_tell(tenant, Kind.LOW_STOCK, channel=Channel.IN_APP)
    }
    addressees = _addressees(tenant)
    emailed = 0
    everybody = readers | {person.pk for person in addressees}
    for people, stocks in _note(everybody, news, day):
        unheard = [stock for stock in news if stock.stock_id in stocks]
        notices = _late_notices(tenant, unheard, day, own)
        notify(
            user_ids=readers & people, tenant=tenant, kind=Kind.LOW_STOCK, notices=notices, day=day
        )
        to = [person for person in addressees if person.pk in people]
        emailed += _email(tenant, to, unheard, day, is_late=True)
    return emailed


# Worse than it was called is news, too: what a transaction that was open as the day began has
# changed may come to light after an earlier check.
_NOTE = """
    INSERT INTO inventory_latenews AS told (user_id, day, stock_id, severity)
    SELECT people.id, %(day)s, low.stock_id, low.severity
    FROM unnest(%(people)s::bigint[]) AS people (id),
         unnest(%(stocks)s::bigint[], %(severities)s::smallint[]) AS low (stock_id, severity)
    ON CONFLICT (user_id, day, stock_id) DO UPDATE SET severity = excluded.severity
    WHERE told.severity < excluded.severity
    RETURNING user_id, stock_id
"""


def _note(
    people: Collection[int], low: Sequence[LowStock], day: date
) -> Iterable[tuple[set[int], frozenset[int]]]:
    """Note that people are told now; return who of them had not heard of which stocks.

    Nearly always all of them of the same.
    """
    values: dict[str, Any] = {
        "people": sorted(people),
        "day": day,
        "stocks": [stock.stock_id for stock in low],
        "severities": [stock.severity.value for stock in low],
    }
    unheard: dict[int, set[int]] = defaultdict(set)
    with connection.cursor() as cursor:
        cursor.execute(_NOTE, values)
        for user_id, stock_id in cursor.fetchall():
            unheard[user_id].add(stock_id)
    together: dict[frozenset[int], set[int]] = defaultdict(set)
    for user_id, stocks in unheard.items():
        together[frozenset(stocks)].add(user_id)
    return [(users, stocks) for stocks, users in together.items()]


def _addressees(tenant: Tenant) -> list[User]:
    people = people_to_tell(tenant, Kind.LOW_STOCK, channel=Channel.EMAIL, as_digest=True)
    return list(people)


def _email(
    tenant: Tenant,
    people: Sequence[User],
    low: Sequence[LowStock],
    day: date,
    *,
    is_late: bool = False,
) -> int:
    items = [_item(stock) for stock in low]
    for person in people:
        queue_low_stock_alert_email(
            tenant=tenant,
            to=person.email,
            recipient_name=display_name(person),
            user_id=person.pk,
            day=day,
            is_late=is_late,
            items=items,
            stock_url=f"{settings.SITE_URL.rstrip('/')}{_page()}",
        )
    return len(people)


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
    tenant: Tenant, low: Sequence[LowStock], day: date, own: Collection[int]
) -> list[Notice]:
    """Return the notices of ``low``: one for each stock of ``own``, and one for the rest."""
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
        for stock in low
        if stock.stock_id in own
    ]
    if rest := [stock for stock in low if stock.stock_id not in own]:
        were = "stock was" if len(rest) == 1 else "stocks were"
        notices.append(
            Notice(
                # No other late check of that day has this one among its news.
                subject_key=f"inventory.stocks:{rest[0].stock_id}:{rest[0].severity.label}",
                title=f"{len(rest)} more {were} low on {on}",
                action_url=_page(),
            )
        )
    return notices
