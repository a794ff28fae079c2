"""The tables of compliance as SQL names them in FROM: as they are, or as they were.

So statements are written once, whichever day they are about:
``FROM {client} AS client JOIN {document} AS document ON document.client_id = client.id``.
"""

from collections.abc import Mapping
from datetime import date, datetime
from functools import cache

from django.utils import timezone

from compliance.models import Client, ClientDocument, DocumentVersion, Filing
from tenants import past
from tenants.history import rows_at
from tenants.models import Tenant
from tenants.selectors import local_date

NOW: Mapping[str, str] = {
    "client": "compliance_client",
    "document": "compliance_clientdocument",
    "version": "compliance_documentversion",
    "newer": "compliance_documentversion",
    "filing": "compliance_filing",
}


@cache
def then(instant: str, *, tenant: str) -> Mapping[str, str]:
    """Return what stands for the tables at an instant.

    Each stands beside those it hangs on, under their own names: a document beside its ``client``,
    a version beside its ``document``, a ``newer`` one beside its ``version``.

    Args:
        instant: SQL of the instant.
        tenant: SQL of the tenant's id.
    """
    return {
        "client": rows_at(Client, instant, key="tenant_id", value=tenant),
        "document": rows_at(ClientDocument, instant, key="client_id", value="client.id"),
        "version": rows_at(DocumentVersion, instant, key="document_id", value="document.id"),
        "newer": rows_at(DocumentVersion, instant, key="document_id", value="version.document_id"),
        "filing": rows_at(Filing, instant, key="client_id", value="client.id"),
    }


def instants(days: Mapping[Tenant, date], todays: Mapping[Tenant, date]) -> dict[int, datetime]:
    """Return at which instant records count, by the tenant's id, when they do not as they are.

    They count as they are for a day that is not over, and for all days on a tenant's first one.
    """
    over = {tenant: day for tenant, day in days.items() if day < todays[tenant]}
    found = past.instants(over, Client) if over else {}
    now = timezone.now()
    return {tenant_id: at for tenant_id, at in found.items() if at <= now}


def instant(tenant: Tenant, day: date) -> datetime | None:
    """Return at which instant a tenant's records count for a day; None: as they are."""
    return instants({tenant: day}, {tenant: local_date(tenant)}).get(tenant.pk)
