"""Dry runs: what a task would do, found out by doing it in a transaction that is rolled back.

Only what the database knows is done, so only ``atomic`` tasks can be tried. The jobs that they
enqueue are told of, and tried too when they are ``atomic``; an e-mail, or a PDF, is only told of.
Code that reaches people by other ways than jobs says so with :func:`tell`.
"""

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Told:
    """Something that would happen."""

    #: Such as ``notice``, or the wire name of a task.
    what: str
    #: The key of the tenant; empty: of none.
    tenant: str = ""
    #: Who would get it: an address, a user name; empty: nobody in particular.
    to: str = ""
    #: What it would say, by name; secrets are masked.
    detail: dict[str, Any] = field(default_factory=dict)


_told: ContextVar[list[Told] | None] = ContextVar("jobs_dry_run", default=None)


def is_dry_run() -> bool:
    """Whether this code is only tried: what it does in the database will be undone."""
    return _told.get() is not None


def tell(what: str, *, tenant: str = "", to: str = "", **detail: Any) -> None:
    """Tell of something that would happen; outside of a dry run, do nothing."""
    if (told := _told.get()) is not None:
        told.append(Told(what=what, tenant=tenant, to=to, detail=detail))
