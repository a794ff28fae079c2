"""Limits as an operator sees them: what is in force, who set it, what passes, and who waits.

Gates are told by their limit's name. What tells one gate of a limit from another, the value of an
argument, is counted and never shown.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from jobs import gates
from jobs.conf import jobs_settings
from jobs.errors import UnknownLimit
from jobs.limits import Concurrency, Limit, Rate, described, name_of
from jobs.models import LimitOverride
from jobs.queues import QUEUES
from jobs.selectors.sql import fetch
from jobs.task import registry

#: Whose word a limit's value is.
Source = Literal["declared", "settings", "operator"]

# Answered by the partial index jobs_job_gates, whatever number of jobs waits in line.
_PARKED = """
SELECT split_part(gate, '=', 1), count(*) FROM jobs_job
WHERE state IN ('available', 'queued') AND NOT gate = '' AND parked
GROUP BY 1
"""

# One row for each slice of a gate in which a job passed, and only those that still count.
_PASSED = """
SELECT split_part(gate, '=', 1), max(passed)::int, sum(passed)::int, count(*)
FROM (SELECT gate, sum(passed) AS passed FROM jobs_ratecount
      WHERE expires_at > clock_timestamp() GROUP BY gate) AS of_gate
GROUP BY 1
"""

# The partial index jobs_job_running has as many entries as jobs are running.
_RUNNING = """
SELECT split_part(name, '=', 1), max(running)::int, sum(running)::int, count(*)
FROM (SELECT passed.name, count(*) AS running
      FROM jobs_job AS j CROSS JOIN LATERAL jsonb_array_elements_text(j.gates) AS passed(name)
      WHERE j.state = 'running' AND j.gates IS NOT NULL GROUP BY passed.name) AS of_gate
GROUP BY 1
"""


@dataclass(frozen=True, kw_only=True)
class LimitView:
    """One declared limit."""

    name: str
    #: The queue or the task that declares it.
    owner: str
    declared: Limit
    #: What is in force; None: no limit.
    value: int | None
    source: Source
    changed_by: str
    changed_at: datetime | None
    #: Jobs that passed in the present period (of a rate) or run now (of a concurrency limit). Of a
    #: limit for each value of an argument: at the value that has most of them.
    used: int
    #: The same of all values together, and of how many values.
    used_in_all: int
    keys: int
    #: Jobs that are parked at it.
    waiting: int

    @property
    def kind(self) -> Literal["rate", "concurrency"]:
        """What it limits: starts in a period, or jobs at the same time."""
        return "rate" if isinstance(self.declared, Rate) else "concurrency"

    @property
    def by(self) -> str:
        """The argument (or ``tenant``) for each value of which it holds apart; empty: for all."""
        return self.declared.by or ""

    @property
    def period(self) -> float | None:
        """The period of a rate, in seconds."""
        limit = self.declared
        return limit.per.total_seconds() if isinstance(limit, Rate) else None

    @property
    def is_full(self) -> bool:
        """Whether it lets no job through now, at least of one value."""
        return self.value is not None and self.used >= self.value

    @property
    def in_words(self) -> str:
        """What is in force: ``20 in 3600 s for each to``."""
        return described(self.declared, self.value)

    @property
    def declared_in_words(self) -> str:
        """What the code declares."""
        return described(self.declared, self.declared.limit)


def list_limits(*, queue: str = "") -> list[LimitView]:
    """Return every declared limit; with ``queue``, its own and those of the tasks declared on it.

    The queues' come first, in the registry's order, then the tasks', by name.
    """
    overrides = {row.name: row for row in LimitOverride.objects.all()}
    passed = {name: counts for name, *counts in fetch(_PASSED)}
    running = {name: counts for name, *counts in fetch(_RUNNING)}
    waiting = parked_by_limit()
    views = []
    for owner, limit in _declared(queue):
        name = name_of(owner, limit)
        override = overrides.get(name)
        used = running if isinstance(limit, Concurrency) else passed
        at_most, in_all, keys = used.get(name, (0, 0, 0))
        views.append(
            LimitView(
                name=name,
                owner=owner,
                declared=limit,
                value=override.value if override else jobs_settings().LIMITS.get(name, limit.limit),
                source=_source(name, override),
                changed_by=override.changed_by if override else "",
                changed_at=override.changed_at if override else None,
                used=at_most,
                used_in_all=in_all,
                keys=keys,
                waiting=waiting.get(name, 0),
            )
        )
    return views


def get_limit(name: str) -> LimitView:
    """Return one limit; raises :class:`~jobs.errors.UnknownLimit`, with "did you mean …?"."""
    views = {view.name: view for view in list_limits()}
    if name not in views:
        raise UnknownLimit(name, difflib.get_close_matches(name, views, n=1))
    return views[name]


def parked_by_limit() -> dict[str, int]:
    """Return how many jobs wait at each limit, by its name; a limit without any is left out."""
    return dict(fetch(_PARKED))


def gate_in_words(gate: str) -> str:
    """Return what a gate lets through: ``email/rate/to: 20 in 3600 s for each to``.

    Or why it is shut: jobs whose task no worker knows wait at a gate of their own.
    """
    name, _, key = gate.partition("=")
    if name == gates.UNKNOWN_TASK:
        return f"no living worker knows the task {key}"
    limit = gates.declared().get(name)
    if limit is None:
        return f"{name}: no longer declared"
    return f"{name}: {described(limit, gates.value_of(name, limit))}"


def _declared(queue: str) -> Iterable[tuple[str, Limit]]:
    for lane in QUEUES.values():
        if queue in ("", lane.name):
            yield from ((lane.name, limit) for limit in lane.limits)
    for name, task in sorted(registry().items()):
        if queue in ("", task.definition.queue):
            yield from ((name, limit) for limit in task.definition.limits)


def _source(name: str, override: LimitOverride | None) -> Source:
    if override:
        return "operator"
    return "settings" if name in jobs_settings().LIMITS else "declared"
