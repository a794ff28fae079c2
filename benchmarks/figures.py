"""What is measured, and what becomes of the measurements: medians, spreads, ratios."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One thing that is measured."""

    name: str
    #: In the head of a table.
    title: str
    unit: str
    #: Whether more is better; otherwise less is.
    more_is_better: bool = True
    #: What ``--only`` calls the measurement that gives it.
    part: str


def _rate(name: str, title: str, part: str) -> Figure:
    return Figure(name=name, title=title, unit="/s", part=part)


def _less(name: str, title: str, unit: str, part: str) -> Figure:
    return Figure(name=name, title=title, unit=unit, more_is_better=False, part=part)


FIGURES: dict[str, Figure] = {
    figure.name: figure
    for figure in (
        _rate("enqueue", "enqueue /s", "enqueue"),
        _rate("with_row", "enqueue with a row /s", "enqueue"),
        _rate("bulk", "bulk /s", "bulk"),
        _rate("drain", "drain /s", "drain"),
        _rate("drain_bulk", "drain of bulk /s", "drain"),
        _less("pickup_p50", "pickup p50 ms", "ms", "pickup"),
        _less("pickup_p99", "pickup p99 ms", "ms", "pickup"),
        _less("memory", "memory MB", "MB", "memory"),
        _less("memory_keeper", "of it the keeper MB", "MB", "memory"),
        _rate("prune", "prune jobs/s", "growth"),
        _less("listing", "listing ms", "ms", "growth"),
        _less("overview", "overview ms", "ms", "growth"),
    )
}
#: What ``--only`` knows, besides growth, which is asked for by ``--rows``.
PARTS = ("enqueue", "bulk", "drain", "pickup", "memory")

#: Values by system and figure, one for each repeat.
Values = dict[str, dict[str, list[float]]]


def add(values: Values, system: str, found: Mapping[str, float]) -> None:
    """Add what one repeat has found."""
    for name, value in found.items():
        values.setdefault(system, {}).setdefault(name, []).append(value)


def median(values: Values, system: str, name: str) -> float | None:
    """Return the median; None when nothing was measured."""
    found = values.get(system, {}).get(name)
    return statistics.median(found) if found else None


def ratio(values: Values, name: str, system: str, other: str) -> float | None:
    """Return the median of ``system`` over that of ``other``; None when one is missing."""
    mine, its = median(values, system, name), median(values, other, name)
    return mine / its if mine is not None and its else None


def quantile(values: Sequence[float], part: float) -> float:
    """Return the value that ``part`` of them (0 to 1) do not exceed, interpolated."""
    ordered = sorted(values)
    place = part * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def number(value: float) -> str:
    """Return it with three digits that say something, thousands apart."""
    if abs(value) >= 100:
        digits = len(str(int(abs(value)))) - 3
        return f"{round(value, -digits):,.0f}".replace(",", " ")
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def spread(values: Sequence[float]) -> str:
    """Return the median, and the lowest and highest behind it when there are several."""
    middle = number(statistics.median(values))
    if len(values) < 2:
        return middle
    return f"{middle} ({number(min(values))}–{number(max(values))})"
