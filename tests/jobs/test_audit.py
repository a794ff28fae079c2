"""The audit log: appended to, with the act, and never changed, by anybody."""

from datetime import timedelta

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from jobs import audit, job_task, operations
from jobs.context import job_context
from jobs.models import AuditEntry, Job
from jobs.tasks import probe
from jobs.testing import run_jobs
from tests.jobs.stages import actions, and_undo

pytestmark = pytest.mark.django_db


def entry() -> AuditEntry:
    return audit.record(
        action="tests.looked", subject_type="test", subject_id="7", detail={"far": True}
    )


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE jobs_auditentry SET actor = 'nobody'",
        "UPDATE jobs_auditentry SET at = at WHERE id = (SELECT max(id) FROM jobs_auditentry)",
        "DELETE FROM jobs_auditentry",
        "TRUNCATE jobs_auditentry",
        "TRUNCATE jobs_auditentry RESTART IDENTITY CASCADE",
        "WITH gone AS (DELETE FROM jobs_auditentry RETURNING *) SELECT * FROM gone",
        (
            "INSERT INTO jobs_auditentry SELECT * FROM jobs_auditentry"
            " ON CONFLICT (id) DO UPDATE SET actor = 'nobody'"
        ),
        "MERGE INTO jobs_auditentry a USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE",
    ],
)
def test_the_database_refuses_to_change_or_remove_an_entry(sql: str) -> None:
    kept = entry()
    with (
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(sql)
    assert AuditEntry.objects.get(id=kept.id).actor == "system"


def test_the_model_s_own_ways_are_refused_too() -> None:
    kept = entry()
    kept.actor = "nobody"
    for act in (kept.save, kept.delete, AuditEntry.objects.all().delete):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            act()


def test_a_job_that_is_pruned_leaves_its_entries() -> None:
    job = probe.enqueue(label="x")
    Job.objects.filter(id=job.id).delete()
    assert actions(job.id) == ["job.enqueued"]


def test_an_entry_commits_with_the_act_or_not_at_all() -> None:
    and_undo(entry)
    assert not AuditEntry.objects.exists()


def test_who_tenant_and_correlation_are_those_of_the_context_unless_given() -> None:
    with job_context(tenant="acme", actor="user:ann", correlation_id="request-7"):
        kept = entry()
        other = audit.record(
            action="tests.looked",
            subject_type="test",
            subject_id="8",
            tenant="",
            actor="schedule:nightly",
        )
    assert (kept.actor, kept.tenant, kept.correlation_id) == ("user:ann", "acme", "request-7")
    assert (other.actor, other.tenant, other.correlation_id) == (
        "schedule:nightly",
        "",
        "request-7",
    )
    assert AuditEntry.objects.get(id=kept.id).detail == {"far": True}


def test_what_a_job_records_names_the_job() -> None:
    @job_task(name="tests.record", queue="email")
    def record() -> None:
        entry()

    with job_context(actor="user:ann"):
        job = record.using(tenant="acme").enqueue()
    run_jobs()
    kept = AuditEntry.objects.get(action="tests.looked")
    assert (kept.actor, kept.tenant, kept.correlation_id) == (
        f"job:{job.id}",
        "acme",
        job.correlation_id,
    )


def test_the_life_of_a_job_can_be_read_from_its_entries() -> None:
    job = probe.using(queue="pdf", delay=timedelta(hours=1)).enqueue(label="x", fail_times=1)
    operations.hasten(job.id, actor="user:ann")
    run_jobs(retries=True)
    entries = AuditEntry.objects.filter(subject_id=str(job.id)).order_by("id")
    assert [(item.action, item.detail and item.detail.get("attempt")) for item in entries] == [
        ("job.enqueued", None),
        ("job.hastened", None),
        ("job.claimed", 1),
        ("job.retried", 1),
        ("job.claimed", 2),
        ("job.succeeded", 2),
    ]
    retried = entries[3].detail or {}
    assert retried["error_type"] == "ProbeFailed"
    assert retried["until"]
