"""Dead letters, those that wait for a decision first of all."""

from dataclasses import dataclass

from django.db.models import Q

from jobs.models import DeadLetter
from jobs.selectors.pages import Page, equal_to, keyset_page


@dataclass(frozen=True, kw_only=True)
class DeadLetterFilter:
    """Which dead letters; empty fields do not restrict."""

    queue: str = ""
    task: str = ""
    tenant: str = ""
    error_type: str = ""
    #: False: only those that wait for a decision.
    decided: bool = False

    def condition(self) -> Q:
        """Return the filter as a condition on :class:`~jobs.models.DeadLetter`."""
        condition = ~Q(decision="") if self.decided else Q(decision="")
        return condition & equal_to(
            queue=self.queue, task=self.task, tenant=self.tenant, error_type=self.error_type
        )


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


def count_dead_letters() -> int:
    """Count those that wait for a decision."""
    return DeadLetter.objects.filter(decision="").count()
