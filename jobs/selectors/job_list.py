"""Jobs by filter, newest first, in pages that stay right while jobs come in."""

import re
import uuid
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from jobs.models import Job
from jobs.selectors.pages import Page, equal_to, keyset_page

_BEGINNING_OF_ID = re.compile(r"[0-9a-f]{4,32}")


@dataclass(frozen=True, kw_only=True)
class JobFilter:
    """Which jobs; empty fields do not restrict."""

    queue: str = ""
    task: str = ""
    #: Any of these states.
    states: tuple[str, ...] = ()
    tenant: str = ""
    #: An id, the beginning of one (four characters or more), or a correlation id.
    text: str = ""
    #: Enqueued in ``[since, until)``, both aware.
    since: datetime | None = None
    until: datetime | None = None

    def condition(self) -> Q:
        """Return the filter as a condition on :class:`~jobs.models.Job`."""
        condition = equal_to(queue=self.queue, task=self.task, tenant=self.tenant)
        if self.states:
            condition &= Q(state__in=self.states)
        if self.since:
            condition &= Q(enqueued_at__gte=self.since)
        if self.until:
            condition &= Q(enqueued_at__lt=self.until)
        if self.text.strip():
            condition &= _mentions(self.text.strip())
        return condition


def _mentions(text: str) -> Q:
    if "\0" in text:  # PostgreSQL refuses to compare with it
        return Q(pk__in=[])
    condition = Job.correlated_with(text)
    digits = text.lower().replace("-", "")
    if _BEGINNING_OF_ID.fullmatch(digits):
        # All ids that begin so are neighbours in the primary key's index.
        first, last = digits.ljust(32, "0"), digits.ljust(32, "f")
        condition |= Q(id__range=(uuid.UUID(first), uuid.UUID(last)))
    return condition


def list_jobs(
    wanted: JobFilter, *, before: str = "", after: str = "", limit: int = 50
) -> Page[Job]:
    """Return a page of jobs: the newest, or those older than ``before``, or newer than ``after``.

    Secrets and results are not loaded. Raises :class:`BadCursor`.
    """
    rows = Job.objects.filter(wanted.condition()).defer("secrets", "result", "canvas")
    return keyset_page(rows, ("id",), before=before, after=after, limit=limit)
