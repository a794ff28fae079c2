"""What can go wrong on the way to a person. The docstring is the message.

Those that are a :class:`~jobs.errors.PermanentError` end a job as a dead letter at once; any other
is retried.
"""

from collections.abc import Sequence

from jobs.errors import InvalidPayload, PermanentError


class NotificationsError(Exception):
    """Something went wrong with a notification."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (self.__doc__ or "").strip().splitlines()[0])


class UnknownEvent(NotificationsError, PermanentError):
    """There is no e-mail of this name."""

    def __init__(self, name: str, close: Sequence[str] = ()) -> None:
        hint = f" Did you mean {close[0]!r}?" if close else ""
        super().__init__(f"There is no e-mail {name!r}.{hint}")


class InvalidAddress(InvalidPayload):
    """The address cannot be written to; ``problems`` names the field."""


class UnknownDelivery(NotificationsError, PermanentError):
    """There is no delivery row of this id, so nobody asked for this e-mail."""


class AttachmentMissing(NotificationsError):
    """A file to attach is not in the storage (yet); retried."""


class AttachmentChanged(NotificationsError, PermanentError):
    """A file to attach is not the one that was meant: its SHA-256 differs."""


class Refused(NotificationsError, PermanentError):
    """The mail server refuses this message for good (SMTP 5xx)."""


class Deferred(NotificationsError):
    """The mail server does not take this message now (SMTP 4xx); retried."""


class Unsendable(NotificationsError, PermanentError):
    """The message cannot be built: a header cannot hold what it should."""
