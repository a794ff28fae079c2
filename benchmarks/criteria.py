"""What the figures are to show, each as a ratio of one run, and whether they do."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.figures import Values, median, number, ratio

TUNED, RESULTS, RAW = "celery-results-tuned", "celery-results", "celery"


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
    text: str
    value: Callable[[Values], float | None]
    #: The least that is enough, or the most that is allowed.
    bound: float
    at_most: bool = False

    def verdict(self, values: Values) -> Verdict:
        found = self.value(values)
        if found is None:
            return Verdict(promise=self.text, found="", reached=None)
        kept = found <= self.bound if self.at_most else found >= self.bound
        return Verdict(promise=self.text, found=f"{number(found)} times", reached=kept)


def _over(name: str, other: str) -> Callable[[Values], float | None]:
    return lambda values: ratio(values, name, "ours", other)


def _enqueue(values: Values) -> float | None:
    """Compare with the faster of the two: how results are kept is no matter of who enqueues."""
    return _against(values, "enqueue")


def _with_row(values: Values) -> float | None:
    return _against(values, "with_row")


def _against(values: Values, name: str) -> float | None:
    mine = median(values, "ours", name)
    theirs = [found for peer in (RESULTS, TUNED) if (found := median(values, peer, name))]
    return mine / max(theirs) if mine is not None and theirs else None


def _bulk(values: Values) -> float | None:
    mine = median(values, "ours", "bulk")
    theirs = [found for peer in (RESULTS, TUNED) if (found := median(values, peer, "enqueue"))]
    return mine / max(theirs) if mine is not None and theirs else None


_PROMISES = (
    _Promise(
        "enqueue one by one, each in a transaction of the caller's: "
        "at least 0.9 of Celery + django-celery-results",
        _enqueue,
        0.9,
    ),
    _Promise("the same, when the transaction also inserts a row: at least 0.9", _with_row, 0.9),
    _Promise("enqueue in bulk: at least 20 times Celery's one by one", _bulk, 20),
    _Promise("enqueue in bulk: at least 0.6 of PgQueuer's", _over("bulk", "pgqueuer"), 0.6),
    _Promise(
        "drain of jobs enqueued one by one: at least 6 times Celery + django-celery-results tuned",
        _over("drain", TUNED),
        6,
    ),
    _Promise(
        "drain of jobs enqueued one by one: at least 1.5 times raw Celery",
        _over("drain", RAW),
        1.5,
    ),
    _Promise("drain of jobs enqueued one by one: try for Oban's", _over("drain", "oban"), 1),
    _Promise(
        "drain of jobs enqueued in bulk: at least twice Oban for Python",
        _over("drain_bulk", "oban"),
        2,
    ),
    _Promise(
        "drain of jobs enqueued in bulk: try for PgQueuer's", _over("drain_bulk", "pgqueuer"), 1
    ),
    _Promise(
        "pickup at low load: p50 at most 1.5 times raw Celery's",
        _over("pickup_p50", RAW),
        1.5,
        at_most=True,
    ),
    _Promise(
        "pickup at low load: p99 at most 3 times raw Celery's",
        _over("pickup_p99", RAW),
        3,
        at_most=True,
    ),
    _Promise(
        "worker memory: at most that of Celery + django-celery-results",
        _over("memory", RESULTS),
        1,
        at_most=True,
    ),
)

#: The least that is left of each figure with many rows behind it.
STEADY = 0.8


def verdicts(values: Values) -> list[Verdict]:
    """Return every promise about the peers with what came of it."""
    return [promise.verdict(values) for promise in _PROMISES]


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
