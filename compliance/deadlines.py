"""Which documents expire, and which filings fall due, around a day: the first, and how many in all.

Only active clients count. Of a document its latest version counts, and only when somebody has
accepted it: one that waits for review or was rejected is missing, as scores have it, and there is
nothing yet that could expire. Of filings, those not handed in yet count. On a day that is over, all
of them count as they were when it began (:mod:`tenants.past`).

One SQL statement each, which returns ``most`` rows however many there are, and one more on a day
that is over.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Generic, TypeVar

from django.db import connection

from compliance import past
from compliance.errors import NoSuchDay
from compliance.models import ClientDocument, Filing
from notifications.addresses import one_line
from notifications.lines import DueFiling, ExpiringDocument
from tenants.models import Tenant

Line = TypeVar("Line", ExpiringDocument, DueFiling)

#: Days; nobody is told of what is further away.
_FAR = 31

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


# In braces: a table, or what stands for it on a day that is over, and which days are asked for.
_EXPIRING = """
SELECT document.id, client.name, client.code, document.kind, version.expires_on,
       count(*) OVER () AS total
FROM {client} AS client
JOIN {document} AS document ON document.client_id = client.id
JOIN {version} AS version ON version.document_id = document.id
WHERE client.tenant_id = %(tenant)s AND client.is_active
  AND document.status = ANY(%(statuses)s::text[]) AND {when}
  AND NOT EXISTS (
      SELECT FROM {newer} AS newer
      WHERE newer.document_id = version.document_id AND newer.number > version.number
  )
ORDER BY version.expires_on, client.code, document.kind, document.id
LIMIT %(most)s
"""

_DUE = """
SELECT filing.id, client.name, client.code, filing.kind, filing.authority, filing.period_end,
       filing.due_on, count(*) OVER () AS total,
       count(*) FILTER (WHERE filing.due_on < %(day)s) OVER () AS overdue
FROM {client} AS client
JOIN {filing} AS filing ON filing.client_id = client.id
WHERE client.tenant_id = %(tenant)s AND client.is_active
  AND filing.status = ANY(%(statuses)s::text[]) AND {when}
ORDER BY filing.due_on, client.code, filing.kind, filing.id
LIMIT %(most)s
"""


def expiring_in(
    tenant: Tenant, day: date, days: Iterable[int], *, most: int
) -> Found[ExpiringDocument]:
    """Return the documents that expire in exactly so many days from ``day``."""
    on = [_shifted(day, by) for by in days]
    return _expiring(tenant, day, "version.expires_on = ANY(%(on)s::date[])", {"on": on}, most)


def expiring_within(tenant: Tenant, day: date, days: int, *, most: int) -> Found[ExpiringDocument]:
    """Return the documents that expire on ``day`` or up to so many days later."""
    when = "version.expires_on >= %(day)s AND version.expires_on < %(before)s"
    return _expiring(tenant, day, when, {"before": _shifted(day, days + 1)}, most)


def due_in(tenant: Tenant, day: date, days: Iterable[int], *, most: int) -> Found[DueFiling]:
    """Return the filings due in exactly so many days from ``day``; below zero: overdue."""
    on = [_shifted(day, by) for by in days]
    return _due(tenant, day, "filing.due_on = ANY(%(on)s::date[])", {"on": on}, most)


def due_within(tenant: Tenant, day: date, days: int, *, most: int) -> Found[DueFiling]:
    """Return the filings that are overdue on ``day``, or due up to so many days later."""
    before = _shifted(day, days + 1)
    return _due(tenant, day, "filing.due_on < %(before)s", {"before": before}, most)


def check_day(day: date) -> None:
    """Raise :class:`NoSuchDay` when the calendar ends within the days that people are told of."""
    for by in (-_FAR, _FAR):
        _shifted(day, by)


def _shifted(day: date, days: int) -> date:
    try:
        return day + timedelta(days=days)
    except OverflowError:
        raise NoSuchDay(day) from None


def _expiring(
    tenant: Tenant, day: date, when: str, values: Mapping[str, Any], most: int
) -> Found[ExpiringDocument]:
    statuses = [str(status) for status in ClientDocument.THERE]
    rows = _rows(_EXPIRING, tenant, day, when, {**values, "statuses": statuses, "most": most})
    first = {
        pk: ExpiringDocument(
            client=_short(name, LONGEST_NAME),
            client_code=_short(code, LONGEST_CODE),
            document=_short(kind, LONGEST_KIND),
            expires_on=expires_on,
            days_left=(expires_on - day).days,
        )
        for pk, name, code, kind, expires_on, _ in rows
    }
    return Found(first=first, total=rows[0][-1] if rows else 0)


def _due(
    tenant: Tenant, day: date, when: str, values: Mapping[str, Any], most: int
) -> Found[DueFiling]:
    statuses = [str(status) for status in Filing.OPEN]
    rows = _rows(_DUE, tenant, day, when, {**values, "statuses": statuses, "most": most})
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


def _rows(
    statement: str, tenant: Tenant, day: date, when: str, values: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    instant = past.instant(tenant, day)
    tables = past.then("%(instant)s", tenant="%(tenant)s") if instant else past.NOW
    with connection.cursor() as cursor:
        cursor.execute(
            statement.format(**tables, when=when),
            {**values, "tenant": tenant.pk, "day": day, "instant": instant},
        )
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _short(text: str, longest: int) -> str:
    """Return one line that takes no more room in JSON than so many letters of any script."""
    line = one_line(text, longest)
    while len(line.encode("utf-16-le")) > 2 * longest:  # emoji take the room of two
        line = one_line(line, len(line) - 1)
    return line
