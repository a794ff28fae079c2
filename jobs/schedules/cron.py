"""Local times: minutes, hours and days in a zone, and the instants at which they are due.

``cronsim`` names the local times that fit, as a calendar on the wall would. What instant each one
is, is found here, by the rules of Debian's cron. A **fixed time** (neither minute nor hour begins
with ``*``) is due once: right after the gap when clocks go forward over it, and the first time when
it happens twice. A **rhythm** (``*/15``, every hour) is due whenever the clock shows it: through a
repeated hour twice, over a gap as if it were not there.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from celery.schedules import ParseException, crontab
from cronsim import CronSim, CronSimError

from jobs.errors import JobsError

#: What is not due for so long is never due: the longest wait is 40 years, around 2100, for a
#: 29 February on a given weekday.
HORIZON = timedelta(days=366 * 41)
#: More than any clock was ever moved at once.
_LONGEST_SHIFT = timedelta(hours=26)
_SECOND = timedelta(seconds=1)

_RANGES = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day_of_month": "1 to 31",
    "month_of_year": "1 to 12",
    "day_of_week": "0 (Sunday) to 6, or names such as mon-fri",
}
#: The fields of a cron, in their order.
FIELDS = tuple(_RANGES)


def _pattern(number: str) -> re.Pattern[str]:
    part = rf"(?:\*|{number}(?:-{number})?)(?:/\d{{1,2}})?"
    return re.compile(rf"{part}(?:,{part})*")


# Celery reads more than it should: ``mon`` as a minute, ``mon#1`` as any Monday.
_NUMBERS = _pattern(r"\d{1,2}")
_WEEKDAYS = _pattern(r"(?:\d|[a-zA-Z]{3,9})")


class BadTiming(JobsError):
    """A schedule that can never be planned. The text says which field, and what was expected."""


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
    #: Weekdays that ``cronsim`` is not asked for: beside a day, it would take either.
    _weekdays: frozenset[int] | None = field(init=False, repr=False, compare=False)
    _is_rhythm: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        numbers = {name: _numbers(name, getattr(self, name)) for name in FIELDS}
        minutes, hours, days, months, weekdays = numbers.values()
        words = [
            _listed(minutes, 60),
            _listed(hours, 24),
            _listed(days, 31),
            _listed(months, 12),
            _listed(weekdays, 7) if len(days) == 31 else "*",
        ]
        rhythm = any(text.strip().startswith("*") for text in (self.minute, self.hour))
        object.__setattr__(self, "_expression", " ".join(words))
        object.__setattr__(self, "_weekdays", weekdays if len(days) < 31 else None)
        object.__setattr__(self, "_is_rhythm", rhythm or len(minutes) == 60 or len(hours) == 24)

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
        """Yield what is due later than the aware ``instant``, in UTC, each once, in order."""
        last = instant.astimezone(UTC)
        try:
            for due in self._rhythm(last) if self._is_rhythm else self._fixed(last):
                if due - last > HORIZON:
                    return
                if due > last:
                    yield due
                    last = due
        except OverflowError:
            return  # the calendar ends with the year 9999

    def _fixed(self, instant: datetime) -> Iterator[datetime]:
        """Yield the first instant of each local time, or the end of the gap that it lies in."""
        # The time before a shift backwards, or in a gap, may be due only now.
        began = instant.astimezone(self.zone).replace(tzinfo=None, fold=0) - _LONGEST_SHIFT
        for wall in self._walls(began):
            due = wall.replace(tzinfo=self.zone).astimezone(UTC)
            if due.astimezone(self.zone).replace(tzinfo=None, fold=0) != wall:
                before = due - _LONGEST_SHIFT
                due = self._shift(before, due, self._ahead(before))
            yield due

    def _rhythm(self, instant: datetime) -> Iterator[datetime]:
        """Yield whenever the clock shows one of the local times.

        From shift to shift the clock is ahead of UTC by one offset; after each, the local times
        begin anew with what it shows then.
        """
        since, ahead = instant, self._ahead(instant)
        while True:
            for wall in self._walls(since.replace(tzinfo=None) + ahead):
                due = (wall - ahead).replace(tzinfo=UTC)
                if self._ahead(due) != ahead:
                    break
                yield due
                since = due
            else:
                return
            shift = self._shift(since, due, ahead)
            since, ahead = shift - _SECOND, self._ahead(shift)

    def _walls(self, since: datetime) -> Iterator[datetime]:
        """Yield the local times that fit, later than ``since``, whether they exist or not."""
        try:
            walls = CronSim(self._expression, since)
        except CronSimError:
            return  # such as 31 April: never
        for wall in walls:
            if self._weekdays is None or wall.isoweekday() % 7 in self._weekdays:
                yield wall

    def _ahead(self, instant: datetime) -> timedelta:
        """Return how far the zone's clock is ahead of UTC."""
        ahead = instant.astimezone(self.zone).utcoffset()
        assert ahead is not None  # of a ZoneInfo it never is
        return ahead

    def _shift(self, before: datetime, after: datetime, ahead: timedelta) -> datetime:
        """Return the first instant between them, ``after`` at the latest, that is not ``ahead``."""
        before = before.replace(microsecond=0)
        low, high = 0, int((after - before).total_seconds())
        while high - low > 1:
            seconds = (low + high) // 2
            if self._ahead(before + timedelta(seconds=seconds)) == ahead:
                low = seconds
            else:
                high = seconds
        return before + timedelta(seconds=high)


@lru_cache(maxsize=1024)
def _numbers(name: str, text: str) -> frozenset[int]:
    written = _WEEKDAYS if name == "day_of_week" else _NUMBERS
    compact = text.replace(" ", "")
    found = None
    if written.fullmatch(compact):
        with suppress(ParseException, ValueError, TypeError):
            found = frozenset(getattr(crontab(**{name: compact}), name))
    if not found:
        raise BadTiming(
            f"{name}: {text!r} cannot be read; expected numbers from {_RANGES[name]}, as in '*', "
            "'*/5', '1,15' or '1-5'."
        )
    return found


def _listed(numbers: frozenset[int], size: int) -> str:
    return "*" if len(numbers) == size else ",".join(str(number) for number in sorted(numbers))
