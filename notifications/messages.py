"""Builds the message that goes to the mail server."""

from collections.abc import Sequence

from django.conf import settings
from django.core import signing
from django.core.mail import EmailMultiAlternatives
from django.urls import reverse

from notifications.addresses import mailbox, sender_address
from notifications.attachments import Attachment, read_attachment
from notifications.errors import Unsendable
from notifications.kinds import Kind
from notifications.models import Delivery
from notifications.rendering import Rendered, sender_name

UNSUBSCRIBE_SALT = "notifications.unsubscribe"


def unsubscribe_url(user_id: int, kind: Kind) -> str:
    """Return the link by which this person, without logging in, turns these e-mails off."""
    token = signing.dumps({"user": user_id, "kind": kind.value}, salt=UNSUBSCRIBE_SALT)
    path = reverse("notifications:unsubscribe", args=[token])
    return f"{settings.SITE_URL.rstrip('/')}{path}"


def build_message(
    delivery: Delivery,
    rendered: Rendered,
    *,
    to: str,
    recipient_name: str,
    attachments: Sequence[Attachment],
    unsubscribe_url: str = "",
) -> EmailMultiAlternatives:
    """Return the message: text, HTML and attachments, under the delivery's Message-ID.

    Raises:
        AttachmentMissing, AttachmentChanged: see :func:`notifications.attachments.read_attachment`.
        Unsendable: a header cannot hold its value (permanent).
    """
    headers = {"Message-ID": delivery.message_id, "Auto-Submitted": "auto-generated"}
    if unsubscribe_url:
        headers["List-Unsubscribe"] = f"<{unsubscribe_url}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message = EmailMultiAlternatives(
        subject=rendered.subject,
        body=rendered.text,
        from_email=mailbox(sender_name(delivery.tenant), sender_address()),
        to=[mailbox(recipient_name, to)],
        headers=headers,
    )
    message.attach_alternative(rendered.html, "text/html")
    for attachment in attachments:
        message.attach(
            attachment.safe_filename, read_attachment(attachment), attachment.content_type
        )
    try:
        message.message()
    except ValueError as error:
        raise Unsendable(str(error)) from error
    return message
