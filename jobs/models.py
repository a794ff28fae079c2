"""The truth about every job: rows in PostgreSQL.

Rows of these tables are written by :mod:`jobs.transitions` and :mod:`jobs.audit` alone. A tenant
is an opaque key here; the engine knows no domain. One module for all tables, so that their
constraints and indexes can be read side by side with the statements of :mod:`jobs.transitions`.
"""

from typing import Any, ClassVar

import uuid_utils.compat
from django.conf import settings
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from jobs import rollups, signatures
from jobs.states import State

#: Neither in line nor running: a job comes to one of them once, if it is not tried again.
AT_REST = ["scheduled", "succeeded", "cancelled", "dead"]


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
    #: The dead job that this one replays.
    replay_of = models.ForeignKey(
        "self",
        null=True,
        on_delete=models.SET_NULL,
        related_name="replays",
        db_constraint=False,
        db_index=False,  # few have one: see the indexes
    )

    #: Executions begun, whatever came of them; the number of the newest attempt.
    attempt = models.IntegerField(default=0)
    failures = models.SmallIntegerField(default=0)
    crashes = models.SmallIntegerField(default=0)
    #: Failures and crashes together that end it as a dead letter.
    max_attempts = models.SmallIntegerField()
    #: Seconds one attempt may take (the hard time limit).
    timeout = models.IntegerField()

    #: Its place among the due jobs of its queue and priority. Tenants take turns: the seats of one
    #: tenant's jobs follow each other, and begin where the line is now, not at its end.
    seat = models.BigIntegerField(default=0)
    #: Of all unfinished jobs with the same key (not empty) there is one.
    unique_key = models.CharField(max_length=64, blank=True, default="")
    #: The limits it passes when it is claimed, by name and key; null when there are none.
    gates = models.JSONField(null=True)
    #: The gate it waits at (``parked``), or was let through last.
    gate = models.CharField(max_length=200, blank=True, default="")
    parked = models.BooleanField(default=False)

    #: The workflow that it belongs to, and the job that started it.
    root_id = models.UUIDField(null=True)
    parent_id = models.UUIDField(null=True)
    #: The group whose part it is, and its place there.
    group_id = models.UUIDField(null=True)
    group_index = models.IntegerField(null=True)
    #: What its settlement starts: ``chain`` (in reverse), ``link`` and ``link_error``, as Celery's
    #: signatures; ``chord``: it is counted by its group.
    canvas = models.JSONField(null=True)

    #: Not before this instant.
    scheduled_at = models.DateTimeField(db_default=Now())
    #: Not worth running after this instant: it is cancelled instead.
    expires_at = models.DateTimeField(null=True)
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

    #: Told to who enqueued: it was there already, as the twin of the job that was asked for.
    is_twin = False

    class Meta:
        ordering: ClassVar = ["-id"]
        #: Nobody adds, changes or deletes a job by hand: one may look, or operate.
        default_permissions = ("view",)
        permissions: ClassVar = [("operate", "Can operate queues and jobs")]
        indexes: ClassVar = [
            # The line that claims are served from, and where a tenant stands in it.
            models.Index(
                fields=["queue", "priority", "seat", "scheduled_at"],
                name="jobs_job_due",
                condition=Q(state__in=["available", "queued"], parked=False),
            ),
            models.Index(
                fields=["queue", "priority", "tenant", "seat"],
                name="jobs_job_seats",
                condition=Q(state__in=["available", "queued"]),
            ),
            models.Index(
                fields=["scheduled_at"],
                name="jobs_job_scheduled",
                include=["queue"],
                condition=Q(state="scheduled"),
            ),
            models.Index(
                fields=["scheduled_at"],
                name="jobs_job_unrung",
                condition=Q(state="available", parked=False),
            ),
            models.Index(
                fields=["gate", "parked", "priority", "seat"],
                name="jobs_job_gates",
                condition=Q(state__in=["available", "queued"]) & ~Q(gate=""),
            ),
            models.Index(
                fields=["expires_at"],
                name="jobs_job_expiring",
                condition=Q(
                    state__in=["scheduled", "available", "queued"], expires_at__isnull=False
                ),
            ),
            models.Index(
                fields=["unique_key", "-enqueued_at"],
                name="jobs_job_unique_past",
                condition=~Q(unique_key=""),
            ),
            models.Index(
                fields=["root_id", "id"], name="jobs_job_root", condition=Q(root_id__isnull=False)
            ),
            models.Index(
                fields=["parent_id", "id"],
                name="jobs_job_parent",
                condition=Q(parent_id__isnull=False),
            ),
            models.Index(
                fields=["group_id", "group_index"],
                name="jobs_job_group",
                condition=Q(group_id__isnull=False),
            ),
            models.Index(fields=["worker"], name="jobs_job_running", condition=Q(state="running")),
            # The newest jobs are found by the primary key, from its end; those of a tenant by this,
            # whoever else has newer ones. Not of those that move on: it is written once.
            models.Index(
                fields=["tenant", "id"],
                name="jobs_job_tenant",
                condition=Q(state__in=AT_REST) & ~Q(tenant=""),
            ),
            # What is rare is found by these: states few jobs end in; queues, tasks and tenants few
            # jobs are of; hours. A Bloom filter for each range of pages costs next to nothing.
            models.Index(
                fields=["state", "-id"],
                name="jobs_job_unlucky",
                condition=Q(state__in=["cancelled", "dead"]),
            ),
            BrinIndex(
                fields=["queue", "task", "tenant"],
                opclasses=["text_bloom_ops"] * 3,
                name="jobs_job_kinds",
                autosummarize=True,
                pages_per_range=64,
            ),
            BrinIndex(fields=["enqueued_at"], name="jobs_job_hours", autosummarize=True),
            # Of the finished ones, so that a move does not write it: see Job.correlated_with.
            models.Index(
                fields=["correlation_id"],
                name="jobs_job_correlation",
                condition=Q(finished_at__isnull=False),
            ),
            models.Index(
                fields=["replay_of"],
                name="jobs_job_replays",
                condition=Q(replay_of__isnull=False),
            ),
            # The pruner finds by it what is past its retention.
            models.Index(
                fields=["state", "finished_at"],
                include=["queue"],
                name="jobs_job_finished",
                condition=Q(finished_at__isnull=False),
            ),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["unique_key"],
                name="jobs_job_unique",
                condition=Q(state__in=["scheduled", "available", "queued", "running"])
                & ~Q(unique_key=""),
            ),
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

    @staticmethod
    def correlated_with(correlation_id: str) -> Q:
        """Return the condition for the jobs of a correlation id, by the indexes there are."""
        wanted = Q(correlation_id=correlation_id)
        return (
            (wanted & Q(finished_at__isnull=False))
            | (wanted & Q(state__in=["available", "queued"]))
            | (wanted & Q(state="scheduled"))
            | (wanted & Q(state="running"))
        )

    @property
    def follows(self) -> list[dict[str, Any]]:
        """What its success starts: the rest of its chain, in order; its callbacks."""
        canvas = self.canvas or {}
        return [
            {"task": signatures.told(signature), "payload": signatures.arguments(signature)}
            for signature in [*reversed(canvas.get("chain", [])), *canvas.get("link", [])]
        ]


