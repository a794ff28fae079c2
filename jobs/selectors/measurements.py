"""What monitoring counts: all that ever ended, from totals and roll-ups.

So the figures never fall, whatever the pruner deletes, and cost the same after ten jobs and after
ten million.
"""

from dataclasses import dataclass, field

from jobs import rollups
from jobs.models import Attempt
from jobs.selectors.sql import fetch
from jobs.states import FINAL

_EVER = f"""
SELECT queue, task, outcome, state, error_type, {rollups.SUMS}
FROM ({rollups.EVER}) AS rows
GROUP BY queue, task, outcome, state, error_type
ORDER BY queue, task
"""

#: Of no attempt, or of one that its worker gave back: its times say nothing of the task.
_UNTOLD = {"", Attempt.Outcome.RELEASED}


@dataclass
class Histogram:
    """How many measurements fell into each bucket, and their sum in seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * rollups.BUCKETS)
    total: float = 0.0

    def add(self, counts: list[int], total: float) -> None:
        """Add measurements."""
        self.counts = [one + other for one, other in zip(self.counts, counts, strict=True)]
        self.total += total


@dataclass
class TaskMeasurements:
    """What ended of one task on one queue."""

    #: Jobs by the state they ended in.
    ends: dict[str, int] = field(default_factory=dict)
    #: Attempts by outcome.
    outcomes: dict[str, int] = field(default_factory=dict)
    #: Attempts that failed by the type of the error, or ``crashed``.
    failures: dict[str, int] = field(default_factory=dict)
    #: Of all attempts but those that were given back.
    waits: Histogram = field(default_factory=Histogram)
    runs: Histogram = field(default_factory=Histogram)


def measure() -> dict[tuple[str, str], TaskMeasurements]:
    """Return the measurements of every (queue, task) of which anything ever ended."""
    found: dict[tuple[str, str], TaskMeasurements] = {}
    for queue, task, outcome, state, error, *figures in fetch(_EVER):
        count, waited, ran, waits, runs = figures
        measured = found.setdefault((queue, task), TaskMeasurements())
        if state in FINAL:
            _add(measured.ends, state, int(count))
        if outcome:
            _add(measured.outcomes, outcome, int(count))
        if outcome == Attempt.Outcome.CRASHED:
            _add(measured.failures, outcome, int(count))
        elif outcome == Attempt.Outcome.FAILED:
            _add(measured.failures, error, int(count))
        if outcome not in _UNTOLD:
            measured.waits.add(rollups.unpacked(waits), waited)
            measured.runs.add(rollups.unpacked(runs), ran)
    return found


def _add(counts: dict[str, int], name: str, count: int) -> None:
    counts[name] = counts.get(name, 0) + count
