"""The truth about every job: rows in PostgreSQL.

Rows of these tables are written by :mod:`jobs.transitions` and :mod:`jobs.audit` alone. A tenant
is an opaque key here; the engine knows no domain. One module for all tables, so that their
constraints and indexes can be read side by side with the statements of :mod:`jobs.transitions`.
"""

from typing import ClassVar

import uuid_utils.compat
from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from jobs.states import State


class Priority(models.IntegerChoices):
    """Which due job goes first. Smaller is sooner."""

    CRITICAL = 0, "critical"
    HIGH = 1, "high"
    NORMAL = 2, "normal"
    LOW = 3, "low"


class Job(models.Model):
    """One requested run of a task. Its id is also the Celery task id (UUIDv7, made by us)."""

    id = models.UUIDField(primary_key=True, default=uuid_utils.compat.uuid7, editable=False)
    task = models.CharField(max_length=200)
    queue = models.CharField(max_length=64)
    state = models.CharField(max_length=16, choices=State.choices)
    priority = models.SmallIntegerField(choices=Priority.choices, default=Priority.NORMAL)

    #: Arguments as JSON. Those that are secret stand here as a mask.
    payload = models.JSONField(default=dict)
    #: The secret arguments as encrypted JSON (Fernet); null when there are none.
    secrets = models.BinaryField(null=True)

    tenant = models.CharField(max_length=64, blank=True, default="")
    correlation_id = models.CharField(max_length=64, blank=True, default="")
    #: Who asked for it: ``user:<name>``, ``job:<id>``, ``schedule:<name>``, ``system``.
    enqueued_by = models.CharField(max_length=150, blank=True, default="")
    #: What follows when it succeeds: a list of steps, enqueued by its settlement.
    follows = models.JSONField(null=True)
    #: The dead job that this one replays.
    replay_of = models.ForeignKey(
        "self", null=True, on_delete=models.SET_NULL, related_name="replays", db_constraint=False
    )

    #: Executions begun, whatever came of them; the number of the newest attempt.
    attempt = models.IntegerField(default=0)
    failures = models.SmallIntegerField(default=0)
    crashes = models.SmallIntegerField(default=0)
    #: Failures and crashes together that end it as a dead letter.
    max_attempts = models.SmallIntegerField()
    #: Seconds one attempt may take (the hard time limit).
    timeout = models.IntegerField()

    #: Not before this instant.
    scheduled_at = models.DateTimeField(db_default=Now())
    enqueued_at = models.DateTimeField(db_default=Now())
    #: How often it was published; the number of its newest message.
    dispatch = models.IntegerField(default=0)
    published_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    #: The fencing token of the running attempt; every write of the attempt names it.
    lease = models.UUIDField(null=True)
    #: A running attempt is taken back after this instant at the latest.
    lease_until = models.DateTimeField(null=True)
    #: The worker (``Worker.id``) and the process that hold the lease.
    worker = models.UUIDField(null=True)
    pid = models.IntegerField(null=True)
    cancel_requested_at = models.DateTimeField(null=True)

    #: ``{"done": 3, "total": 10, "note": "…"}``
    progress = models.JSONField(null=True)
    #: What the task returned, when that is JSON.
    result = models.JSONField(null=True)
    error_type = models.CharField(max_length=200, blank=True, default="")
    error = models.TextField(blank=True, default="")

    class Meta:
        ordering: ClassVar = ["-id"]
        #: Nobody adds, changes or deletes a job by hand: one may look, or operate.
        default_permissions = ("view",)
        permissions: ClassVar = [("operate", "Can operate queues and jobs")]
        indexes: ClassVar = [
            models.Index(
                fields=["queue", "priority", "scheduled_at"],
                name="jobs_job_waiting",
                include=["state"],
                condition=Q(state__in=["scheduled", "available", "queued"]),
            ),
            models.Index(fields=["worker"], name="jobs_job_running", condition=Q(state="running")),
            models.Index(fields=["state", "-id"], name="jobs_job_state"),
            models.Index(fields=["queue", "-id"], name="jobs_job_queue"),
            models.Index(fields=["task", "-id"], name="jobs_job_task"),
            models.Index(fields=["tenant", "-id"], name="jobs_job_tenant"),
            models.Index(fields=["correlation_id"], name="jobs_job_correlation"),
            # Throughput by queue is read from it alone; the pruner finds what is past retention.
            models.Index(
                fields=["state", "finished_at"],
                include=["queue"],
                name="jobs_job_finished",
                condition=Q(finished_at__isnull=False),
            ),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                name="jobs_job_state_known", condition=Q(state__in=State.values)
            ),
            models.CheckConstraint(
                name="jobs_job_lease_when_running",
                condition=Q(state="running", lease__isnull=False)
                | (~Q(state="running") & Q(lease__isnull=True)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.task} {self.id}"


class Attempt(models.Model):
    """One execution of a job, written when it ends."""

    class Outcome(models.TextChoices):
        """How an execution ended."""

        SUCCEEDED = "succeeded"
        FAILED = "failed"
        SNOOZED = "snoozed"
        DISCARDED = "discarded"
        CRASHED = "crashed"
        RELEASED = "released"
        CANCELLED = "cancelled"

    id = models.BigAutoField(primary_key=True)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="attempts")
    number = models.IntegerField()
    outcome = models.CharField(max_length=16, choices=Outcome.choices)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    worker = models.UUIDField(null=True)
    pid = models.IntegerField(null=True)
    error_type = models.CharField(max_length=200, blank=True, default="")
    error = models.TextField(blank=True, default="")
    traceback = models.TextField(blank=True, default="")

    class Meta:
        ordering: ClassVar = ["number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["job", "number"], name="jobs_attempt_once"),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["-finished_at"],
                name="jobs_attempt_failures",
                condition=Q(outcome__in=["failed", "crashed"]),
            ),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.job_id}"


