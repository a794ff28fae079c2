"""How business code asks for compliance work."""

from datetime import date

from compliance import tasks
from jobs import Job


def queue_score_refresh(
    *, tenant: str | None = None, zone: str | None = None, as_of: date | None = None
) -> Job:
    """Have every client's score recomputed: of one tenant (slug), of a zone's tenants, or of all.

    ``as_of`` is the day to score for; None: each tenant's own today, when the job runs.

    Raises:
        InvalidPayload: ``zone`` is not an IANA time zone.
    """
    return tasks.refresh_scores.using(tenant=tenant).enqueue(tenant=tenant, zone=zone, as_of=as_of)
