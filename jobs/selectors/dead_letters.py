"""Dead letters, those that wait for a decision first of all."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, Max, Min, Q
from pydantic import TypeAdapter

from jobs.models import DeadLetter
from jobs.selectors.pages import Page, equal_to, keyset_page


@dataclass(frozen=True, kw_only=True)
class DeadLetterFilter:
    """Which dead letters; empty fields do not restrict."""

    queue: str = ""
    task: str = ""
    tenant: str = ""
    #: Why it died: ``exhausted``, ``permanent`` or ``crashed``.
    reason: str = ""
    error_type: str = ""
    #: Died in ``[died_after, died_before)``, both aware.
    died_after: datetime | None = None
    died_before: datetime | None = None
    #: Any of these jobs.
    ids: tuple[UUID, ...] = ()
    #: False: only those that wait for a decision.
    decided: bool = False

    def condition(self) -> Q:
        """Return the filter as a condition on :class:`~jobs.models.DeadLetter`."""
        condition = ~Q(decision="") if self.decided else Q(decision="")
        condition &= equal_to(
            queue=self.queue,
            task=self.task,
            tenant=self.tenant,
            reason=self.reason,
            error_type=self.error_type,
        )
        if self.died_after:
            condition &= Q(died_at__gte=self.died_after)
        if self.died_before:
            condition &= Q(died_at__lt=self.died_before)
        if self.ids:
            condition &= Q(job_id__in=self.ids)
        return condition

    def as_json(self) -> dict[str, Any]:
        """Return what restricts, as JSON; nothing when it takes every pending letter."""
        told: dict[str, Any] = _FILTER.dump_python(self, mode="json", exclude_defaults=True)
        return told

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> "DeadLetterFilter":
        """Return the filter that :meth:`as_json` told of."""
        return _FILTER.validate_python(told)


_FILTER = TypeAdapter(DeadLetterFilter)


@dataclass(frozen=True, kw_only=True)
class DeadLetterGroup:
    """Dead letters that died alike."""

    task: str
    queue: str
    reason: str
    error_type: str
    count: int
    oldest: datetime
    newest: datetime


def list_dead_letters(
    wanted: DeadLetterFilter | None = None, *, before: str = "", after: str = "", limit: int = 50
) -> Page[DeadLetter]:
    """Return a page of dead letters with their jobs, latest first; raises :class:`BadCursor`."""
    rows = (
        DeadLetter.objects.filter((wanted or DeadLetterFilter()).condition())
        .select_related("job")
        .defer("job__secrets", "job__result")
    )
    return keyset_page(rows, ("died_at", "job_id"), before=before, after=after, limit=limit)


def count_dead_letters(wanted: DeadLetterFilter | None = None) -> int:
    """Count those that fit; by default all that wait for a decision."""
    return DeadLetter.objects.filter((wanted or DeadLetterFilter()).condition()).count()


def group_dead_letters(wanted: DeadLetterFilter) -> list[DeadLetterGroup]:
    """Return those that fit by task, queue, reason and error; the largest group first."""
    alike = ("task", "queue", "reason", "error_type")
    rows = (
        DeadLetter.objects.filter(wanted.condition())
        .order_by()
        .values(*alike)
        .annotate(count=Count("job_id"), oldest=Min("died_at"), newest=Max("died_at"))
        .order_by("-count", *alike)
    )
    return [DeadLetterGroup(**row) for row in rows]
