"""What the figures are to show, each as a ratio of one run, and whether they do."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.figures import Values, number, ratio

TUNED, RESULTS, RAW = "celery-results-tuned", "celery-results", "celery"
#: Their callers run the very same code, only their workers differ: of what callers do, the figures
#: of both are taken together.
POOLED = (RESULTS, TUNED)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One promise, and what came of it."""

    promise: str
    #: What was measured, in words; empty when it could not be.
    found: str
    #: None: not measured in this run.
    reached: bool | None


@dataclass(frozen=True)
class _Promise:
    """A figure of ours over one of others', whose figures are pooled when there are several."""

    text: str
    figure: str
    peers: tuple[str, ...]
    #: The least that is enough, or the most that is allowed.
    bound: float
    at_most: bool = False
    #: What of theirs it is set against; empty: the same figure.
    against: str = ""

    def verdict(self, values: Values, repeats: int) -> Verdict:
        mine = values.get("ours", {}).get(self.figure, [])
        against = self.against or self.figure
        theirs = [got for peer in self.peers if (got := values.get(peer, {}).get(against))]
        found = _over(mine, [value for got in theirs for value in got])
        if found is None:
            return Verdict(promise=self.text, found="", reached=None)
        kept = found <= self.bound if self.at_most else found >= self.bound
        told = f"{number(found)} times{_range(mine, theirs, repeats)}"
        return Verdict(promise=self.text, found=told, reached=kept)


def _over(mine: Sequence[float], theirs: Sequence[float]) -> float | None:
    """Return the median over the median; None when one is missing."""
    if not mine or not theirs or not statistics.median(theirs):
        return None
    return statistics.median(mine) / statistics.median(theirs)


def _range(mine: Sequence[float], theirs: Sequence[Sequence[float]], repeats: int) -> str:
    """Return the lowest and highest ratio of a single repeat.

    Nothing when a repeat found nothing: what is left may be of different ones.
    """
    if repeats < 2 or any(len(found) != repeats for found in (mine, *theirs)):
        return ""
    ratios = [_over([own], its) for own, *its in zip(mine, *theirs, strict=True)]
    found = [one for one in ratios if one is not None]
    return f" ({number(min(found))}–{number(max(found))})" if found else ""


_PROMISES = (
    _Promise(
        "enqueue one by one, each in a transaction of the caller's: "
        "at least 0.9 of Celery + django-celery-results",
        "enqueue",
        POOLED,
        0.9,
    ),
    _Promise(
        "the same, when the transaction also inserts a row: at least 0.9", "with_row", POOLED, 0.9
    ),
    _Promise(
        "enqueue in bulk: at least 20 times Celery's one by one",
        "bulk",
        POOLED,
        20,
        against="enqueue",
    ),
    _Promise("enqueue in bulk: at least 0.6 of PgQueuer's", "bulk", ("pgqueuer",), 0.6),
    _Promise(
        "drain of jobs enqueued one by one: at least 6 times Celery + django-celery-results tuned",
        "drain",
        (TUNED,),
        6,
    ),
    _Promise(
        "drain of jobs enqueued one by one: at least 1.5 times raw Celery", "drain", (RAW,), 1.5
    ),
    _Promise("drain of jobs enqueued one by one: try for Oban's", "drain", ("oban",), 1),
    _Promise(
        "drain of jobs enqueued in bulk: at least twice Oban for Python", "drain_bulk", ("oban",), 2
    ),
    _Promise("drain of jobs enqueued in bulk: try for PgQueuer's", "drain_bulk", ("pgqueuer",), 1),
    _Promise(
        "pickup at low load: p50 at most 1.5 times raw Celery's",
        "pickup_p50",
        (RAW,),
        1.5,
        at_most=True,
    ),
    _Promise(
        "pickup at low load: p99 at most 3 times raw Celery's",
        "pickup_p99",
        (RAW,),
        3,
        at_most=True,
    ),
    _Promise(
        "worker memory: at most that of Celery + django-celery-results",
        "memory",
        (RESULTS,),
        1,
        at_most=True,
    ),
)

#: The least that is left of each figure with many rows behind it.
STEADY = 0.8


def verdicts(values: Values, repeats: int) -> list[Verdict]:
    """Return every promise about the peers with what came of it."""
    return [promise.verdict(values, repeats) for promise in _PROMISES]


def growth_verdict(grown: Values, few: str, many: str) -> Verdict:
    """Say whether all figures with ``many`` rows are within 0.8 of those with ``few``.

    Of rates the ratio counts, of times and sizes its inverse.
    """
    promise = f"at {many} finished jobs, all figures within {STEADY} of those at {few}"
    kept = {name: left for name in grown.get(few, {}) if (left := keeps(grown, name, few, many))}
    if not kept:
        return Verdict(promise=promise, found="", reached=None)
    worst = min(kept, key=lambda name: kept[name])
    found = f"the least is {number(kept[worst])}, of {worst.replace('_', ' ')}"
    return Verdict(promise=promise, found=found, reached=kept[worst] >= STEADY)


def keeps(grown: Values, name: str, few: str, many: str) -> float | None:
    """Return what is left of a figure: 1 is all of it."""
    from benchmarks.figures import FIGURES

    found = ratio(grown, name, many, few)
    if found is None or found == 0:
        return None
    return found if FIGURES[name].more_is_better else 1 / found
