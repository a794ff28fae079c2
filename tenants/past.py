"""At which instant records count for a day that is over.

A run for a past day sees the records as they were when that day began where the company is. Of
days before a company's first records nothing is known: for those, and for the day on which they
came, its records count as they were at the end of that day.

Only records are of the past. Who is told (people, their roles, addresses and preferences), which
companies are at work, and where they are, is always as it is now: nobody is written to who has left
or does not want it any more.
"""

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta

from django.db import connection, models

from tenants.history import past_of
from tenants.models import Tenant
from tenants.selectors import local_date


def beginning(tenant: Tenant, day: date) -> datetime:
    """Return when the day begins: where clocks skip midnight, the moment at which they do."""
    return datetime.combine(day, time.min, tenant.zone)


def instants(days: Mapping[Tenant, date], *kinds: type[models.Model]) -> dict[int, datetime]:
    """Return at which instant the records of companies count for a day each, by the company's id.

    One statement. An instant to come means that all records count as they are.

    Args:
        days: Past days.
        kinds: Models whose history is kept, with the field ``tenant``; the company's first
            records of these count.
    """
    first = _first_records([tenant.pk for tenant in days], kinds)
    found = {tenant.pk: beginning(tenant, day) for tenant, day in days.items()}
    for tenant in days:
        if at := first.get(tenant.pk):
            known_from = beginning(tenant, local_date(tenant, at) + timedelta(days=1))
            found[tenant.pk] = max(found[tenant.pk], known_from)
    return found


def _first_records(
    tenant_ids: list[int], kinds: tuple[type[models.Model], ...]
) -> dict[int, datetime]:
    """Return when companies got the first of these records, those included that were deleted."""
    tables = [model._meta.db_table for kind in kinds for model in (kind, past_of(kind))]
    each = " UNION ALL ".join(
        f"SELECT tenant_id, recorded_at FROM {table} WHERE tenant_id = ANY(%(tenants)s)"
        for table in tables
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT tenant_id, min(recorded_at) FROM ({each}) AS each GROUP BY tenant_id",
            {"tenants": tenant_ids},
        )
        return dict(cursor.fetchall())
