"""The schedules, on a real beat."""

import json
from datetime import date

import pytest
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from jobs.models import Job
from tenants.models import Tenant
from tests.conftest import Live, wait_until

pytestmark = pytest.mark.processes


def test_beat_makes_durable_jobs_of_the_schedules_of_each_zone_in_use(live: Live) -> None:
    Tenant.objects.create(slug="athens", name="Athens", timezone="Europe/Athens")
    Tenant.objects.create(slug="gone", name="Gone", timezone="Asia/Tokyo", is_active=False)
    second, _ = IntervalSchedule.objects.get_or_create(every=1, period="seconds")
    # One that an operator made, so that the test need not wait for the night.
    PeriodicTask.objects.create(
        name="soon", task="inventory.check_stock_of_zone", interval=second,
        kwargs=json.dumps({"zone": "Europe/Athens"}), one_off=True,
    )  # fmt: skip
    live.start("beat", JOBS_CANARY="false")
    fired = Job.objects.filter(task="inventory.check_stock_of_zone")
    wait_until(fired.exists)
    job = fired.get()
    assert job.enqueued_by == "schedule:soon"
    assert job.payload["zone"] == "Europe/Athens"
    assert isinstance(date.fromisoformat(job.payload["as_of"]), date)
    wait_until(lambda: live.redis.llen("inventory") == 1)

    live.worker("inventory")
    wait_until(lambda: Job.objects.filter(task="inventory.check_stock", state="succeeded").exists())
    rows = PeriodicTask.objects.filter(enabled=True, crontab__isnull=False)
    declared = {row.name: (str(row.crontab.timezone), row.crontab.hour) for row in rows}
    assert declared["inventory.check_stock [Europe/Athens]"] == ("Europe/Athens", "1")
    assert declared["compliance.refresh_scores [Europe/Athens]"] == ("Europe/Athens", "2")
    assert not [name for name in declared if "Tokyo" in name]
