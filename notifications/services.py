"""Writes. E-mail is here; the in-app inbox and preferences are in :mod:`notifications.inbox`."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from django.core.mail import EmailMessage
from django.utils import timezone
from pydantic import SecretStr

from jobs import Job, current_job, effects
from jobs.errors import Discard, PermanentError
from notifications import transport
from notifications.addresses import checked_address, sender_domain
from notifications.attachments import Attachment
from notifications.errors import UnknownDelivery
from notifications.events import get_event
from notifications.inbox import Notice, mark_read, notify, notify_members, set_preference
from notifications.messages import build_message, unsubscribe_url
from notifications.models import Delivery, new_delivery_id
from notifications.rendering import render_email
from tenants.models import Tenant
from tenants.selectors import get_tenant

__all__ = [
    "Notice",
    "deliver",
    "mark_read",
    "name_job",
    "notify",
    "notify_members",
    "prepare_delivery",
    "send_invoice_email",
    "send_password_reset_email",
    "set_preference",
]

log = structlog.get_logger(__name__)

MASK = "**********"


def prepare_delivery(
    *, event: str, to: str, tenant: Tenant | None, dedup_key: str = ""
) -> tuple[Delivery, bool]:
    """Write the row of an e-mail that a job will send, in the caller's transaction.

    Give the row's id to the job, which calls :func:`deliver` with it. With a ``dedup_key`` there is
    one e-mail per tenant, event and key, however often it is asked for.

    Returns:
        The row, and whether it is new; if not, the e-mail was asked for before: enqueue nothing.

    Raises:
        InvalidAddress: ``to`` cannot be written to.
        UnknownEvent: there is no such e-mail.
    """
    get_event(event)
    delivery_id = new_delivery_id()
    delivery = Delivery(
        id=delivery_id,
        tenant=tenant,
        event=event,
        recipient=checked_address(to, task=f"notifications.email_{event}"),
        message_id=f"<{delivery_id}@{sender_domain()}>",
        dedup_key=dedup_key,
    )
    if not dedup_key:
        delivery.save(force_insert=True)
        return delivery, True
    Delivery.objects.bulk_create([delivery], ignore_conflicts=True)
    kept = Delivery.objects.get(tenant=tenant, event=event, dedup_key=dedup_key)
    return kept, kept.id == delivery_id


def name_job(delivery: Delivery, job: Job) -> None:
    """Note on the delivery which job is to send it."""
    delivery.job_id = job.id
    delivery.save(update_fields=["job_id"])


def deliver(
    event: str,
    *,
    to: str,
    fields: Mapping[str, Any],
    delivery_id: UUID | None,
    recipient_name: str = "",
    attachments: Sequence[Attachment] = (),
    user_id: int | None = None,
) -> Delivery:
    """Render an e-mail and hand it to the mail server, once; for the body of a job.

    It may be called again at any point: a message that the server took is not sent again. Where
    a crash hides whether the server took it, it is repeated under the same Message-ID.

    Args:
        to: The address; it counts even when the row names another one, since a person may have
            corrected it in a replay.
        fields: What the templates need. A ``SecretStr`` is revealed to them alone.
        delivery_id: The row made by :func:`prepare_delivery`; None: a row is made for this job.
        user_id: The person it goes to, when they may unsubscribe.

    Raises:
        Refused: the server will never take it; permanent, as are the other errors of this app
            that say so. Anything else is worth a retry.
        NotPossible: called in a transaction.
    """
    about = get_event(event)
    delivery = _delivery(delivery_id, event=event, to=to)
    if delivery.state == Delivery.State.SENT:
        return delivery
    secrets = [v.get_secret_value() for v in fields.values() if isinstance(v, SecretStr)]
    leave = unsubscribe_url(user_id, about.kind) if about.kind and user_id is not None else ""
    try:
        rendered = render_email(
            about,
            {k: v.get_secret_value() if isinstance(v, SecretStr) else v for k, v in fields.items()},
            tenant=delivery.tenant,
            recipient_name=recipient_name,
            unsubscribe_url=leave,
        )
        message = build_message(
            delivery,
            rendered,
            to=to,
            recipient_name=recipient_name,
            attachments=attachments,
            unsubscribe_url=leave,
        )
        sent_at = effects.once(
            f"email:{delivery.message_id}", partial(_send, message), on_unknown="repeat"
        )
    except Exception as error:
        _note_failure(delivery, error, secrets)
        raise
    delivery.state, delivery.sent_at = Delivery.State.SENT, datetime.fromisoformat(sent_at)
    delivery.subject, delivery.error, delivery.recipient = rendered.subject, "", to
    delivery.attachments = [attachment.model_dump() for attachment in attachments]
    delivery.save(
        update_fields=["state", "sent_at", "subject", "error", "recipient", "attachments"]
    )
    log.info("email_sent", delivery_id=str(delivery.id), email_event=event)
    return delivery


def send_invoice_email(
    *,
    delivery_id: UUID | None,
    to: str,
    recipient_name: str,
    invoice_number: str,
    order_number: str,
    issued_on: date,
    due_on: date,
    total: Decimal,
    currency: str,
    attachments: Sequence[Attachment],
) -> Delivery:
    """Send the e-mail of an invoice with its PDF; see :func:`deliver`.

    For a job that learns only when it runs which file to attach, such as a step that follows the
    rendering of the PDF.
    """
    return deliver(
        "invoice",
        to=to,
        delivery_id=delivery_id,
        recipient_name=recipient_name,
        attachments=attachments,
        fields={
            "invoice_number": invoice_number,
            "order_number": order_number,
            "issued_on": issued_on,
            "due_on": due_on,
            "total": total,
            "currency": currency,
            "has_attachment": bool(attachments),
        },
    )


def send_password_reset_email(
    *,
    delivery_id: UUID | None,
    to: str,
    recipient_name: str,
    reset_link: SecretStr,
    expires_at: datetime,
) -> Delivery:
    """Send the link by which a person sets a new password; see :func:`deliver`.

    Raises:
        Discard: the link has expired, so the e-mail would only confuse.
    """
    if expires_at <= timezone.now():
        error = Discard("The link expired before the e-mail could be sent.")
        _note_failure(_delivery(delivery_id, event="password_reset", to=to), error, [])
        raise error
    return deliver(
        "password_reset",
        to=to,
        delivery_id=delivery_id,
        recipient_name=recipient_name,
        fields={"reset_link": reset_link, "expires_at": expires_at},
    )


def _delivery(delivery_id: UUID | None, *, event: str, to: str) -> Delivery:
    """Return the row of this e-mail, and note on it which job is sending."""
    running = current_job()
    if delivery_id is None:
        if running is None:
            raise UnknownDelivery("Outside of a job, a delivery must be prepared first.")
        row = Delivery(
            id=running.id,
            tenant=get_tenant(running.tenant) if running.tenant else None,
            event=event,
            recipient=to,
            message_id=f"<{running.id}@{sender_domain()}>",
            job_id=running.id,
        )
        Delivery.objects.bulk_create([row], ignore_conflicts=True)  # a retry finds it
        delivery_id = running.id
    delivery = Delivery.objects.select_related("tenant").filter(id=delivery_id, event=event).first()
    if delivery is None:
        raise UnknownDelivery(f"There is no delivery {delivery_id} of {event!r}.")
    if running is not None and delivery.job_id != running.id:
        delivery.job_id = running.id
        delivery.save(update_fields=["job_id"])
    return delivery


def _send(message: EmailMessage) -> str:
    transport.send(message)
    return timezone.now().isoformat()


def _note_failure(delivery: Delivery, error: Exception, secrets: Iterable[str]) -> None:
    text = f"{type(error).__name__}: {error}"
    for secret in secrets:
        text = text.replace(secret, MASK)
    delivery.error = text[:2000]
    if _is_final(error):
        delivery.state = Delivery.State.FAILED
    delivery.save(update_fields=["error", "state"])


def _is_final(error: Exception) -> bool:
    """Whether the job that is running will not be retried after this error."""
    running = current_job()
    if running is None or isinstance(error, (PermanentError, Discard)):
        return True
    job = Job.objects.values("failures", "crashes", "max_attempts").get(id=running.id)
    return bool(job["failures"] + job["crashes"] + 1 >= job["max_attempts"])
