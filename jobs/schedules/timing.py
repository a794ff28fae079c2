"""When a schedule is due: instants in UTC, from a local time, an interval, or a single instant.

Local times behave as in Debian's cron, which ``cronsim`` follows. A **fixed time** (neither minute
nor hour begins with ``*``) is due once in a local day: right after the gap when clocks go forward
over it, and the first time when it happens twice. A **rhythm** (``*/15``, every hour) goes by the
clock as it runs: through a repeated hour twice, over a gap as if it were not there.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Protocol
from zoneinfo import ZoneInfo

from celery.schedules import ParseException, crontab
from cronsim import CronSim, CronSimError

from jobs.errors import JobsError
from jobs.schedules.calendars import Days, is_wanted

#: What is not due within this is never due: 29 February on a Sunday comes every 28 years.
HORIZON = timedelta(days=366 * 41)
#: The shortest interval: a beat looks once a second.
SHORTEST = timedelta(seconds=1)


class BadTiming(JobsError):
    """A schedule that can never be planned. The text says which field, and what was expected."""


class Timing(Protocol):
    """A way to say when."""

    @property
    def zone(self) -> ZoneInfo:
        """Where its days begin."""

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Yield what is due later than the aware ``instant``, in UTC, each once, in order."""


@dataclass(frozen=True, kw_only=True)
class Cron:
    """Minutes, hours and days in a zone, written as Celery's ``crontab`` takes them.

    All three of day, month and weekday must fit, as with Celery; 0 is Sunday.

    Raises:
        BadTiming: a field cannot be read.
    """

    minute: str = "*"
    hour: str = "*"
    day_of_month: str = "*"
    month_of_year: str = "*"
    day_of_week: str = "*"
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    _expression: str = field(init=False, repr=False, compare=False)
    _weekdays: frozenset[int] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        minutes = _numbers("minute", self.minute)
        hours = _numbers("hour", self.hour)
        days = _numbers("day_of_month", self.day_of_month)
        months = _numbers("month_of_year", self.month_of_year)
        weekdays = _numbers("day_of_week", self.day_of_week)
        words = [
            _word(self.minute, minutes, 60),
            _word(self.hour, hours, 24),
            _listed(days, 31),
            _listed(months, 12),
            "*",  # cron would take a day *or* a weekday; ours is checked below
        ]
        object.__setattr__(self, "_expression", " ".join(words))
        object.__setattr__(self, "_weekdays", weekdays if len(weekdays) < 7 else None)

    @classmethod
    def parse(cls, expression: str, zone: ZoneInfo) -> "Cron":
        """Return the timing of five fields: minute, hour, day, month, weekday."""
        words = expression.split()
        if len(words) != len(FIELDS):
            raise BadTiming(
                f"{expression!r}: expected five fields (minute, hour, day of month, month, "
                f"weekday), such as '0 8 * * 1-5'; there are {len(words)}."
            )
        return cls(**dict(zip(FIELDS, words, strict=True)), zone=zone)

    @property
    def expression(self) -> str:
        """The five fields, as they were written."""
        return " ".join(getattr(self, name) for name in FIELDS)

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Yield what is due later."""
        last, end = instant, instant + HORIZON
        try:
            found = CronSim(self._expression, instant.astimezone(self.zone))
        except CronSimError:
            return  # such as 31 April: never
        for local in found:
            due = local.astimezone(UTC)
            if due > end:
                return
            # Begun inside a repeated hour, it first finds what the first time round had.
            if due > last and self._has_weekday(local):
                yield due
                last = due

    def _has_weekday(self, local: datetime) -> bool:
        return self._weekdays is None or local.isoweekday() % 7 in self._weekdays


_RANGES = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day_of_month": "1 to 31",
    "month_of_year": "1 to 12",
    "day_of_week": "0 (Sunday) to 6, or names such as mon-fri",
}
#: The fields of a cron, in their order.
FIELDS = tuple(_RANGES)


def _numbers(name: str, text: str) -> frozenset[int]:
    try:
        return frozenset(getattr(crontab(**{name: text.strip()}), name))
    except (ParseException, ValueError, TypeError):
        raise BadTiming(
            f"{name}: {text!r} cannot be read; expected numbers from {_RANGES[name]}, as in '*', "
            "'*/5', '1,15' or '1-5'."
        ) from None


def _word(text: str, numbers: frozenset[int], size: int) -> str:
    """Return the field as cron takes it; a rhythm keeps its star, which is what makes it one."""
    if len(numbers) == size:
        return "*"
    step = text.strip()[2:]
    if text.strip().startswith("*/") and step.isdigit():
        return f"*/{step}"
    return _listed(numbers, size)


def _listed(numbers: frozenset[int], size: int) -> str:
    return "*" if len(numbers) == size else ",".join(str(number) for number in sorted(numbers))


@dataclass(frozen=True, kw_only=True)
class Every:
    """An interval, counted from an instant that does not move: what is late does not drift."""

    interval: timedelta
    anchor: datetime
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))

    def __post_init__(self) -> None:
        if self.interval < SHORTEST:
            raise BadTiming(f"interval: {self.interval} is less than a second, the shortest.")

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Yield what is due later; the anchor itself is due, too."""
        first = max(0, (instant - self.anchor) // self.interval + 1)
        return (self.anchor + number * self.interval for number in count(first))


@dataclass(frozen=True, kw_only=True)
class Once:
    """A single instant."""

    at: datetime
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Yield it, if it is later."""
        return iter([self.at] if self.at > instant else [])


@dataclass(frozen=True, kw_only=True)
class Limited:
    """Another timing, from an instant on, before another one, on some days only."""

    timing: Timing
    start: datetime | None = None
    #: From here on it is never due.
    end: datetime | None = None
    days: Days = Days.ALL
    #: ISO 3166-1, perhaps with a part of it: ``DE``, ``DE-BY``.
    country: str = ""

    @property
    def zone(self) -> ZoneInfo:
        """Where its days begin."""
        return self.timing.zone

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Yield what is due later; raises ``BadTiming`` for a country without a calendar."""
        if self.start is not None:
            # An instant equal to the start is due.
            instant = max(instant, self.start - timedelta(microseconds=1))
        last_day: tuple[date, bool] | None = None
        horizon = instant + HORIZON
        for due in self.timing.after(instant):
            if due > horizon or (self.end is not None and due >= self.end):
                return
            if self.days is not Days.ALL:
                day = due.astimezone(self.zone).date()
                if last_day is None or last_day[0] != day:
                    last_day = day, is_wanted(day, self.days, self.country)
                if not last_day[1]:
                    continue
            yield due
