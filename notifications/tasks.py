"""The tasks: one for each e-mail, and the in-app fan-out.

The fields of an e-mail are the arguments of its task. Without a ``delivery_id``, as when a person
enqueues one by hand, the delivery row is made by the job itself.
"""

from datetime import date
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from jobs import Priority, job_task
from notifications import services
from notifications.addresses import Address, SecretWebLink, WebLink
from notifications.attachments import Attachment
from notifications.inbox import Notice
from notifications.kinds import Kind
from notifications.lines import (
    MOST_LISTED,
    DueFiling,
    ExpiringDocument,
    LowStockItem,
    OrderLine,
    Text,
)
from tenants.models import Role
from tenants.selectors import get_tenant

Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Count = Annotated[int, Field(ge=0)]
OrderLines = Annotated[list[OrderLine], Field(max_length=MOST_LISTED)]
LowStockItems = Annotated[list[LowStockItem], Field(min_length=1, max_length=MOST_LISTED)]
ExpiringDocuments = Annotated[list[ExpiringDocument], Field(min_length=1, max_length=MOST_LISTED)]
DueFilings = Annotated[list[DueFiling], Field(min_length=1, max_length=MOST_LISTED)]


@job_task(name="notifications.email_order_confirmation", queue="email")
def email_order_confirmation(
    *,
    to: Address,
    recipient_name: Text,
    order_number: Text,
    ordered_on: date,
    lines: OrderLines,
    more_lines: Count = 0,
    freight: Decimal,
    total: Decimal,
    currency: Currency,
    ship_to: Text = "",
    delivery_id: UUID | None = None,
) -> None:
    """E-mail a customer that an order is confirmed."""
    services.deliver(
        "order_confirmation",
        to=to,
        recipient_name=recipient_name,
        delivery_id=delivery_id,
        fields={
            "order_number": order_number,
            "ordered_on": ordered_on,
            "lines": lines,
            "more_lines": more_lines,
            "freight": freight,
            "total": total,
            "currency": currency,
            "ship_to": ship_to,
        },
    )


@job_task(name="notifications.email_invoice", queue="email")
def email_invoice(
    *,
    to: Address,
    recipient_name: Text,
    invoice_number: Text,
    order_number: Text,
    issued_on: date,
    due_on: date,
    total: Decimal,
    currency: Currency,
    attachments: Annotated[list[Attachment], Field(max_length=10)] = [],  # noqa: B006 - copied by pydantic
    delivery_id: UUID | None = None,
) -> None:
    """E-mail a customer an invoice, with its PDF attached."""
    services.send_invoice_email(
        to=to,
        recipient_name=recipient_name,
        delivery_id=delivery_id,
        invoice_number=invoice_number,
        order_number=order_number,
        issued_on=issued_on,
        due_on=due_on,
        total=total,
        currency=currency,
        attachments=attachments,
    )


@job_task(name="notifications.email_low_stock_alert", queue="email")
def email_low_stock_alert(
    *,
    to: Address,
    recipient_name: Text,
    user_id: int,
    day: date,
    is_late: bool = False,
    items: LowStockItems,
    more_items: Count = 0,
    critical_items: Count = 0,
    stock_url: WebLink,
    delivery_id: UUID | None = None,
) -> None:
    """E-mail a member of a company which products are low: one digest, never one per product.

    When it is late: which were low as the day began.
    """
    services.deliver(
        "low_stock_alert",
        to=to,
        recipient_name=recipient_name,
        delivery_id=delivery_id,
        user_id=user_id,
        fields={
            "day": day,
            "is_late": is_late,
            "items": items,
            "more_items": more_items,
            "item_count": len(items) + more_items,
            "critical_count": critical_items,
            "stock_url": stock_url,
        },
    )


@job_task(name="notifications.email_document_expiry_warning", queue="email")
def email_document_expiry_warning(
    *,
    to: Address,
    recipient_name: Text,
    user_id: int,
    day: date,
    documents: ExpiringDocuments,
    more_documents: Count = 0,
    portal_url: WebLink,
    delivery_id: UUID | None = None,
) -> None:
    """E-mail a member of a company which documents expire soon: one digest a day."""
    services.deliver(
        "document_expiry_warning",
        to=to,
        recipient_name=recipient_name,
        delivery_id=delivery_id,
        user_id=user_id,
        fields={
            "day": day,
            "documents": documents,
            "more_documents": more_documents,
            "document_count": len(documents) + more_documents,
            "portal_url": portal_url,
        },
    )


@job_task(name="notifications.email_filing_reminder", queue="email")
def email_filing_reminder(
    *,
    to: Address,
    recipient_name: Text,
    user_id: int,
    day: date,
    filings: DueFilings,
    more_filings: Count = 0,
    overdue_filings: Count = 0,
    portal_url: WebLink,
    delivery_id: UUID | None = None,
) -> None:
    """E-mail a member of a company which filings are due or overdue: one digest a day."""
    services.deliver(
        "filing_reminder",
        to=to,
        recipient_name=recipient_name,
        delivery_id=delivery_id,
        user_id=user_id,
        fields={
            "day": day,
            "filings": filings,
            "more_filings": more_filings,
            "filing_count": len(filings) + more_filings,
            "overdue_count": overdue_filings,
            "portal_url": portal_url,
        },
    )


@job_task(name="notifications.email_password_reset", queue="email", priority=Priority.CRITICAL)
def email_password_reset(
    *,
    to: Address,
    recipient_name: Text,
    reset_link: SecretWebLink,
    expires_at: AwareDatetime,
    delivery_id: UUID | None = None,
) -> None:
    """E-mail a person the link that sets a new password. The link is a secret."""
    services.send_password_reset_email(
        to=to,
        recipient_name=recipient_name,
        delivery_id=delivery_id,
        reset_link=reset_link,
        expires_at=expires_at,
    )


@job_task(name="notifications.notify_members", queue="notifications", atomic=True)
def notify_members(
    *,
    tenant: str,
    kind: Kind,
    notices: Annotated[list[Notice], Field(min_length=1, max_length=500)],
    roles: list[Role] | None = None,
    day: date | None = None,
) -> int:
    """Tell the members of a company in the app; the result is how many notices are new."""
    return services.notify_members(
        tenant=get_tenant(tenant), kind=kind, notices=notices, roles=roles, day=day
    )
