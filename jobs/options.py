"""The options of one job, checked before anything is stored.

Not every caller's types are checked, so what the database would refuse, or nobody would notice, is
refused here, by name.
"""

from datetime import datetime, timedelta
from typing import Any

from jobs.definition import LONGEST_WAIT, Unique
from jobs.errors import InvalidPayload
from jobs.models import Job, Priority

_LONGEST_TENANT = Job._meta.get_field("tenant").max_length or 0
_PRIORITIES = tuple(Priority.values)


def check_options(task: str, options: Any, tenant: Any) -> None:
    """Raise :class:`InvalidPayload` naming each option that makes no sense.

    Args:
        task: Whose job it is to be.
        options: :class:`~jobs.definition.Options`, as they were given.
        tenant: Its tenant, by the options or the context.
    """
    told = {
        "tenant": _of_tenant(tenant),
        "priority": _of_priority(options.priority),
        "delay": _of_delay(options.delay),
        "run_at": _of_instant(options.run_at),
        "unique": _of_unique(options.unique),
        "expires": _of_expires(options.expires),
    }
    if options.delay is not None and options.run_at is not None:
        told |= dict.fromkeys(("delay", "run_at"), "expected one of delay and run_at, not both")
    if problems := {name: problem for name, problem in told.items() if problem}:
        raise InvalidPayload(task, problems)


def _of_tenant(tenant: Any) -> str:
    if isinstance(tenant, str) and _can_be_kept(tenant) and len(tenant) <= _LONGEST_TENANT:
        return ""
    return f"expected text of at most {_LONGEST_TENANT} characters, none of them NUL"


def _of_priority(priority: Any) -> str:
    if priority is None or priority in _PRIORITIES:
        return ""
    return f"expected 0 (critical) to 3 (low), not {priority!r}"


def _of_delay(delay: Any) -> str:
    if delay is None or (isinstance(delay, timedelta) and timedelta(0) <= delay <= LONGEST_WAIT):
        return ""
    return f"expected a duration from 0 to {LONGEST_WAIT.days} days"


def _of_instant(instant: Any) -> str:
    if instant is None or (isinstance(instant, datetime) and instant.tzinfo is not None):
        return ""
    return "expected a time with a zone"


def _of_expires(expires: Any) -> str:
    """One in the past is fine: the job is cancelled instead of run."""
    if isinstance(expires, timedelta):
        fits = -LONGEST_WAIT <= expires <= LONGEST_WAIT
        return "" if fits else f"expected a duration of at most {LONGEST_WAIT.days} days"
    if not isinstance(expires, datetime | None):
        return f"expected a time with a zone or a duration, not {type(expires).__name__}"
    return _of_instant(expires)


def _of_unique(unique: Any) -> str:
    if unique is None or isinstance(unique, Unique):
        return ""
    return f"expected Unique(…), not {type(unique).__name__}"


def _can_be_kept(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return "\x00" not in text
