"""The schedules: one row of django-celery-beat for each, per time zone in use where zones matter.

A day begins where the tenant is, so what is done for tenants stands once per zone of an active
tenant, and its task does the work of that zone's tenants. What is done for the service as a whole
stands once, in UTC. What operators change in the admin stays: only what is missing is added, and
what no tenant needs any more is disabled.
"""

import json
from dataclasses import dataclass
from datetime import time

import structlog
from django.db import transaction
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from jobs.task import get_task
from tenants.selectors import zones_in_use

log = structlog.get_logger(__name__)

#: Marks the rows that are ours, in their description.
_OURS = "Declared in erp/schedules.py."


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Something that is done every day: at a local time for the tenants of a zone, or in UTC."""

    name: str
    #: A task that takes ``zone``; or, in UTC, nothing.
    task: str
    at: time
    in_utc: bool = False


SCHEDULES = (
    Schedule(name="inventory.check_stock", task="inventory.check_stock_of_zone", at=time(1)),
    Schedule(name="compliance.refresh_scores", task="compliance.refresh_scores", at=time(2)),
    # Maintenance, one after the other: what was deleted is vacuumed last.
    Schedule(name="jobs.prune", task="jobs.prune", at=time(3), in_utc=True),
    Schedule(name="audit.archive", task="audit.archive", at=time(3, 20), in_utc=True),
    Schedule(name="sessions.clear", task="sessions.clear", at=time(3, 35), in_utc=True),
    Schedule(name="database.analyze", task="database.analyze", at=time(3, 45), in_utc=True),
)


def sync_schedules() -> None:
    """Bring the table in step with the declarations and the zones in use. Safe to repeat."""
    zones = zones_in_use()
    with transaction.atomic():
        wanted = [
            _ensure(schedule, zone)
            for schedule in SCHEDULES
            for zone in ([None] if schedule.in_utc else zones)
        ]
        ours = PeriodicTask.objects.filter(description=_OURS, enabled=True)
        for row in ours.exclude(name__in=wanted):
            row.enabled = False
            row.save()
            log.info("schedule_disabled", schedule=row.name)


def _ensure(schedule: Schedule, zone: str | None) -> str:
    name = f"{schedule.name} [{zone}]" if zone else schedule.name
    crontab, _ = CrontabSchedule.objects.get_or_create(
        minute=str(schedule.at.minute),
        hour=str(schedule.at.hour),
        day_of_week="*",
        day_of_month="*",
        month_of_year="*",
        timezone=zone or "UTC",
    )
    _, new = PeriodicTask.objects.get_or_create(
        name=name,
        defaults={
            "task": get_task(schedule.task).definition.name,
            "crontab": crontab,
            "kwargs": json.dumps({"zone": zone} if zone else {}),
            "description": _OURS,
        },
    )
    if new:
        log.info("schedule_added", schedule=name)
    return name