class Workflow(models.Model):
    """Jobs that were started as one thing: a chain, a group, a chord, a job with what follows it.

    How far it is, its jobs tell (``Job.root_id``): see :mod:`jobs.selectors.workflows`.
    """

    id = models.UUIDField(primary_key=True, default=uuid_utils.compat.uuid7, editable=False)
    #: Its tasks in few words, such as ``sales.render | sales.email``.
    name = models.CharField(max_length=200)
    #: The jobs that it takes when all goes well.
    total = models.IntegerField()
    tenant = models.CharField(max_length=64, blank=True, default="")
    correlation_id = models.CharField(max_length=64, blank=True, default="")
    started_by = models.CharField(max_length=150, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now())
    #: A person cancelled it: nothing of it is started any more.
    cancelled_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return f"{self.name} {self.id}"


class Group(models.Model):
    """The header of a chord: jobs that run side by side, and what starts when all succeeded.

    ``pending`` is counted down by the settlements of its parts, in their transactions; it reaches
    zero once. A part that ends otherwise leaves it as it is, until its replay succeeds.
    """

    id = models.UUIDField(primary_key=True)
    root_id = models.UUIDField()
    pending = models.IntegerField()
    total = models.IntegerField()
    #: Its parts that ended otherwise, and were not replayed.
    failures = models.IntegerField(default=0)
    #: The ids of its parts, nested as their results are; null: the parts' numbers tell their order.
    shape = models.JSONField(null=True)
    #: A chord's body: a Celery signature, called with the list of the results.
    body = models.JSONField()
    failed_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"group {self.id}: {self.total - self.pending} of {self.total}"


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
    #: Written by the statement that settles the job, and deleted by the pruner before it: checking
    #: that it is there, and an index beside that of ``jobs_attempt_once``, would be paid for twice.
    job = models.ForeignKey(
        Job, on_delete=models.CASCADE, related_name="attempts", db_constraint=False, db_index=False
    )
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
            BrinIndex(fields=["finished_at"], name="jobs_attempt_times", autosummarize=True),
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
            # What the pruner may take.
            models.Index(
                fields=["decided_at"], name="jobs_deadletter_decided", condition=~Q(decision="")
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
            # Entries are appended in the order of their time.
            BrinIndex(fields=["at"], name="jobs_audit_at", autosummarize=True, pages_per_range=32),
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
    #: The wire names it knows: it claims no others.
    tasks = models.JSONField(default=list)
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


class LimitOverride(models.Model):
    """What an operator set for a limit at run time. No row: as declared."""

    name = models.CharField(primary_key=True, max_length=120)
    #: Runs in the limit's period, or at the same time; null: no limit.
    value = models.IntegerField(null=True)
    changed_at = models.DateTimeField(db_default=Now())
    changed_by = models.CharField(max_length=150)

    def __str__(self) -> str:
        return f"{self.name}: {'off' if self.value is None else self.value}"


class RateCount(models.Model):
    """How many jobs passed a gate in one slice of its period."""

    pk = models.CompositePrimaryKey("gate", "slice_at")
    gate = models.CharField(max_length=200)
    slice_at = models.DateTimeField()
    passed = models.IntegerField()
    #: It does not count any more after this instant.
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.gate} {self.slice_at:%H:%M:%S}: {self.passed}"


