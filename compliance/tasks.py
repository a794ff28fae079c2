"""Compliance work that runs by itself."""

from dataclasses import asdict
from datetime import date
from typing import Annotated, Any
from zoneinfo import available_timezones

from pydantic import AfterValidator

from compliance import services
from jobs import job_task


def _known_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("expected an IANA time zone, such as 'Europe/Berlin'")
    return name


ZoneName = Annotated[str, AfterValidator(_known_zone)]


@job_task(name="compliance.refresh_scores", queue="compliance", atomic=True)
def refresh_scores(
    *, tenant: str | None = None, zone: ZoneName | None = None, as_of: date | None = None
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
