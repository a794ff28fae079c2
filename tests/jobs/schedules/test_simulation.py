"""The real scheduler, on the real tables, by a clock of ours, over 2025 to 2027.

Around each shift of a zone's clock, time goes on by a quarter of an hour; in between by half a day,
as if no beat had run meanwhile. What was fired is compared with the oracle, which knows nothing of
the scheduler. By default, schedules are on around the shifts only. ``SIMULATE=fixed`` has fixed
times run all the three years (two minutes), ``SIMULATE=full`` rhythms too (1.8 million jobs).
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest
from django.db import connection

from jobs.models import Firing, Job, Schedule
from jobs.schedules.scheduler import tick
from tests.conftest import Live
from tests.jobs.schedules.oracle import due, shifts_of
from tests.jobs.schedules.schedules import make_schedule

ZONES = (
    "UTC", "America/New_York", "America/Sao_Paulo", "America/Guyana", "America/St_Johns",
    "Europe/Berlin", "Europe/Bucharest", "Africa/Cairo", "Asia/Kolkata", "Asia/Kathmandu",
    "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham",
)  # fmt: skip
FIXED = (
    "0 0 * * *", "30 1 * * *", "0 2 * * *", "30 2 * * *", "0 3 * * *", "0 8 * * 1-5", "0 8 31 * *",
)  # fmt: skip
RHYTHMS = ("0 * * * *", "*/15 * * * *")
BEGIN, END = datetime(2025, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
FULL = os.environ.get("SIMULATE") == "full"
#: What is on all the time.
ALWAYS = FIXED + RHYTHMS if FULL else FIXED if os.environ.get("SIMULATE") == "fixed" else ()
#: How far around a shift time goes by quarters of an hour.
NEAR = timedelta(hours=5)
QUARTER, HALF_DAY = timedelta(minutes=15), timedelta(hours=12)

Key = tuple[str, str]


def windows() -> list[tuple[datetime, datetime]]:
    """Return the times around all shifts, joined where they touch, in order."""
    shifts = sorted({shift for zone in ZONES for shift in shifts_of(ZoneInfo(zone))})
    found: list[tuple[datetime, datetime]] = []
    for shift in shifts:
        if not BEGIN < shift < END - NEAR:
            continue
        if found and shift - NEAR <= found[-1][1]:
            found[-1] = found[-1][0], shift + NEAR
        else:
            found.append((shift - NEAR, shift + NEAR))
    return found


def clock() -> Iterator[tuple[datetime, bool]]:
    """Yield what time it is, and whether that is near to a shift."""
    now, coming = BEGIN, windows()
    while now < END:
        while coming and now >= coming[0][1]:
            coming.pop(0)
        near = bool(coming) and coming[0][0] <= now
        yield now, near
        step = QUARTER if near else HALF_DAY
        now = min(now + step, coming[0][0] if coming and not near else now + step)
    yield END, False


def expected(expression: str, zone: str, since: datetime, until: datetime) -> list[datetime]:
    return list(
        takewhile(lambda instant: instant <= until, due(expression, ZoneInfo(zone), after=since))
    )


def fired() -> dict[int, list[datetime]]:
    found: dict[int, list[datetime]] = defaultdict(list)
    rows = Firing.objects.filter(outcome="fired").order_by("due_at")
    for schedule_id, instant in rows.values_list("schedule_id", "due_at").iterator():
        found[schedule_id].append(instant)
    return found


@pytest.mark.timeout(3600 if FULL else 600)
def test_three_years_in_thirteen_zones_fire_what_the_oracle_says_each_instant_once(
    live: Live,
) -> None:
    schedules: dict[Key, Schedule] = {
        (expression, zone): make_schedule(
            cron=expression, zone=zone, since=BEGIN, missed="all", missed_limit=100
        )
        for zone in ZONES
        for expression in FIXED + RHYTHMS
    }
    at_times = [one.pk for (expression, _), one in schedules.items() if expression not in ALWAYS]
    wanted: dict[int, list[datetime]] = defaultdict(list)
    for (expression, zone), schedule in schedules.items():
        if expression in ALWAYS:
            wanted[schedule.pk] = expected(expression, zone, BEGIN, END)
        else:
            for first, last in windows():
                wanted[schedule.pk] += expected(expression, zone, first, last)
    was_near = False
    for now, near in clock():
        if not FULL and near != was_near:
            # The others are switched on for the time around a shift.
            tick(now)
            wake_at = now if near else None
            Schedule.objects.filter(pk__in=at_times).update(
                wake_at=wake_at, plan_after=now, stale=True, next_at=None
            )
        elif not FULL and now == BEGIN:
            Schedule.objects.filter(pk__in=at_times).update(wake_at=None)
        tick(now)
        was_near = near
        if FULL:
            _forget_jobs()
    found = fired()
    for key, schedule in schedules.items():
        assert found[schedule.pk] == wanted[schedule.pk], key
    assert not Firing.objects.exclude(outcome="fired").exists()
    if not FULL:
        assert Job.objects.count() == sum(map(len, wanted.values()))


def _forget_jobs() -> None:
    """Delete the jobs: nobody runs them, and the line would only grow."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("TRUNCATE jobs_job, jobs_auditentry CASCADE")
        cursor.execute("SET session_replication_role = origin")
