"""When a schedule is due: instants in UTC, from local times, an interval, or a single instant."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import count
from typing import Protocol
from zoneinfo import ZoneInfo

from jobs.schedules.calendars import Days, is_wanted
from jobs.schedules.cron import FIELDS as FIELDS
from jobs.schedules.cron import HORIZON
from jobs.schedules.cron import BadTiming as BadTiming
from jobs.schedules.cron import Cron as Cron

#: The shortest interval: a beat looks once a second.
SHORTEST = timedelta(seconds=1)


class Timing(Protocol):
    """A way to say when."""

    @property
    def zone(self) -> ZoneInfo:
        """Where its days begin."""

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Yield what is due later than the aware ``instant``, in UTC, each once, in order."""


@dataclass(frozen=True, kw_only=True)
class Every:
    """An interval, counted from an instant that does not move: what is late does not drift."""

    interval: timedelta
    anchor: datetime
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))

    def __post_init__(self) -> None:
        if self.interval < SHORTEST:
            raise BadTiming(f"interval: {self.interval} is less than a second, the shortest.")
        object.__setattr__(self, "anchor", _in_utc("anchor", self.anchor))

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Yield what is due later; the anchor itself is due, too."""
        first = max(0, (instant - self.anchor) // self.interval + 1)
        return (self.anchor + number * self.interval for number in count(first))


@dataclass(frozen=True, kw_only=True)
class Once:
    """A single instant."""

    at: datetime
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", _in_utc("at", self.at))

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

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            if (instant := getattr(self, name)) is not None:
                object.__setattr__(self, name, _in_utc(name, instant))

    @property
    def zone(self) -> ZoneInfo:
        """Where its days begin."""
        return self.timing.zone

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Yield what is due later; raises ``BadTiming`` for a country without a calendar."""
        if self.start is not None:
            # An instant equal to the start is due.
            instant = max(instant, self.start - timedelta(microseconds=1))
        last_day: date | None = None
        horizon = _later(instant, HORIZON)
        instants = self.timing.after(instant)
        while (due := next(instants, None)) is not None:
            if due > horizon or (self.end is not None and due >= self.end):
                return
            if self.days is not Days.ALL:
                day = due.astimezone(self.zone).date()
                if last_day != day and not is_wanted(day, self.days, self.country):
                    # The day's other instants need not be looked at: there may be very many.
                    instants = self.timing.after(max(due, self._end_of(day)))
                    continue
                last_day = day
            yield due
            horizon = _later(due, HORIZON)

    def _end_of(self, day: date) -> datetime:
        midnight = datetime.combine(day + timedelta(days=1), time.min, self.zone)
        return midnight.astimezone(UTC) - timedelta(microseconds=1)


def _in_utc(name: str, instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise BadTiming(f"{name}: {instant} has no time zone; expected an aware instant.")
    return instant.astimezone(UTC)


def _later(instant: datetime, than: timedelta) -> datetime:
    try:
        return instant + than
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)
