"""Builds schedules that live in a time of our choosing, and tells what became of them."""

import json
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from django.db import transaction
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
)

from jobs.models import Firing, Job, Schedule
from jobs.schedules.scheduler import tick
from jobs.schedules.sync import sync_schedules

_NUMBERS = count(1)
_CRON = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
_RULES = {"missed", "missed_limit", "grace", "overlap", "jitter", "days", "country"}


def at(text: str) -> datetime:
    """Return the instant, in UTC when it names no offset: ``2026-03-01 09:00``."""
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def make_schedule(
    *,
    cron: str | None = None,
    zone: str = "UTC",
    every: timedelta | None = None,
    clocked: datetime | None = None,
    since: datetime | None = None,
    **fields: Any,
) -> Schedule:
    """Make a schedule that is due as it is since an instant; since now, when None."""
    rules = {name: fields.pop(name) for name in _RULES & set(fields)}
    number = next(_NUMBERS)
    kwargs = fields.pop("kwargs", {"label": f"schedule {number}"})
    values: dict[str, Any] = {"name": f"schedule {number}", "task": "jobs.probe"} | fields
    if cron is not None:
        words = dict(zip(_CRON, cron.split(), strict=True))
        values["crontab"] = CrontabSchedule.objects.create(**words, timezone=zone)
    if every is not None:
        values["interval"] = IntervalSchedule.objects.create(
            every=int(every.total_seconds()), period=IntervalSchedule.SECONDS
        )
    if clocked is not None:
        values |= {"clocked": ClockedSchedule.objects.create(clocked_time=clocked), "one_off": True}
    row = PeriodicTask.objects.create(kwargs=json.dumps(kwargs), **values)
    if rules:
        Schedule.objects.filter(pk=row.pk).update(**rules)
    if since is not None:
        changed_at(row.pk, since)
    return Schedule.objects.select_related("periodic_task").get(pk=row.pk)


def changed_at(pk: int, instant: datetime) -> None:
    """Have the last change of the schedule have been made at that instant."""
    Schedule.objects.filter(pk=pk).update(wake_at=instant, plan_after=instant, changed_at=instant)


def history(schedule: Schedule) -> list[tuple[str, str]]:
    """Return what became of its instants, in order: outcome, and when it was due, in UTC."""
    rows = Firing.objects.filter(schedule_id=schedule.pk).order_by("due_at")
    return [(row.outcome, f"{row.due_at.astimezone(UTC):%m-%d %H:%M}") for row in rows]


def jobs_of(schedule: Schedule) -> list[Job]:
    """Return the jobs it enqueued, oldest first."""
    return list(
        Job.objects.filter(enqueued_by=f"schedule:{schedule.periodic_task.name}").order_by("id")
    )


def declare_and_plan() -> None:
    """Have the declared schedules in the table, planned, with none fired.

    Once more when a minute has begun meanwhile, and with it the canaries.
    """
    fired = True
    while fired:
        with transaction.atomic():
            sync_schedules()
            fired = tick().fired > 0
            transaction.set_rollback(fired)
