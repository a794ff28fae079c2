"""What compliance does by itself, at each zone's local time."""

from datetime import timedelta

from jobs.schedules.declare import Declaration, declare

#: People are written to in a quarter of an hour, not all at once.
_SPREAD = timedelta(minutes=15)

declare(
    Declaration(
        name="compliance.refresh_scores",
        task="compliance.refresh_scores",
        cron="0 2 * * *",
        description="Recomputes every client's score.",
    ),
    Declaration(
        name="compliance.email_document_expiry",
        task="compliance.email_document_expiry",
        cron="0 7 * * *",
        jitter=_SPREAD,
        description="E-mails digests of documents that expire in 30, 14, 7, 3 or 1 days.",
    ),
    Declaration(
        name="compliance.notify_document_expiry",
        task="compliance.notify_document_expiry",
        cron="0 8 * * *",
        jitter=_SPREAD,
        description="Tells people in the app of documents that expire within 7 days.",
    ),
    Declaration(
        name="compliance.email_filing_reminders",
        task="compliance.email_filing_reminders",
        cron="0 8 * * *",
        jitter=_SPREAD,
        description="E-mails digests of filings that are due soon, or overdue.",
    ),
    Declaration(
        name="compliance.notify_filing_deadlines",
        task="compliance.notify_filing_deadlines",
        cron="0 9 * * *",
        jitter=_SPREAD,
        description="Tells people in the app of upcoming and overdue filings.",
    ),
)
