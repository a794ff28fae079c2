"""Which documents expire, and which filings fall due, around a day: the first, and how many in all.

Only active clients count. Of a document its latest version counts, and only when somebody has
accepted it: one that waits for review or was rejected is missing, as scores have it, and there is
nothing yet that could expire. Of filings, those not handed in yet count.

One SQL statement each, which returns ``most`` rows however many there are.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Generic, TypeVar

from django.db.models import Count, Exists, OuterRef, Q, Window

from compliance.errors import NoSuchDay
from compliance.models import ClientDocument, DocumentVersion, Filing
from notifications.addresses import one_line
from notifications.lines import DueFiling, ExpiringDocument
from tenants.models import Tenant

Line = TypeVar("Line", ExpiringDocument, DueFiling)

#: Longer ones are cut: 50 rows must fit into a job's arguments, 64 KiB, whatever the script.
LONGEST_NAME, LONGEST_CODE, LONGEST_KIND = 70, 32, 40


@dataclass(frozen=True, kw_only=True)
class Found(Generic[Line]):
    """What there is, the soonest (or longest overdue) first."""

    #: By the id of the document or filing; at most as many as were asked for.
    first: dict[int, Line]
    total: int
    #: Of all, those that are late.
    overdue: int = 0

    @property
    def more(self) -> int:
        """How many there are besides those in ``first``."""
        return self.total - len(self.first)


def expiring_in(
    tenant: Tenant, day: date, days: Iterable[int], *, most: int
) -> Found[ExpiringDocument]:
    """Return the documents that expire in exactly so many days from ``day``."""
    return _expiring(tenant, day, Q(expires_on__in=[_shifted(day, by) for by in days]), most)


def expiring_within(tenant: Tenant, day: date, days: int, *, most: int) -> Found[ExpiringDocument]:
    """Return the documents that expire on ``day`` or up to so many days later."""
    before = _shifted(day, days + 1)
    return _expiring(tenant, day, Q(expires_on__gte=day, expires_on__lt=before), most)


def due_in(tenant: Tenant, day: date, days: Iterable[int], *, most: int) -> Found[DueFiling]:
    """Return the filings due in exactly so many days from ``day``; below zero: overdue."""
    return _due(tenant, day, Q(due_on__in=[_shifted(day, by) for by in days]), most)


def due_within(tenant: Tenant, day: date, days: int, *, most: int) -> Found[DueFiling]:
    """Return the filings that are overdue on ``day``, or due up to so many days later."""
    return _due(tenant, day, Q(due_on__lt=_shifted(day, days + 1)), most)


def _shifted(day: date, days: int) -> date:
    try:
        return day + timedelta(days=days)
    except OverflowError:
        raise NoSuchDay(day) from None


def _expiring(tenant: Tenant, day: date, when: Q, most: int) -> Found[ExpiringDocument]:
    newer = DocumentVersion.objects.filter(
        document=OuterRef("document"), number__gt=OuterRef("number")
    )
    rows = list(
        DocumentVersion.objects.filter(
            when,
            ~Exists(newer),
            document__client__tenant=tenant,
            document__client__is_active=True,
            document__status__in=ClientDocument.THERE,
        )
        .order_by("expires_on", "document__client__code", "document__kind", "document_id")
        .annotate(total=Window(Count("pk")))
        .values_list(
            "document_id",
            "document__client__name",
            "document__client__code",
            "document__kind",
            "expires_on",
            "total",
        )[:most]
    )
    first = {
        pk: ExpiringDocument(
            client=_short(name, LONGEST_NAME),
            client_code=_short(code, LONGEST_CODE),
            document=_short(kind, LONGEST_KIND),
            expires_on=expires_on,
            days_left=(expires_on - day).days,
        )
        for pk, name, code, kind, expires_on, _ in rows
        if expires_on is not None
    }
    return Found(first=first, total=rows[0][-1] if rows else 0)


def _due(tenant: Tenant, day: date, when: Q, most: int) -> Found[DueFiling]:
    rows = list(
        Filing.objects.filter(
            when, client__tenant=tenant, client__is_active=True, status__in=Filing.OPEN
        )
        .order_by("due_on", "client__code", "kind", "id")
        .annotate(
            total=Window(Count("pk")),
            overdue=Window(Count("pk", filter=Q(due_on__lt=day))),
        )
        .values_list(
            "id",
            "client__name",
            "client__code",
            "kind",
            "authority",
            "period_end",
            "due_on",
            "total",
            "overdue",
        )[:most]
    )
    first = {
        pk: DueFiling(
            client=_short(name, LONGEST_NAME),
            client_code=_short(code, LONGEST_CODE),
            filing=_short(kind, LONGEST_KIND),
            authority=_short(authority, LONGEST_KIND),
            period_end=period_end,
            due_on=due_on,
            days_left=(due_on - day).days,
        )
        for pk, name, code, kind, authority, period_end, due_on, *_ in rows
    }
    total, overdue = rows[0][-2:] if rows else (0, 0)
    return Found(first=first, total=total, overdue=overdue)


def _short(text: str, longest: int) -> str:
    """Return one line that takes no more room in JSON than so many letters of any script."""
    line = one_line(text, longest)
    while len(line.encode("utf-16-le")) > 2 * longest:  # emoji take the room of two
        line = one_line(line, len(line) - 1)
    return line
