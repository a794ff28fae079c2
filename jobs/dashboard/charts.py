"""Bars for the charts, in the units of their SVG view box."""

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.selectors import Minute

HEIGHT = 40.0
#: What happened at all is seen, however small beside the rest.
_LEAST = 1.5


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One minute; heights and offsets from the top."""

    x: int
    good_y: float
    good: float
    bad_y: float
    bad: float
    label: str


def throughput_bars(minutes: Sequence[Minute]) -> list[Bar]:
    """Return a bar for each minute, oldest first; the highest fills the height."""
    highest = max((minute.total for minute in minutes), default=0)
    return [_bar(index, minute, highest, len(minutes)) for index, minute in enumerate(minutes)]


def _bar(index: int, minute: Minute, highest: int, count: int) -> Bar:
    good = _scaled(minute.succeeded, highest)
    bad = min(_scaled(minute.dead + minute.cancelled, highest), HEIGHT)
    good = min(good, HEIGHT - bad)
    ago = count - 1 - index
    when = "this minute" if ago == 0 else f"{ago} min ago"
    label = f"{when}: {minute.succeeded} succeeded"
    label += f", {minute.dead} dead" if minute.dead else ""
    label += f", {minute.cancelled} cancelled" if minute.cancelled else ""
    return Bar(
        x=index,
        good=good,
        good_y=round(HEIGHT - good, 2),
        bad=bad,
        bad_y=round(HEIGHT - good - bad, 2),
        label=label,
    )


def _scaled(value: int, highest: int) -> float:
    return round(max(value / highest * HEIGHT, _LEAST), 2) if value else 0.0
