"""An index by tenant, made while jobs go on."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("jobs", "0009_schedules"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="job",
            index=models.Index(
                condition=models.Q(
                    ("state__in", ["scheduled", "succeeded", "cancelled", "dead"]),
                    models.Q(("tenant", ""), _negated=True),
                ),
                fields=["tenant", "id"],
                name="jobs_job_tenant",
            ),
        ),
    ]
