"""Hands messages to the mail server, over one connection per thread that is kept open.

A connection per message halves the rate. A kept one is given up when it has been idle for
``IDLE_LIMIT`` seconds or has carried ``MESSAGES_LIMIT`` messages, before the server does it, and
after any error but the refusal of a recipient.
"""

import smtplib
import threading
import time
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage, get_connection

from notifications.errors import Deferred, Refused

IDLE_LIMIT = 30.0
MESSAGES_LIMIT = 100


class _Kept(threading.local):
    """This thread's connection, and what it was made for."""

    connection: Any = None
    made_for: tuple[Any, ...] = ()
    used_at: float = 0.0
    messages: int = 0


_kept = _Kept()


def send(message: EmailMessage) -> None:
    """Hand the message over; returns when the server has taken it.

    A server that has gone away since the last message is called again, once.

    Raises:
        Refused: the server refuses the recipient or the message for good (5xx).
        Deferred: the server does not take it now (4xx).
        Exception: anything else, such as no connection; worth trying again.
    """
    kept = _has_connection()
    try:
        _send(message)
    except smtplib.SMTPServerDisconnected:
        close()
        if not kept:
            raise
        _send(message)


def close() -> None:
    """Give up this thread's connection without waiting for the server."""
    connection, _kept.connection = _kept.connection, None
    smtp = getattr(connection, "connection", None)
    if smtp is not None:
        smtp.close()


def _send(message: EmailMessage) -> None:
    message.connection = _connection()
    try:
        message.send()
    except smtplib.SMTPRecipientsRefused as error:
        code, answer = next(iter(error.recipients.values()))
        raise _error(code, answer) from None
    except smtplib.SMTPDataError as error:
        close()
        raise _error(error.smtp_code, error.smtp_error) from None
    except BaseException:
        close()
        raise
    _kept.used_at = time.monotonic()
    _kept.messages += 1


def _error(code: int, answer: bytes | str) -> Refused | Deferred:
    words = answer.decode(errors="replace") if isinstance(answer, bytes) else answer
    if 500 <= code < 600:
        return Refused(f"The mail server refused it: {code} {words}")
    return Deferred(f"The mail server does not take it now: {code} {words}")


def _settings() -> tuple[Any, ...]:
    return (
        settings.EMAIL_BACKEND,
        settings.EMAIL_HOST,
        settings.EMAIL_PORT,
        settings.EMAIL_HOST_USER,
        settings.EMAIL_HOST_PASSWORD,
        settings.EMAIL_USE_TLS,
        settings.EMAIL_USE_SSL,
        settings.EMAIL_TIMEOUT,
    )


def _has_connection() -> bool:
    """Whether there is a kept connection that may be used; an unfit one is given up."""
    if _kept.connection is None:
        return False
    idle = time.monotonic() - _kept.used_at
    if idle > IDLE_LIMIT or _kept.messages >= MESSAGES_LIMIT or _kept.made_for != _settings():
        close()
        return False
    return True


def _connection() -> Any:
    if _kept.connection is None:
        connection = get_connection()
        connection.open()
        _kept.connection, _kept.made_for = connection, _settings()
        _kept.messages, _kept.used_at = 0, time.monotonic()
    return _kept.connection
