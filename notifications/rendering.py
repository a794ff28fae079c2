"""Turns an event and its fields into a subject, a text and an HTML body.

The templates of an event are ``notifications/email/<event>/{subject.txt,body.txt,body.html}``. They
see the event's fields and, besides: ``tenant`` (or None), ``sender_name``, ``recipient_name``,
``locale``, ``zone``, ``site_url``, ``unsubscribe_url`` (or "").
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.template import Context, Engine

from notifications.addresses import LONGEST_SUBJECT, one_line
from notifications.events import Event
from tenants.formats import DEFAULT_LOCALE
from tenants.models import Tenant

FOLDER = "notifications/email"


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """An e-mail's words."""

    subject: str
    text: str
    html: str


def render_email(
    event: Event,
    fields: Mapping[str, Any],
    *,
    tenant: Tenant | None,
    recipient_name: str = "",
    unsubscribe_url: str = "",
) -> Rendered:
    """Return the e-mail, with amounts and dates as the tenant writes them.

    What comes from outside is escaped in the HTML and left as it is in the text; the subject is
    one line whatever its fields hold.
    """
    values = {
        **fields,
        "tenant": tenant,
        "sender_name": sender_name(tenant),
        "recipient_name": recipient_name,
        "locale": tenant.locale if tenant else DEFAULT_LOCALE,
        "zone": tenant.zone if tenant else ZoneInfo("UTC"),
        "site_url": settings.SITE_URL.rstrip("/"),
        "unsubscribe_url": unsubscribe_url,
    }
    subject = _render(event, "subject.txt", values)
    text = re.sub(r"\n{3,}", "\n\n", _render(event, "body.txt", values)).strip() + "\n"
    return Rendered(
        subject=one_line(subject, LONGEST_SUBJECT),
        text=text,
        html=_render(event, "body.html", {**values, "subject": one_line(subject, LONGEST_SUBJECT)}),
    )


def sender_name(tenant: Tenant | None) -> str:
    """Return the name the e-mail comes from: the company's, or the site's."""
    from email.utils import parseaddr

    return tenant.name if tenant else parseaddr(settings.DEFAULT_FROM_EMAIL)[0]


def _render(event: Event, part: str, values: Mapping[str, Any]) -> str:
    template = Engine.get_default().get_template(f"{FOLDER}/{event.name}/{part}")
    # Django escapes whatever a template is called; text has nothing to escape.
    return template.render(Context(dict(values), autoescape=part.endswith(".html")))