class _Ended(models.Model):
    """How many jobs or attempts of one kind ended, and how long they took."""

    queue = models.CharField(max_length=64)
    task = models.CharField(max_length=200)
    #: That of the attempts; empty: the jobs ended without one.
    outcome = models.CharField(max_length=16, choices=Attempt.Outcome.choices, blank=True)
    #: What became of the jobs.
    state = models.CharField(max_length=16, choices=State.choices)
    #: Of attempts that failed or crashed.
    error_type = models.CharField(max_length=200, blank=True)
    wait_seconds = models.FloatField()
    run_seconds = models.FloatField()
    #: How many fell into each bucket of ``rollups.BOUNDS``: see ``rollups.DIGITS``.
    wait_histogram = models.DecimalField(max_digits=rollups.DIGITS, decimal_places=0)
    run_histogram = models.DecimalField(max_digits=rollups.DIGITS, decimal_places=0)

    class Meta:
        abstract = True


class Rollup(_Ended):
    """What ended in one minute, of one kind: see :mod:`jobs.rollups`."""

    pk = models.CompositePrimaryKey(
        "minute", "queue", "task", "tenant", "outcome", "state", "error_type", "shard"
    )
    minute = models.DateTimeField()
    tenant = models.CharField(max_length=64)
    #: The session that counted it; 0: all of them, when the minute is over.
    shard = models.IntegerField()
    count = models.IntegerField()

    class Meta:
        indexes: ClassVar = [
            # What the keeper has yet to merge. It is written when a row is new, and never again.
            models.Index(fields=["minute"], name="jobs_rollup_shards", condition=~Q(shard=0)),
        ]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} {self.queue} {self.task}: {self.count}"