class DeadLetter(models.Model):
    """A job that will not run again by itself, and what a person decided about it."""

    class Reason(models.TextChoices):
        """Why the job died."""

        EXHAUSTED = "exhausted", "out of attempts"
        PERMANENT = "permanent", "permanent error"
        CRASHED = "crashed", "kept killing its worker"

    class Decision(models.TextChoices):
        """What a person did about it."""

        REPLAYED = "replayed"
        DISCARDED = "discarded"

    job = models.OneToOneField(
        Job, primary_key=True, on_delete=models.CASCADE, related_name="dead_letter"
    )
    queue = models.CharField(max_length=64)
    task = models.CharField(max_length=200)
    tenant = models.CharField(max_length=64, blank=True, default="")
    reason = models.CharField(max_length=16, choices=Reason.choices)
    error_type = models.CharField(max_length=200, blank=True, default="")
    error = models.TextField(blank=True, default="")
    died_at = models.DateTimeField(db_default=Now())
    decision = models.CharField(max_length=16, choices=Decision.choices, blank=True, default="")
    decided_by = models.CharField(max_length=150, blank=True, default="")
    decided_at = models.DateTimeField(null=True)
    replayed_as = models.ForeignKey(
        Job, null=True, on_delete=models.SET_NULL, related_name="replaces", db_constraint=False
    )

    class Meta:
        ordering: ClassVar = ["-died_at"]
        indexes: ClassVar = [
            models.Index(
                fields=["-died_at"], name="jobs_deadletter_pending", condition=Q(decision="")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.task} {self.job_id}: {self.get_reason_display()}"


class AuditEntry(models.Model):
    """Who did what to which job, queue or record, and when. The database refuses to change it."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(db_default=Now())
    actor = models.CharField(max_length=150)
    action = models.CharField(max_length=64)
    #: ``job``, ``queue``, or a domain's noun (``sales.invoice``).
    subject_type = models.CharField(max_length=64)
    subject_id = models.CharField(max_length=64)
    tenant = models.CharField(max_length=64, blank=True, default="")
    correlation_id = models.CharField(max_length=64, blank=True, default="")
    detail = models.JSONField(null=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        verbose_name_plural = "audit entries"
        indexes: ClassVar = [
            models.Index(fields=["subject_id", "id"], name="jobs_audit_subject"),
            models.Index(fields=["-at"], name="jobs_audit_at"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor} {self.action} {self.subject_id}"


class Worker(models.Model):
    """One ``manage.py worker``: a Celery worker and the keeper beside it."""

    id = models.UUIDField(primary_key=True)
    host = models.CharField(max_length=255)
    pid = models.IntegerField(
        help_text="of the process that started the Celery worker and its keeper"
    )
    queues = models.JSONField(default=list)
    pool = models.CharField(max_length=16)
    concurrency = models.SmallIntegerField()
    started_at = models.DateTimeField(db_default=Now())
    heartbeat_at = models.DateTimeField(db_default=Now())
    stopped_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-started_at"]
        indexes: ClassVar = [
            models.Index(
                fields=["heartbeat_at"],
                name="jobs_worker_alive",
                condition=Q(stopped_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.host}:{self.pid} ({', '.join(self.queues)})"


class QueueState(models.Model):
    """What operators set on a queue at run time. No row: nothing was set."""

    name = models.CharField(primary_key=True, max_length=64)
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_by = models.CharField(max_length=150, blank=True, default="")

    def __str__(self) -> str:
        return self.name


class Effect(models.Model):
    """Something done outside the database (an e-mail), recorded before and after."""

    class State(models.TextChoices):
        """How far it got."""

        STARTED = "started"  # it may or may not have happened
        DONE = "done"

    key = models.CharField(primary_key=True, max_length=200)
    job_id = models.UUIDField()
    state = models.CharField(max_length=8, choices=State.choices)
    started_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)
    #: What the other side answered.
    receipt = models.JSONField(null=True)

    def __str__(self) -> str:
        return f"{self.key}: {self.state}"


class ProbeRun(models.Model):
    """One finished run of ``jobs.probe``: proof that a queue works, end to end."""

    id = models.BigAutoField(primary_key=True)
    label = models.CharField(max_length=200, db_index=True)
    job_id = models.UUIDField()
    attempt = models.IntegerField()
    worker = models.UUIDField(null=True)
    pid = models.IntegerField()
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.label} {self.job_id}/{self.attempt}"


class ApiToken(models.Model):
    """A bearer token of the API and of ``/metrics``. It may do what its user may do."""

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=100, help_text="What uses it, such as 'prometheus'.")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens"
    )
    #: SHA-256 of the token, in hexadecimal. A token has 256 random bits, so it needs no salt.
    digest = models.CharField(max_length=64, unique=True, editable=False)
    #: How the token begins: enough to tell two apart, too little to use one.
    hint = models.CharField(max_length=12, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: never.")

    class Meta:
        ordering: ClassVar = ["name", "id"]
        verbose_name = "API token"

    def __str__(self) -> str:
        return self.name
