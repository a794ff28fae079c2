"""From a schedule's rows: when it is due, and by which rules."""

from datetime import timedelta
from typing import Any

from jobs.schedules.calendars import Days, check_country
from jobs.schedules.models import Missed, Schedule
from jobs.schedules.rules import Rules
from jobs.schedules.timing import BadTiming, Cron, Every, Limited, Once, Timing

#: What is read with a schedule, for its timing.
RELATED = tuple(f"periodic_task__{kind}" for kind in ("crontab", "interval", "clocked", "solar"))


def timing_of(schedule: Schedule) -> Timing:
    """Return when the schedule is due.

    Raises:
        BadTiming: it says so in a way that cannot be followed; the text says what is wrong.
        UnknownCountry: no business days are known for its country.
    """
    row: Any = schedule.periodic_task
    days = Days(schedule.days)
    if days is not Days.ALL:
        check_country(schedule.country)
    return Limited(
        timing=_own_timing(row, schedule),
        start=row.start_time,
        end=row.expires,
        days=days,
        country=schedule.country,
    )


def _own_timing(row: Any, schedule: Schedule) -> Timing:
    if row.crontab is not None:
        crontab = row.crontab
        return Cron(
            minute=crontab.minute,
            hour=crontab.hour,
            day_of_month=crontab.day_of_month,
            month_of_year=crontab.month_of_year,
            day_of_week=crontab.day_of_week,
            zone=crontab.timezone,
        )
    if row.interval is not None:
        try:
            interval = timedelta(**{row.interval.period: row.interval.every})
            anchor = row.start_time or schedule.changed_at + interval
        except (OverflowError, TypeError):
            raise BadTiming(f"interval: {row.interval} is not a length of time") from None
        return Every(interval=interval, anchor=anchor)
    if row.clocked is not None:
        return Once(at=row.clocked.clocked_time)
    if row.solar is not None:
        raise BadTiming("solar: schedules by the sun are not carried out; choose another kind")
    raise BadTiming("crontab, interval, clocked: one of them must be set")


def rules_of(schedule: Schedule) -> Rules:
    """Return how its instants are seen to."""
    row: Any = schedule.periodic_task
    expires_in = row.expire_seconds
    return Rules(
        missed=Missed(schedule.missed),
        missed_limit=schedule.missed_limit,
        grace=schedule.grace,
        expiry=None if expires_in is None else timedelta(seconds=expires_in),
        one_off=row.one_off,
    )
