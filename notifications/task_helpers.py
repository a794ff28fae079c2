"""What business code calls to reach a person. All of it happens in the caller's transaction.

Each ``queue_…_email`` writes the delivery row, enqueues the job that sends it, and returns the row,
whose ``job_id`` is that job. With a ``dedup_key`` there is one such e-mail per tenant and key;
asking again returns the row of the first. All raise :class:`~jobs.errors.InvalidPayload` (with the
fields in ``problems``) for what cannot be sent, such as a malformed address.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import date, datetime
from decimal import Decimal

from django.db import transaction
from pydantic import SecretStr

from jobs import Job, Priority
from notifications import services, tasks
from notifications.attachments import Attachment
from notifications.inbox import Notice
from notifications.kinds import Kind
from notifications.lines import (
    MOST_LISTED,
    DueFiling,
    ExpiringDocument,
    LowStockItem,
    OrderLine,
)
from notifications.models import Delivery
from tenants.models import Role, Tenant


def queue_order_confirmation_email(
    *,
    tenant: Tenant,
    to: str,
    recipient_name: str,
    order_number: str,
    ordered_on: date,
    lines: Sequence[OrderLine],
    freight: Decimal,
    total: Decimal,
    currency: str,
    ship_to: str = "",
    dedup_key: str = "",
) -> Delivery:
    """E-mail a customer that the order is confirmed. Amounts are in ``currency``.

    The first ``MOST_LISTED`` lines are listed; the e-mail says how many more there are.
    """
    return _queue(
        "order_confirmation",
        tenant=tenant,
        to=to,
        dedup_key=dedup_key,
        enqueue=lambda delivery: tasks.email_order_confirmation.using(tenant=tenant.slug).enqueue(
            delivery_id=delivery.id,
            to=to,
            recipient_name=recipient_name,
            order_number=order_number,
            ordered_on=ordered_on,
            lines=list(lines[:MOST_LISTED]),
            more_lines=max(0, len(lines) - MOST_LISTED),
            freight=freight,
            total=total,
            currency=currency,
            ship_to=ship_to,
        ),
    )


def queue_invoice_email(
    *,
    tenant: Tenant,
    to: str,
    recipient_name: str,
    invoice_number: str,
    order_number: str,
    issued_on: date,
    due_on: date,
    total: Decimal,
    currency: str,
    attachments: Sequence[Attachment] = (),
    dedup_key: str = "",
) -> Delivery:
    """E-mail a customer an invoice whose PDF exists already.

    To send it after the PDF is rendered, in a chain, see
    :func:`notifications.services.send_invoice_email`.
    """
    return _queue(
        "invoice",
        tenant=tenant,
        to=to,
        dedup_key=dedup_key,
        enqueue=lambda delivery: tasks.email_invoice.using(tenant=tenant.slug).enqueue(
            delivery_id=delivery.id,
            to=to,
            recipient_name=recipient_name,
            invoice_number=invoice_number,
            order_number=order_number,
            issued_on=issued_on,
            due_on=due_on,
            total=total,
            currency=currency,
            attachments=list(attachments),
        ),
    )


def queue_low_stock_alert_email(
    *,
    tenant: Tenant,
    to: str,
    recipient_name: str,
    user_id: int,
    day: date,
    is_late: bool = False,
    items: Sequence[LowStockItem],
    stock_url: str,
    dedup_key: str = "",
) -> Delivery:
    """E-mail a member one digest of the products that are low on ``day`` (the tenant's date).

    The first ``MOST_LISTED`` items are listed, so give the worst first. With ``is_late`` the day is
    over, and it says what was low as that began. ``user_id`` is the member, who may unsubscribe;
    ask :func:`notifications.selectors.people_to_tell` whom to write to.
    """
    return _queue(
        "low_stock_alert",
        tenant=tenant,
        to=to,
        dedup_key=dedup_key,
        enqueue=lambda delivery: tasks.email_low_stock_alert.using(tenant=tenant.slug).enqueue(
            delivery_id=delivery.id,
            to=to,
            recipient_name=recipient_name,
            user_id=user_id,
            day=day,
            is_late=is_late,
            items=list(items[:MOST_LISTED]),
            more_items=max(0, len(items) - MOST_LISTED),
            critical_items=sum(item.severity == "critical" for item in items),
            stock_url=stock_url,
        ),
    )


def queue_document_expiry_warning_email(
    *,
    tenant: Tenant,
    to: str,
    recipient_name: str,
    user_id: int,
    day: date,
    documents: Sequence[ExpiringDocument],
    more_documents: int = 0,
    portal_url: str,
    dedup_key: str = "",
) -> Delivery:
    """E-mail a member one digest of the documents that expire soon, as of ``day``.

    The first ``MOST_LISTED`` are listed, so give the soonest first; who knows of others that are
    not given counts them in ``more_documents``. ``user_id`` is the member, who may unsubscribe; ask
    :func:`notifications.selectors.people_to_tell` whom to write to.
    """
    return _queue(
        "document_expiry_warning",
        tenant=tenant,
        to=to,
        dedup_key=dedup_key,
        enqueue=lambda delivery: tasks.email_document_expiry_warning.using(
            tenant=tenant.slug
        ).enqueue(
            delivery_id=delivery.id,
            to=to,
            recipient_name=recipient_name,
            user_id=user_id,
            day=day,
            documents=list(documents[:MOST_LISTED]),
            more_documents=more_documents + max(0, len(documents) - MOST_LISTED),
            portal_url=portal_url,
        ),
    )


def queue_filing_reminder_email(
    *,
    tenant: Tenant,
    to: str,
    recipient_name: str,
    user_id: int,
    day: date,
    filings: Sequence[DueFiling],
    more_filings: int = 0,
    overdue_filings: int,
    portal_url: str,
    dedup_key: str = "",
) -> Delivery:
    """E-mail a member one digest of the filings that are due or overdue, as of ``day``.

    The first ``MOST_LISTED`` are listed, so give the longest overdue first; who knows of others
    that are not given counts them in ``more_filings``. ``overdue_filings`` says how many of all
    are overdue. ``user_id`` is the member, who may unsubscribe; ask
    :func:`notifications.selectors.people_to_tell` whom to write to.
    """
    return _queue(
        "filing_reminder",
        tenant=tenant,
        to=to,
        dedup_key=dedup_key,
        enqueue=lambda delivery: tasks.email_filing_reminder.using(tenant=tenant.slug).enqueue(
            delivery_id=delivery.id,
            to=to,
            recipient_name=recipient_name,
            user_id=user_id,
            day=day,
            filings=list(filings[:MOST_LISTED]),
            more_filings=more_filings + max(0, len(filings) - MOST_LISTED),
            overdue_filings=overdue_filings,
            portal_url=portal_url,
        ),
    )


def queue_password_reset_email(
    *,
    to: str,
    recipient_name: str,
    reset_link: str | SecretStr,
    expires_at: datetime,
    tenant: Tenant | None = None,
) -> Delivery:
    """E-mail a person the link that sets a new password, before anything else that waits.

    The link is encrypted at rest and masked everywhere. An e-mail that could not be sent before
    ``expires_at`` (aware) is given up.
    """
    link = reset_link if isinstance(reset_link, SecretStr) else SecretStr(reset_link)
    slug = tenant.slug if tenant else ""
    return _queue(
        "password_reset",
        tenant=tenant,
        to=to,
        dedup_key="",
        enqueue=lambda delivery: tasks.email_password_reset.using(
            tenant=slug, priority=Priority.CRITICAL
        ).enqueue(
            delivery_id=delivery.id,
            to=to,
            recipient_name=recipient_name,
            reset_link=link,
            expires_at=expires_at,
        ),
    )


def queue_notify_members(
    *,
    tenant: Tenant,
    kind: Kind,
    notices: Sequence[Notice],
    roles: Collection[Role] | None = None,
    day: date | None = None,
) -> Job:
    """Tell the tenant's members in the app, by a job.

    See :func:`notifications.inbox.notify_members`, which does it at once.
    """
    return tasks.notify_members.using(tenant=tenant.slug).enqueue(
        tenant=tenant.slug,
        kind=kind,
        notices=list(notices),
        roles=None if roles is None else sorted(roles),
        day=day,
    )


def _queue(
    event: str,
    *,
    tenant: Tenant | None,
    to: str,
    dedup_key: str,
    enqueue: Callable[[Delivery], Job],
) -> Delivery:
    with transaction.atomic():  # the row and its job, or neither
        delivery, is_new = services.prepare_delivery(
            event=event, to=to, tenant=tenant, dedup_key=dedup_key
        )
        if is_new:
            services.name_job(delivery, enqueue(delivery))
    return delivery
