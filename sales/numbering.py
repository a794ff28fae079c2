"""Invoice numbers: from 1 in every year, per tenant, without a gap."""

from django.db import connection

from tenants.models import Tenant

# One statement makes or advances the counter and locks its row until the caller's transaction
# ends: the next invoice waits for that, and takes the same number when it is rolled back.
_NEXT = """
    INSERT INTO sales_invoicecounter AS counter (tenant_id, year, last) VALUES (%s, %s, 1)
    ON CONFLICT (tenant_id, year) DO UPDATE SET last = counter.last + 1
    RETURNING last
"""


def next_sequence(tenant: Tenant, year: int) -> int:
    """Take the next number of the tenant's year, in the caller's transaction."""
    with connection.cursor() as cursor:
        cursor.execute(_NEXT, [tenant.pk, year])
        return int(cursor.fetchone()[0])


def printed(year: int, sequence: int) -> str:
    """Return a number as invoices show it: ``2026-000001``."""
    return f"{year}-{sequence:06d}"
