"""What changes compliance records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfoNotFoundError

import structlog
from django.db import DatabaseError, transaction
from django.db.models import Max
from django.utils import timezone

from compliance import announcements, past, scoring
from compliance.models import Client, ClientDocument, DocumentVersion, Filing
from tenants.errors import UnknownTenant
from tenants.models import Tenant
from tenants.selectors import local_date

log = structlog.get_logger(__name__)

#: What may be wrong with one tenant's rows, and must not cost the others their scores.
_ONE_TENANTS_FAULT = (DatabaseError, ZoneInfoNotFoundError)


@dataclass(frozen=True, kw_only=True)
class Refresh:
    """What a refresh of scores did; the figures are of the tenants that did not fail."""

    tenants: int
    #: Active clients, all scored.
    clients: int
    #: Those whose figures became different.
    changed: int
    #: Those whose risk rose.
    raised: int
    #: Slugs of tenants whose scores stayed as they were, because computing them failed.
    failed: list[str]


def refresh_scores(
    *,
    tenant_slugs: list[str] | None = None,
    zone: str | None = None,
    as_of: date | None = None,
) -> Refresh:
    """Compute the score of every active client, keep it, and announce whose risk rose.

    All of it happens for a tenant or nothing does: a tenant that fails keeps its scores and is
    named in the result, unless it is the only one; then its error is raised. The number of SQL
    statements does not depend on the number of clients.

    Args:
        tenant_slugs: These tenants; None: all. Inactive ones are skipped.
        zone: Only tenants of this IANA time zone; None: of every zone.
        as_of: The day to score for. None: each tenant's own today. On a day that is over, clients,
            documents and filings count as they were when it began (:mod:`tenants.past`). A day
            before that of a client's score adds to the history, and leaves the score; nobody is
            told of it.

    Raises:
        UnknownTenant: a slug is nobody's.
    """
    now = timezone.now()
    with transaction.atomic():
        tenants = _lock_tenants(tenant_slugs, zone)
        if not tenants:
            return _summary([], [])
        try:
            return _summary(_refresh(tenants, as_of, now), [])
        except _ONE_TENANTS_FAULT:
            if len(tenants) == 1:
                raise
        return _refresh_one_by_one(tenants, as_of, now)


def _lock_tenants(slugs: list[str] | None, zone: str | None) -> list[Tenant]:
    """Make refreshes of the same tenant wait for each other: the later sees what the first kept.

    Rows that refer to the tenant can still be added meanwhile.
    """
    tenants = Tenant.objects.select_for_update(no_key=True).order_by("id")
    if slugs is None:
        tenants = tenants.filter(is_active=True)
    else:
        tenants = tenants.filter(slug__in=slugs)
    found = list(tenants)
    if slugs is not None and (unknown := set(slugs) - {tenant.slug for tenant in found}):
        raise UnknownTenant(min(unknown), Tenant.objects.values_list("slug", flat=True))
    return [
        tenant for tenant in found if tenant.is_active and (zone is None or tenant.timezone == zone)
    ]


def _refresh(
    tenants: Sequence[Tenant], as_of: date | None, now: datetime
) -> list[scoring.TenantScores]:
    with transaction.atomic():
        todays = {tenant: local_date(tenant, now) for tenant in tenants}
        days = {tenant: as_of or todays[tenant] for tenant in tenants}
        instants = past.instants(days, todays)
        results = scoring.refresh(_by_id(days), _by_id(todays), instants)
        for tenant, scores in zip(tenants, results, strict=True):
            if scores.raised:
                announcements.announce_rises(tenant, scores)
        return results


def _by_id(days: Mapping[Tenant, date]) -> dict[int, date]:
    return {tenant.pk: day for tenant, day in days.items()}


def _refresh_one_by_one(tenants: Sequence[Tenant], as_of: date | None, now: datetime) -> Refresh:
    """Find out whose fault it was, at the price of a statement for each tenant."""
    results: list[scoring.TenantScores] = []
    failed: list[str] = []
    for tenant in tenants:
        try:
            results += _refresh([tenant], as_of, now)
        except _ONE_TENANTS_FAULT:
            log.exception("scores_failed", tenant=tenant.slug)
            failed.append(tenant.slug)
    return _summary(results, failed)


def _summary(results: list[scoring.TenantScores], failed: list[str]) -> Refresh:
    return Refresh(
        tenants=len(results),
        clients=sum(result.clients for result in results),
        changed=sum(result.changed for result in results),
        raised=sum(result.raised for result in results),
        failed=failed,
    )


def create_client(*, tenant: Tenant, code: str, name: str) -> Client:
    """Add a client; raises ``IntegrityError`` when the tenant has one of this code."""
    return Client.objects.create(tenant=tenant, code=code, name=name)


@transaction.atomic
def add_document(
    *,
    client: Client,
    kind: str,
    status: ClientDocument.Status = ClientDocument.Status.PENDING_REVIEW,
    expires_on: date | None = None,
) -> ClientDocument:
    """Add a document and its first version. ``expires_on`` is its last good day; None: never."""
    document = ClientDocument.objects.create(client=client, kind=kind, status=status)
    DocumentVersion.objects.create(document=document, number=1, expires_on=expires_on)
    return document


@transaction.atomic
def add_document_version(
    *,
    document: ClientDocument,
    status: ClientDocument.Status = ClientDocument.Status.PENDING_REVIEW,
    expires_on: date | None = None,
) -> DocumentVersion:
    """Add the version that counts from now on, and give the document the status it has with it."""
    # Two people uploading at once get two numbers, not an error.
    locked = ClientDocument.objects.select_for_update(no_key=True).get(pk=document.pk)
    newest = locked.versions.aggregate(number=Max("number"))["number"] or 0
    locked.status = status
    locked.save(update_fields=["status"])
    document.status = status
    return DocumentVersion.objects.create(document=locked, number=newest + 1, expires_on=expires_on)


def add_filing(
    *,
    client: Client,
    kind: str,
    authority: str,
    period_end: date,
    due_on: date,
    status: Filing.Status = Filing.Status.DRAFT,
) -> Filing:
    """Add a filing; raises ``IntegrityError`` when one for the same period is not archived."""
    return Filing.objects.create(
        client=client,
        kind=kind,
        authority=authority,
        period_end=period_end,
        due_on=due_on,
        status=status,
    )
