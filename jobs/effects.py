"""Effects outside the database (an e-mail, a webhook), recorded before and after they happen.

A retry sees the record and does not repeat a finished effect. When a crash left one begun, nobody
knows whether it happened; the caller says what to do: ``repeat`` what the other side can recognise
(an e-mail with the same Message-ID), or ``hold`` for a person.
"""

from collections.abc import Callable
from typing import Any, Literal, TypeVar, cast
from uuid import UUID

from django.db import connection
from django.db.models.functions import Now

from jobs.errors import NotPossible, PermanentError, RetryLater
from jobs.models import Effect
from jobs.running import current_job

T = TypeVar("T")

_NO_JOB = UUID(int=0)

#: After these, the effect did not happen for sure.
_DID_NOT_HAPPEN = (PermanentError, RetryLater, ConnectionRefusedError)

#: Tests run whole flows inside one transaction; see ``jobs.testing``.
allow_in_transaction = False


def once(key: str, call: Callable[[], T], *, on_unknown: Literal["repeat", "hold"] = "repeat") -> T:
    """Do ``call`` unless it was finished before; returns what it gave (JSON) then or now.

    When ``call`` raises :class:`PermanentError`, :class:`RetryLater` or ``ConnectionRefusedError``,
    the effect did not happen, and the record of its beginning goes. After any other error, such as
    a timeout, nobody knows, as after a crash, and ``on_unknown`` decides at the next try.

    Raises:
        NotPossible: inside a transaction, where the record could not be committed first.
        PermanentError: it was begun before, never finished, and ``on_unknown`` is ``hold``.
    """
    if connection.in_atomic_block and not allow_in_transaction:
        raise NotPossible(f"The effect {key!r} must be outside a transaction (and an atomic task).")
    running = current_job()
    effect, new = Effect.objects.get_or_create(
        key=key,
        defaults={"job_id": running.id if running else _NO_JOB, "state": Effect.State.STARTED},
    )
    if effect.state == Effect.State.DONE:
        return cast("T", effect.receipt)
    if not new and on_unknown == "hold":
        raise PermanentError(
            f"The effect {key!r} was begun before and may have happened. Find out, then replay or "
            "discard this job."
        )
    try:
        receipt: Any = call()
    except _DID_NOT_HAPPEN:
        Effect.objects.filter(key=key, state=Effect.State.STARTED).delete()
        raise
    Effect.objects.filter(key=key).update(
        state=Effect.State.DONE, finished_at=Now(), receipt=receipt
    )
    return cast("T", receipt)
