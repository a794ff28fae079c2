"""The notices in the app about documents that expire and filings that fall due.

Each document or filing has a notice of its own, the most pressing ones, and the rest share one. A
person has one notice per document or filing and day, however often that day is asked for.
"""

from dataclasses import dataclass
from datetime import date

from django.urls import reverse

from compliance import deadlines
from compliance.pages import documents_page, filings_page
from notifications.inbox import Notice, notify_members
from notifications.kinds import Kind, Urgency
from notifications.lines import DueFiling, ExpiringDocument
from tenants.formats import format_day
from tenants.models import Tenant

#: People are told of a document every day from so many days before its last good day.
EXPIRY_DAYS = 7
#: People are told of a filing every day from so many days before it is due, until it is handed in.
FILING_DAYS = 14
#: Documents or filings that get a notice of their own in a day, the most pressing ones.
MOST_NOTICES = 50


@dataclass(frozen=True, kw_only=True)
class Noticed:
    """What a day's notices did."""

    #: Documents or filings to tell of.
    found: int
    #: New in somebody's inbox.
    notices: int = 0


def notify_document_expiry(tenant: Tenant, day: date) -> Noticed:
    """Tell in the app of the documents that expire on ``day`` or in the week after it."""
    found = deadlines.expiring_within(tenant, day, EXPIRY_DAYS, most=MOST_NOTICES)
    notices = [_expiry_notice(tenant, pk, line) for pk, line in found.first.items()]
    if more := found.more:
        what = "document expires" if more == 1 else "documents expire"
        notices.append(
            Notice(
                subject_key="compliance.documents",
                title=f"{more} more {what} within {EXPIRY_DAYS} days",
                action_url=documents_page(tenant),
            )
        )
    told = notify_members(tenant=tenant, kind=Kind.DOCUMENT_EXPIRY, notices=notices, day=day)
    return Noticed(found=found.total, notices=told)


def notify_filing_deadlines(tenant: Tenant, day: date) -> Noticed:
    """Tell in the app of the filings that are overdue on ``day``, or due within two weeks."""
    found = deadlines.due_within(tenant, day, FILING_DAYS, most=MOST_NOTICES)
    notices = [_filing_notice(tenant, pk, line) for pk, line in found.first.items()]
    if more := found.more:
        notices.append(
            Notice(
                subject_key="compliance.filings",
                title=f"{more} more {'filing is' if more == 1 else 'filings are'} due or overdue",
                action_url=filings_page(tenant),
            )
        )
    told = notify_members(tenant=tenant, kind=Kind.FILING_DEADLINE, notices=notices, day=day)
    return Noticed(found=found.total, notices=told)


def _expiry_notice(tenant: Tenant, pk: int, line: ExpiringDocument) -> Notice:
    left = line.days_left
    return Notice(
        subject_key=f"compliance.document:{pk}",
        title=f"{line.client}: {line.document} expires {line.when}",
        body=f"{line.client_code} {line.client}: the last good day of {line.document} is "
        f"{format_day(line.expires_on, tenant.locale)}.",
        action_url=reverse("admin:compliance_clientdocument_change", args=[pk]),
        priority=Urgency.URGENT if left <= 1 else Urgency.HIGH if left <= 3 else Urgency.MEDIUM,
    )


def _filing_notice(tenant: Tenant, pk: int, line: DueFiling) -> Notice:
    if line.is_overdue:
        priority = Urgency.URGENT
    else:
        soon = line.days_left <= 3
        priority = Urgency.HIGH if soon else Urgency.MEDIUM if line.days_left <= 7 else Urgency.LOW
    return Notice(
        subject_key=f"compliance.filing:{pk}",
        title=f"{line.client}: {line.filing} is {line.when}",
        body=f"{line.client_code} {line.client}: {line.filing} for the period until "
        f"{format_day(line.period_end, tenant.locale)}, to {line.authority}, due on "
        f"{format_day(line.due_on, tenant.locale)}.",
        action_url=reverse("admin:compliance_filing_change", args=[pk]),
        priority=priority,
    )
