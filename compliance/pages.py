"""Where people find a tenant's documents and filings: paths of this site."""

from urllib.parse import urlencode

from django.urls import reverse

from compliance.models import Filing
from tenants.models import Tenant


def documents_page(tenant: Tenant) -> str:
    """Return the list of the documents of the tenant's clients."""
    filters = {"client__tenant__id__exact": tenant.pk}
    return f"{reverse('admin:compliance_clientdocument_changelist')}?{urlencode(filters)}"


def filings_page(tenant: Tenant) -> str:
    """Return the list of the filings that have yet to be handed in."""
    filters = {"client__tenant__id__exact": tenant.pk, "status__in": ",".join(Filing.OPEN)}
    return f"{reverse('admin:compliance_filing_changelist')}?{urlencode(filters)}"
