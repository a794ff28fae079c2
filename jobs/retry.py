"""What becomes of a job whose body raised."""

import random
import traceback as tracebacks
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from jobs import transitions
from jobs.conf import jobs_settings
from jobs.definition import OnError
from jobs.errors import Cancelled, Discard, PermanentError, RetryLater
from jobs.models import DeadLetter
from jobs.payload import MASK
from jobs.queues import Backoff
from jobs.records import Claimed, Settlement
from jobs.states import Move

NOTHING_SPECIAL: Mapping[type[Exception], OnError] = MappingProxyType({})

_TYPE_CHARACTERS = 200
_ERROR_CHARACTERS = 4_000
_TRACEBACK_CHARACTERS = 20_000


def wait(backoff: Backoff, retry: int) -> float:
    """Return the seconds before retry number ``retry`` (from 1): see :class:`Backoff`."""
    longest = min(
        backoff.cap.total_seconds(), backoff.base.total_seconds() * 2.0 ** min(retry - 1, 62)
    )
    return longest * jobs_settings().BACKOFF_SCALE * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret


def settlement_of(
    job: Claimed,
    error: BaseException,
    backoff: Backoff,
    *,
    secrets: Iterable[str] = (),
    on_error: Mapping[type[Exception], OnError] = NOTHING_SPECIAL,
) -> Settlement:
    """Decide by the error what becomes of the job: later, discarded, cancelled, dead or retried.

    ``on_error`` is what its task says of errors of some types; the nearest class counts.
    """
    settlement = Settlement(
        id=job.id,
        lease=job.lease,
        move=Move.RETRIED,
        error_type=type(error).__name__[:_TYPE_CHARACTERS],
        error=_masked(_told(error), secrets)[:_ERROR_CHARACTERS],
    )
    match error:
        case RetryLater():
            at = error.at.isoformat() if error.at else None
            # Without a time it would come back at once, and again, without end.
            delay = wait(backoff, 1) if error.after is None else transitions.seconds(error.after)
            return replace(settlement, move=Move.SNOOZED, run_at=at, delay=delay)
        case Discard():
            return replace(settlement, move=Move.DISCARDED)
        case Cancelled():
            return replace(settlement, move=Move.CANCELLED)
    verdict = next((on_error[kind] for kind in type(error).__mro__ if kind in on_error), None)
    if verdict == "discard":
        return replace(settlement, move=Move.DISCARDED)
    told = _masked("".join(tracebacks.format_exception(error)), secrets)
    settlement = replace(settlement, failures=1, traceback=told[-_TRACEBACK_CHARACTERS:])
    spent = job.failures + job.crashes + 1
    if isinstance(error, PermanentError) or verdict == "die":
        return replace(settlement, move=Move.DIED, reason=DeadLetter.Reason.PERMANENT)
    if spent >= job.max_attempts:
        return replace(settlement, move=Move.DIED, reason=DeadLetter.Reason.EXHAUSTED)
    return replace(
        settlement, delay=wait(verdict if isinstance(verdict, Backoff) else backoff, spent)
    )


def _told(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - the text of an error is a task's code too
        return "(its text cannot be told)"


def _masked(text: str, secrets: Iterable[str]) -> str:
    # PostgreSQL keeps neither half a surrogate pair nor NUL.
    text = text.encode(errors="replace").decode().replace("\x00", "\N{REPLACEMENT CHARACTER}")
    for secret in secrets:
        if secret:
            text = text.replace(secret, MASK)
    return text
