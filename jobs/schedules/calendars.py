"""Business days of a country: neither its weekend nor a public holiday (``holidays``)."""

from datetime import date, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from django.db import models

from jobs.errors import JobsError

if TYPE_CHECKING:
    from holidays import HolidayBase


class UnknownCountry(JobsError):
    """A code that no calendar is known for."""


class Days(models.TextChoices):
    """On which days a schedule is due at all."""

    ALL = "all", "every day"
    BUSINESS = "business", "business days"
    FIRST_BUSINESS = "first_business", "the first business day of the month"
    LAST_BUSINESS = "last_business", "the last business day of the month"


@lru_cache(maxsize=64)
def _calendar(country: str) -> "HolidayBase":
    import holidays  # 11 MB, which no worker needs that asks for no calendar

    code, _, part = country.partition("-")
    try:
        if len(code) == 2 and code.isupper():  # the package has other things by other names
            return holidays.country_holidays(code, subdiv=part or None)
    except NotImplementedError:
        pass
    raise UnknownCountry(
        f"country: no calendar is known for {country!r}; expected an ISO 3166-1 code, perhaps "
        "with a part of the country, such as 'DE' or 'DE-BY'."
    )


def check_country(country: str) -> None:
    """Raise :class:`UnknownCountry` when there is no calendar for the code."""
    _calendar(country)


def is_business_day(day: date, country: str) -> bool:
    """Whether people work on that day there. Raises :class:`UnknownCountry`."""
    return bool(_calendar(country).is_working_day(day))


def is_wanted(day: date, days: Days, country: str) -> bool:
    """Whether ``day`` is one of ``days``. Raises :class:`UnknownCountry`."""
    if days is Days.ALL:
        return True
    if not is_business_day(day, country):
        return False
    if days is Days.BUSINESS:
        return True
    step = timedelta(days=-1 if days is Days.FIRST_BUSINESS else 1)
    other = day + step
    while other.month == day.month:
        if is_business_day(other, country):
            return False
        other += step
    return True
