"""The e-mails about documents that expire and filings that fall due: digests.

One per person and day, however many documents or filings there are; asked again for the same day,
nobody gets another. Who gets one, roles and preferences decide
(:func:`notifications.selectors.people_to_tell`): a viewer does not, without having asked for it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

import structlog
from django.conf import settings

from compliance import deadlines
from compliance.pages import documents_page, filings_page
from notifications.errors import InvalidAddress
from notifications.kinds import Channel, Kind
from notifications.lines import MOST_LISTED
from notifications.selectors import people_to_tell
from notifications.task_helpers import (
    queue_document_expiry_warning_email,
    queue_filing_reminder_email,
)
from tenants.models import Tenant, User
from tenants.selectors import display_name

log = structlog.get_logger(__name__)

#: An e-mail tells of a document so many days before its last good day.
EXPIRY_DAYS = (30, 14, 7, 3, 1)
#: An e-mail tells of a filing so many days before its due date, and for a week after it.
FILING_DAYS = (14, 7, 3, 0, *range(-1, -8, -1))
#: Longer names of recipients are cut.
LONGEST_NAME = 100


@dataclass(frozen=True, kw_only=True)
class Emailed:
    """What a day's digests did."""

    #: Documents or filings to tell of.
    found: int
    #: People who have an e-mail of this day, asked for now or before.
    people: int = 0
    #: User names of those whose address cannot be written to.
    unreachable: list[str] = field(default_factory=list)


def email_document_expiry(tenant: Tenant, day: date) -> Emailed:
    """E-mail whom it concerns the documents that expire in exactly so many days from ``day``."""
    found = deadlines.expiring_in(tenant, day, EXPIRY_DAYS, most=MOST_LISTED)

    def write(person: User) -> None:
        queue_document_expiry_warning_email(
            tenant=tenant,
            to=person.email,
            recipient_name=display_name(person)[:LONGEST_NAME],
            user_id=person.pk,
            day=day,
            documents=list(found.first.values()),
            more_documents=found.more,
            portal_url=_absolute(documents_page(tenant)),
            dedup_key=f"compliance.document_expiry:{person.pk}:{day}",
        )

    return _email(tenant, Kind.DOCUMENT_EXPIRY, found.total, write)


def email_filing_reminders(tenant: Tenant, day: date) -> Emailed:
    """E-mail whom it concerns the filings due so many days from ``day``, and the overdue ones."""
    found = deadlines.due_in(tenant, day, FILING_DAYS, most=MOST_LISTED)

    def write(person: User) -> None:
        queue_filing_reminder_email(
            tenant=tenant,
            to=person.email,
            recipient_name=display_name(person)[:LONGEST_NAME],
            user_id=person.pk,
            day=day,
            filings=list(found.first.values()),
            more_filings=found.more,
            overdue_filings=found.overdue,
            portal_url=_absolute(filings_page(tenant)),
            dedup_key=f"compliance.filing_reminder:{person.pk}:{day}",
        )

    return _email(tenant, Kind.FILING_DEADLINE, found.total, write)


def _email(tenant: Tenant, kind: Kind, total: int, write: Callable[[User], None]) -> Emailed:
    people = 0
    unreachable: list[str] = []
    if total:
        for person in people_to_tell(tenant, kind, channel=Channel.EMAIL, as_digest=True):
            try:
                write(person)
                people += 1
            except InvalidAddress as error:  # must not cost the others theirs
                log.warning("person_unreachable", user=person.get_username(), error=str(error))
                unreachable.append(person.get_username())
    return Emailed(found=total, people=people, unreachable=unreachable)


def _absolute(path: str) -> str:
    return f"{settings.SITE_URL.rstrip('/')}{path}"
