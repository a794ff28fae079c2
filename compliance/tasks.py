"""Compliance work that runs by itself."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from typing import Annotated, Any
from zoneinfo import available_timezones

from pydantic import AfterValidator

from compliance import deadlines, digests, notices, services
from jobs import ScheduledDate, job_task
from jobs.task import JobTask
from tenants.errors import TenantOrZone
from tenants.models import Tenant
from tenants.selectors import active_tenants, get_tenant, local_date


def _known_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("expected an IANA time zone, such as 'Europe/Berlin'")
    return name


ZoneName = Annotated[str, AfterValidator(_known_zone)]


@job_task(name="compliance.refresh_scores", queue="compliance", atomic=True)
def refresh_scores(
    *, tenant: str | None = None, zone: ZoneName | None = None, as_of: ScheduledDate = None
) -> dict[str, Any]:
    """Recompute every client's score: of one tenant, of a time zone's tenants, or of all.

    Without a day, each tenant's own today counts.
    """
    done = services.refresh_scores(
        tenant_slugs=None if tenant is None else [tenant], zone=zone, as_of=as_of
    )
    for slug in done.failed:
        # Its own job, so that it is retried and becomes a dead letter without the others.
        refresh_scores.using(tenant=slug).enqueue(tenant=slug, as_of=as_of)
    return asdict(done)


@job_task(name="compliance.email_document_expiry", queue="compliance", atomic=True)
def email_document_expiry(
    *, tenant: str | None = None, zone: ZoneName | None = None, as_of: ScheduledDate = None
) -> dict[str, Any]:
    """E-mail people the documents that expire in 30, 14, 7, 3 or 1 days: one digest each.

    Of one tenant, or of a time zone's tenants, each by its own job.
    """
    return _of_one_or_each(
        email_document_expiry, digests.email_document_expiry, tenant, zone, as_of
    )


@job_task(name="compliance.notify_document_expiry", queue="compliance", atomic=True)
def notify_document_expiry(
    *, tenant: str | None = None, zone: ZoneName | None = None, as_of: ScheduledDate = None
) -> dict[str, Any]:
    """Tell people in the app of the documents that expire within 7 days.

    Of one tenant, or of a time zone's tenants, each by its own job.
    """
    return _of_one_or_each(
        notify_document_expiry, notices.notify_document_expiry, tenant, zone, as_of
    )


@job_task(name="compliance.email_filing_reminders", queue="compliance", atomic=True)
def email_filing_reminders(
    *, tenant: str | None = None, zone: ZoneName | None = None, as_of: ScheduledDate = None
) -> dict[str, Any]:
    """E-mail people the filings due in 14, 7, 3 or 0 days or overdue up to 7: one digest each.

    Of one tenant, or of a time zone's tenants, each by its own job.
    """
    return _of_one_or_each(
        email_filing_reminders, digests.email_filing_reminders, tenant, zone, as_of
    )


@job_task(name="compliance.notify_filing_deadlines", queue="compliance", atomic=True)
def notify_filing_deadlines(
    *, tenant: str | None = None, zone: ZoneName | None = None, as_of: ScheduledDate = None
) -> dict[str, Any]:
    """Tell people in the app of the filings that are overdue, or due within 14 days.

    Of one tenant, or of a time zone's tenants, each by its own job.
    """
    return _of_one_or_each(
        notify_filing_deadlines, notices.notify_filing_deadlines, tenant, zone, as_of
    )


def _of_one_or_each(
    task: JobTask[..., dict[str, Any]],
    work: Callable[[Tenant, date], digests.Emailed | notices.Noticed],
    tenant: str | None,
    zone: str | None,
    as_of: date | None,
) -> dict[str, Any]:
    """Do a tenant's work, or have it done by a job for each active tenant of a zone."""
    if (tenant is None) == (zone is None):
        raise TenantOrZone
    if tenant is not None:
        company = get_tenant(tenant)
        if not company.is_active:
            return {"skipped": "not active"}
        return asdict(work(company, as_of or local_date(company)))
    if as_of is not None:
        deadlines.check_day(as_of)  # here, not by each of many jobs
    slugs = [company.slug for company in active_tenants(zone=zone)]
    for slug in slugs:
        task.using(tenant=slug).enqueue(tenant=slug, as_of=as_of)
    return {"tenants": slugs}
