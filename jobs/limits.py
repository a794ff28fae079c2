"""What may run how often, and how much at a time: declared on a queue or a task, cluster-wide.

Options of :class:`Rate`: ``limit`` starts in any period of ``per``; of :class:`Concurrency`:
``limit`` jobs at the same time. Both take ``by``: a limit for each value of an argument of that
name, or of ``"tenant"``, instead of one for all. An operator changes a limit at run time by its
name (``email/rate/to``); :mod:`jobs.gates` keeps them.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

#: A period is counted in so many slices: the older a slice, the sooner it is forgotten.
SLICES = 60
_LONGEST_VALUE = 64


@dataclass(frozen=True, kw_only=True)
class Rate:
    """At most ``limit`` starts in any period of ``per``."""

    limit: int
    per: timedelta
    by: str | None = None


@dataclass(frozen=True, kw_only=True)
class Concurrency:
    """At most ``limit`` at the same time."""

    limit: int
    by: str | None = None


Limit = Rate | Concurrency


def name_of(owner: str, limit: Limit) -> str:
    """Return what a limit is called: ``<queue or task>/<kind>[/<by>]``."""
    kind = "rate" if isinstance(limit, Rate) else "concurrency"
    return "/".join([owner, kind, *([limit.by] if limit.by else [])])


def named(owner: str, limits: Iterable[Limit]) -> dict[str, Limit]:
    """Return the limits of a queue or task by their names; ``TypeError`` when two have the same."""
    found: dict[str, Limit] = {}
    for limit in limits:
        name = name_of(owner, limit)
        if name in found:
            raise TypeError(f"{owner}: two limits are called {name!r}; one of a kind is enough")
        found[name] = limit
    return found


def gates_of(
    owners: Iterable[tuple[str, Iterable[Limit]]], tenant: str, arguments: Mapping[str, Any]
) -> list[str]:
    """Return the gates that a job must pass, the narrow ones first: ``name`` or ``name=value``.

    A limit by an argument that the job does not have is none of its gates.
    """
    narrow, wide = [], []
    for owner, limits in owners:
        for limit in limits:
            name = name_of(owner, limit)
            if limit.by is None:
                wide.append(name)
            elif limit.by == "tenant":
                narrow.append(f"{name}={tenant}")
            elif arguments.get(limit.by) is not None:
                narrow.append(f"{name}={_digest(arguments[limit.by])}")
    return narrow + wide


def _digest(value: Any) -> str:
    # The value may be an address of a person: it is recognised, but not told.
    return hashlib.sha256(str(value).strip().casefold().encode()).hexdigest()[:16]


def described(limit: Limit, value: int | None) -> str:
    """Return the limit in words, with this value in force."""
    if value is None:
        return "no limit"
    each = f" for each {limit.by}" if limit.by else ""
    if isinstance(limit, Concurrency):
        return f"{value} at the same time{each}"
    return f"{value} in {limit.per.total_seconds():g} s{each}"