class RollupTotal(_Ended):
    """What ended since ever, of one kind, but for the shards that are not merged yet."""

    pk = models.CompositePrimaryKey("queue", "task", "outcome", "state", "error_type")
    count = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.queue} {self.task}: {self.count}"


class QueueDepth(models.Model):
    """How many jobs waited when a keeper last counted: of deep queues, which pages do not count."""

    pk = models.CompositePrimaryKey("queue", "state", "parked")
    queue = models.CharField(max_length=64)
    state = models.CharField(max_length=16, choices=State.choices)
    parked = models.BooleanField()
    count = models.BigIntegerField()
    counted_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.queue} {self.state}: {self.count}"


class ReplayBatch(models.Model):
    """Dead letters replayed together: one first, the rest when that one succeeded."""

    class State(models.TextChoices):
        """How far it is."""

        CANARY = "canary", "the first one runs"
        RUNNING = "running", "the rest is replayed"
        DONE = "done", "all are replayed"
        STOPPED = "stopped", "stopped: the first one failed, or a person stopped it"

    id = models.BigAutoField(primary_key=True)
    #: Which dead letters: see ``DeadLetterFilter``. ``died_before`` is always there, so that what
    #: dies again is not among them.
    filters = models.JSONField(default=dict)
    state = models.CharField(max_length=16, choices=State.choices, default=State.CANARY)
    total = models.IntegerField(default=0)
    replayed = models.IntegerField(default=0)
    #: Those that could not be replayed, such as arguments that no longer fit, and how many for
    #: each reason.
    refused = models.IntegerField(default=0)
    refusals = models.JSONField(default=dict)
    canary = models.ForeignKey(
        Job, null=True, on_delete=models.SET_NULL, related_name="+", db_constraint=False
    )
    #: The job that does it.
    job_id = models.UUIDField(null=True)
    #: ``[died_at, job id]`` of the last dead letter it has dealt with.
    reached = models.JSONField(null=True)
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)
    #: Why it was stopped, and the like.
    note = models.TextField(blank=True, default="")

    class Meta:
        ordering: ClassVar = ["-id"]
        verbose_name_plural = "replay batches"

    def __str__(self) -> str:
        return f"replay {self.id}: {self.get_state_display()}"


class AuditArchive(models.Model):
    """A compressed file of audit entries that were taken out of the table, verified before.

    The database lets exactly those entries be deleted that a row inserted in the same transaction
    names, and refuses to change or delete the row. Ids in between that are not in the file belong
    to jobs that were not finished then.
    """

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=200, unique=True)
    first_id = models.BigIntegerField()
    last_id = models.BigIntegerField()
    entries = models.BigIntegerField()
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    size = models.BigIntegerField(help_text="bytes of the compressed file")
    sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering: ClassVar = ["-id"]

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

    class Meta:
        indexes: ClassVar = [
            # What the pruner may take.
            models.Index(fields=["finished_at"], name="jobs_effect_done", condition=Q(state="done"))
        ]

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


from jobs.schedules.models import Beat as Beat  # noqa: E402 - they stand beside Celery's own tables
from jobs.schedules.models import Canary as Canary  # noqa: E402
from jobs.schedules.models import Firing as Firing  # noqa: E402
from jobs.schedules.models import Schedule as Schedule  # noqa: E402
