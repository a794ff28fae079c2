"""Jobs by filter, newest first, in pages that stay right while jobs come in."""

import re
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from heapq import nlargest, nsmallest
from typing import Any

from django.db.models import BooleanField, Q
from django.db.models.expressions import RawSQL

from jobs.models import AT_REST, Job
from jobs.selectors.pages import Page, cursor_values, equal_to, keyset_page
from jobs.selectors.sql import fetch
from jobs.states import UNFINISHED, State

#: Jobs in line, running or for later that are looked through for the newest; where there are more,
#: the list is walked, as it is where no index has the jobs together.
_MOST = 2_000

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
    ids = _found_by_parts(wanted, before=before, after=after, number=limit + 1)
    # By id alone: one that has moved on since must not make the page look like the last; nor one
    # that was pruned.
    condition = wanted.condition() if ids is None else _is_one_of(ids)
    rows = Job.objects.filter(condition).defer("secrets", "result", "canvas")
    more = ids is not None and len(ids) > limit
    return keyset_page(rows, ("id",), before=before, after=after, limit=limit, more=more)


@dataclass(frozen=True, kw_only=True)
class _Part:
    """Jobs in some states, and the order of the index that has them together."""

    states: frozenset[str]
    order: tuple[str, ...]


#: Of one tenant: the index has them in the order of the list.
_AT_REST = _Part(states=frozenset(AT_REST), order=("tenant", "id"))
_IN_LINE = _Part(
    states=frozenset({State.AVAILABLE, State.QUEUED}),
    order=("queue", "priority", "tenant", "seat"),
)
_RUNNING = _Part(states=frozenset({State.RUNNING}), order=("worker",))
_FOR_LATER = _Part(states=frozenset({State.SCHEDULED}), order=("scheduled_at",))


def _found_by_parts(
    wanted: JobFilter, *, before: str, after: str, number: int
) -> list[uuid.UUID] | None:
    """Return the ids of the ``number`` jobs next to the cursor; None: the list is to be walked.

    PostgreSQL guesses from statistics how far it has to walk back through the primary key. When
    others have enqueued a million jobs since then, or a million have left the line, it passes all
    of them. So each part is asked for in the order of its own index, which the primary key cannot
    give, whatever the guess.
    """
    if wanted.text.strip() or any("\0" in t for t in (wanted.tenant, wanted.queue, wanted.task)):
        return None
    if wanted.tenant:
        parts = [_AT_REST, _IN_LINE, _RUNNING]
    elif wanted.states and UNFINISHED.issuperset(wanted.states):
        parts = [_IN_LINE, _RUNNING, _FOR_LATER]
    else:
        return None
    conditions, values = _restrictions(wanted)
    if after or before:
        conditions.append(f"id {'>' if after else '<'} %(cursor)s")
        values["cursor"] = cursor_values(("id",), after or before)[0]
    found: list[str] = []
    for place, part in enumerate(parts):
        states = part.states.intersection(wanted.states or part.states)
        if not states:
            continue
        turn = " DESC" if part is _AT_REST and not after else ""
        found.append(
            f"(SELECT {place}, id FROM jobs_job"
            f" WHERE {' AND '.join([*conditions, f'state IN ({_literals(states)})'])}"
            f" ORDER BY {', '.join(column + turn for column in part.order)}"
            f" LIMIT {number if part is _AT_REST else _MOST + 1})"
        )
    rows = fetch(" UNION ALL ".join(found), values) if found else []
    read = Counter(parts[place] for place, _ in rows)
    if any(count > _MOST for part, count in read.items() if part is not _AT_REST):
        return None
    return (nsmallest if after else nlargest)(number, (job_id for _, job_id in rows))


def _restrictions(wanted: JobFilter) -> tuple[list[str], dict[str, Any]]:
    """Return the filter but for its states as conditions in SQL, with their values.

    A tenant is a range: were it said to be equal, the order by tenant would count for nothing, and
    the primary key would do.
    """
    said = {
        "queue": "queue = %(queue)s",
        "task": "task = %(task)s",
        "tenant": "tenant >= %(tenant)s AND tenant <= %(tenant)s AND tenant <> ''",
        "since": "enqueued_at >= %(since)s",
        "until": "enqueued_at < %(until)s",
    }
    values = {name: value for name in said if (value := getattr(wanted, name))}
    return [said[name] for name in values], values


def _literals(states: Iterable[str]) -> str:
    """Return states of the engine in SQL: written out, so that they fit the indexes of some."""
    return ", ".join(f"'{State(state).value}'" for state in sorted(states))


def _is_one_of(ids: list[uuid.UUID]) -> Q | RawSQL:
    """Return the condition, in one parameter: fifty take Django a millisecond."""
    if not ids:
        return Q(pk__in=[])
    return RawSQL("jobs_job.id = ANY(%s::uuid[])", [ids], output_field=BooleanField())
