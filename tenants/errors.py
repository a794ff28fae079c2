"""What can go wrong with companies. The docstring is the message."""

import difflib
from collections.abc import Iterable

from jobs.errors import PermanentError


class UnknownTenant(PermanentError):
    """There is no company of this slug; a job that names it cannot succeed by trying again."""

    def __init__(self, slug: str, known: Iterable[str] = ()) -> None:
        close = difflib.get_close_matches(slug, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        super().__init__(f"There is no company {slug!r}.{hint}")
        self.slug = slug


class TenantOrZone(PermanentError):
    """tenant, zone: expected one of them, and not both."""
