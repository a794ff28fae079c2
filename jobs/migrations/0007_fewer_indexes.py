import django.contrib.postgres.indexes
import django.db.models.deletion
from django.db import migrations, models

#: The results are read by task id, and listed by date; what else django-celery-results indexes
#: would cost each job more than its own row does.
RESULTS = "django_celery_results_taskresult"
UNUSED = {
    "django_cele_date_cr_f04a50_idx": "date_created",
    "django_cele_periodi_1993cf_idx": "periodic_task_name",
    "django_cele_status_9b6201_idx": "status",
    "django_cele_task_na_08aec9_idx": "task_name",
    "django_cele_worker_d54dd8_idx": "worker",
    "django_celery_results_taskresult_task_id_de0d95bf_like": "task_id varchar_pattern_ops",
}

#: Every move leaves a dead row behind: they are swept long before they are a fifth of the table.
SWEPT_OFTEN = (
    "autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 20000, "
    "autovacuum_analyze_scale_factor = 0.02, autovacuum_analyze_threshold = 20000"
)
#: Rows that are only added: frozen in time, and their summaries kept.
APPENDED = (
    "autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05, "
    "autovacuum_vacuum_scale_factor = 0.05"
)
STORAGE = {
    "jobs_job": SWEPT_OFTEN,
    "jobs_attempt": APPENDED,
    "jobs_auditentry": APPENDED,
    RESULTS: APPENDED,
}


def reset(options: str) -> str:
    """Return the names of the options alone."""
    return ", ".join(option.split(" = ")[0] for option in options.split(", "))


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0006_workflows"),
        ("django_celery_results", "0014_alter_taskresult_status"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="auditentry",
            name="jobs_audit_at",
        ),
        migrations.RemoveIndex(
            model_name="job",
            name="jobs_job_state",
        ),
        migrations.RemoveIndex(
            model_name="job",
            name="jobs_job_queue",
        ),
        migrations.RemoveIndex(
            model_name="job",
            name="jobs_job_task",
        ),
        migrations.RemoveIndex(
            model_name="job",
            name="jobs_job_tenant",
        ),
        migrations.RemoveIndex(
            model_name="job",
            name="jobs_job_correlation",
        ),
        migrations.AlterField(
            model_name="attempt",
            name="job",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="attempts",
                to="jobs.job",
            ),
        ),
        migrations.AlterField(
            model_name="job",
            name="replay_of",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="replays",
                to="jobs.job",
            ),
        ),
        migrations.AddIndex(
            model_name="auditentry",
            index=django.contrib.postgres.indexes.BrinIndex(
                autosummarize=True, fields=["at"], name="jobs_audit_at", pages_per_range=32
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("state__in", ["cancelled", "dead"])),
                fields=["state", "-id"],
                name="jobs_job_unlucky",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=django.contrib.postgres.indexes.BrinIndex(
                autosummarize=True,
                fields=["queue", "task", "tenant"],
                name="jobs_job_kinds",
                opclasses=["text_bloom_ops", "text_bloom_ops", "text_bloom_ops"],
                pages_per_range=64,
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=django.contrib.postgres.indexes.BrinIndex(
                autosummarize=True, fields=["enqueued_at"], name="jobs_job_hours"
            ),
        ),
        migrations.AddIndex(
            model_name="attempt",
            index=django.contrib.postgres.indexes.BrinIndex(
                autosummarize=True, fields=["finished_at"], name="jobs_attempt_times"
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("finished_at__isnull", False)),
                fields=["correlation_id"],
                name="jobs_job_correlation",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("replay_of__isnull", False)),
                fields=["replay_of"],
                name="jobs_job_replays",
            ),
        ),
        *(
            migrations.RunSQL(
                f"DROP INDEX IF EXISTS {name}",
                f"CREATE INDEX IF NOT EXISTS {name} ON {RESULTS} ({columns})",
            )
            for name, columns in UNUSED.items()
        ),
        *(
            migrations.RunSQL(
                f"ALTER TABLE {table} SET ({options})",
                f"ALTER TABLE {table} RESET ({reset(options)})",
            )
            for table, options in STORAGE.items()
        ),
    ]
