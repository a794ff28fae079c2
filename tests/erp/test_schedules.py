"""The schedules stand in django-celery-beat's tables: per zone in use, or once in UTC."""

import json

import pytest
from django_celery_beat.models import PeriodicTask

from erp.schedules import SCHEDULES, sync_schedules
from jobs import payload
from jobs.task import get_task
from tenants.models import Tenant

pytestmark = pytest.mark.django_db

MAINTENANCE = {"jobs.prune", "audit.archive", "sessions.clear", "database.analyze"}


def enabled() -> dict[str, PeriodicTask]:
    return {row.name: row for row in PeriodicTask.objects.filter(enabled=True)}


def test_maintenance_stands_once_in_utc_between_three_and_four_whatever_zones_are_in_use() -> None:
    for zones in ([], ["Europe/Athens", "Asia/Tokyo", "UTC"]):
        for zone in zones:
            Tenant.objects.create(slug=zone.lower().replace("/", "-"), name=zone, timezone=zone)
        sync_schedules()
        rows = enabled()
        assert {name for name in rows if "[" not in name} >= MAINTENANCE
        times = [rows[name].crontab for name in MAINTENANCE]
        assert {(str(time.timezone), time.hour) for time in times} == {("UTC", "3")}
        assert len({time.minute for time in times}) == len(MAINTENANCE), "spread"


def test_what_is_done_for_tenants_stands_once_per_zone() -> None:
    Tenant.objects.create(slug="athens", name="Athens", timezone="Europe/Athens")
    sync_schedules()
    row = enabled()["inventory.check_stock [Europe/Athens]"]
    assert json.loads(row.kwargs) == {"zone": "Europe/Athens"}
    Tenant.objects.update(is_active=False)
    sync_schedules()
    assert set(enabled()) >= MAINTENANCE
    assert "inventory.check_stock [Europe/Athens]" not in enabled()


def test_what_an_operator_switched_off_stays_off() -> None:
    sync_schedules()
    PeriodicTask.objects.filter(name="jobs.prune").update(enabled=False)
    sync_schedules()
    assert "jobs.prune" not in enabled()
    assert PeriodicTask.objects.filter(name="jobs.prune").count() == 1


def test_every_task_takes_what_its_schedule_gives() -> None:
    Tenant.objects.create(slug="athens", name="Athens", timezone="Europe/Athens")
    sync_schedules()
    rows = enabled()
    assert len(rows) >= len(SCHEDULES)
    for row in rows.values():
        payload.check(get_task(row.task).definition.arguments, row.task, json.loads(row.kwargs))
