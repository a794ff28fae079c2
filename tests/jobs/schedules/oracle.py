"""When a cron is due, by its rules alone, read off a zone's clock.

It shares nothing with the code it judges: neither its algorithm nor its reading of the fields.
All moments inside are whole minutes since 1970, of UTC or of the local calendar.
"""

from collections.abc import Iterator, Set
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import dropwhile
from zoneinfo import ZoneInfo

DAY = 24 * 60
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def minute_of(instant: datetime) -> int:
    """Return the UTC minute that the aware ``instant`` lies in."""
    return (instant - EPOCH) // timedelta(minutes=1)


def instant_of(minute: int) -> datetime:
    """Return the start of a UTC minute."""
    return EPOCH + timedelta(minutes=minute)


#: Of these minutes the oracle knows the clocks.
FIRST = minute_of(datetime(2024, 12, 20, tzinfo=UTC))
LAST = minute_of(datetime(2036, 1, 1, tzinfo=UTC))


@dataclass(frozen=True)
class Span:
    """UTC minutes, the end excluded, through which the clock is the same minutes ``ahead``."""

    start: int
    end: int
    ahead: int


def minutes_ahead(zone: ZoneInfo, minute: int) -> int:
    """Return how far the zone's clock is ahead of UTC at a UTC minute."""
    offset = instant_of(minute).astimezone(zone).utcoffset()
    assert offset is not None
    assert not offset % timedelta(minutes=1)
    return offset // timedelta(minutes=1)


@lru_cache
def spans_of(zone: ZoneInfo) -> tuple[Span, ...]:
    """Return the spans of a zone: every hour is looked at, and every minute of one with a shift."""
    spans: list[Span] = []
    start, ahead = FIRST, minutes_ahead(zone, FIRST)
    for hour in range(FIRST, LAST, 60):
        if minutes_ahead(zone, hour + 60) == ahead:
            continue
        for minute in range(hour + 1, hour + 61):
            now = minutes_ahead(zone, minute)
            if now != ahead:
                spans.append(Span(start, minute, ahead))
                start, ahead = minute, now
    return (*spans, Span(start, LAST, ahead))


def shifts_of(zone: ZoneInfo) -> list[datetime]:
    """Return the instants at which the zone's clock jumps."""
    return [instant_of(span.start) for span in spans_of(zone)[1:]]


@dataclass(frozen=True)
class Rule:
    """The five fields of a cron as sets."""

    minutes: Set[int]
    hours: Set[int]
    days: Set[int]
    months: Set[int]
    weekdays: Set[int]
    is_rhythm: bool

    def fits_day(self, day: date) -> bool:
        return (
            day.day in self.days
            and day.month in self.months
            and day.isoweekday() % 7 in self.weekdays
        )

    def fits(self, local: datetime) -> bool:
        return (
            local.minute in self.minutes
            and local.hour in self.hours
            and self.fits_day(local.date())
        )

    def walls(self, first: int, last: int) -> Iterator[int]:
        """Yield the local minutes that fit, from ``first`` to ``last``, whether they exist or not."""
        times = sorted(hour * 60 + minute for hour in self.hours for minute in self.minutes)
        for day in range(first // DAY, last // DAY + 1):
            if self.fits_day(EPOCH.date() + timedelta(days=day)):
                for time in times:
                    if first <= day * DAY + time <= last:
                        yield day * DAY + time


@lru_cache
def rule_of(expression: str) -> Rule:
    """Read a cron of five fields."""
    minute, hour, day, month, weekday = expression.split()
    minutes, hours = _numbers(minute, 0, 59), _numbers(hour, 0, 23)
    return Rule(
        minutes=minutes,
        hours=hours,
        days=_numbers(day, 1, 31),
        months=_numbers(month, 1, 12),
        weekdays=_numbers(weekday, 0, 6),
        is_rhythm=(minute + hour).startswith("*")
        or hour.startswith("*")
        or len(minutes) == 60
        or len(hours) == 24,
    )


def _numbers(text: str, low: int, high: int) -> Set[int]:
    found: set[int] = set()
    for part in text.split(","):
        run, _, step = part.partition("/")
        first, _, last = (f"{low}-{high}" if run == "*" else run).partition("-")
        start, end = _number(first), _number(last or first)
        if start <= end:
            numbers = list(range(start, end + 1))
        else:
            numbers = [*range(start, high + 1), *range(low, end + 1)]
        found.update(numbers[:: int(step or 1)])
    return found


def _number(text: str) -> int:
    return WEEKDAYS.index(text) if text in WEEKDAYS else int(text)


def due(expression: str, zone: ZoneInfo, *, after: datetime) -> Iterator[datetime]:
    """Yield what is due later than ``after``, until the oracle's clocks end."""
    asked = minute_of(after)
    minutes = _due_minutes(rule_of(expression), spans_of(zone), asked)
    return map(instant_of, dropwhile(lambda minute: minute <= asked, minutes))


def _due_minutes(rule: Rule, spans: tuple[Span, ...], asked: int) -> Iterator[int]:
    latest = FIRST - 1  # the latest minute yielded
    shown = spans[0].start + spans[0].ahead - 1  # the latest local minute that was ever shown
    for span in spans:
        first, last = span.start + span.ahead, span.end - 1 + span.ahead
        # A fixed time is due when the clock first reaches or passes it; a rhythm whenever shown.
        wanted = first if rule.is_rhythm else shown + 1
        if asked >= span.start:
            wanted = max(wanted, asked + span.ahead)  # no need to go through the years before
        for wall in rule.walls(wanted, last):
            minute = max(wall - span.ahead, span.start)
            if minute > latest:
                yield minute
                latest = minute
        shown = max(shown, last)


def due_by_walking(expression: str, zone: ZoneInfo, since: int, until: int) -> list[int]:
    """Return the UTC minutes that are due, by looking at the clock in each: slow, and plain."""
    rule = rule_of(expression)
    found: list[int] = []
    seen: set[datetime] = set()
    before = _wall(zone, since - 1)
    for minute in range(since, until):
        wall = _wall(zone, minute)
        skipped, missing = [], before + timedelta(minutes=1)
        while missing < wall:
            skipped.append(missing)
            missing += timedelta(minutes=1)
        if rule.is_rhythm:
            is_due = rule.fits(wall)
        else:
            # Of what was skipped, all was never shown before: these are gaps.
            new = [time for time in (*skipped, wall) if time not in seen]
            is_due = any(map(rule.fits, new))
        if is_due:
            found.append(minute)
        seen.add(wall)
        before = wall
    return found


@lru_cache(maxsize=4096)
def _wall(zone: ZoneInfo, minute: int) -> datetime:
    return instant_of(minute).astimezone(zone).replace(tzinfo=None, fold=0)
