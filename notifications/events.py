"""The e-mails there are. Each has a folder of three templates, ``notifications/email/<name>/``."""

import difflib
from dataclasses import dataclass

from notifications.errors import UnknownEvent
from notifications.kinds import Kind


@dataclass(frozen=True, kw_only=True)
class Event:
    """One e-mail of the catalogue."""

    name: str
    #: What a person turns off to get it no more. None: it belongs to a transaction of the
    #: recipient's own, cannot be turned off, and carries no List-Unsubscribe.
    kind: Kind | None = None


EVENTS: dict[str, Event] = {
    event.name: event
    for event in (
        Event(name="order_confirmation"),
        Event(name="invoice"),
        Event(name="password_reset"),
        Event(name="low_stock_alert", kind=Kind.LOW_STOCK),
        Event(name="document_expiry_warning", kind=Kind.DOCUMENT_EXPIRY),
        Event(name="filing_reminder", kind=Kind.FILING_DEADLINE),
    )
}


def get_event(name: str) -> Event:
    """Return the e-mail called ``name``; raises :class:`~notifications.errors.UnknownEvent`."""
    try:
        return EVENTS[name]
    except KeyError:
        raise UnknownEvent(name, difflib.get_close_matches(name, EVENTS, n=1)) from None
