"""What stands beside a schedule of django-celery-beat: its rules, its next instant, its history.

A trigger of the database (migration 0009) has every change of when a schedule is due noticed,
whoever makes it: a form, ``QuerySet.update``, SQL.
"""

import uuid
from datetime import timedelta
from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django_celery_beat.models import PeriodicTask

from jobs.schedules.calendars import Days


class Missed(models.TextChoices):
    """What becomes of instants that no beat saw in time."""

    ONCE = "once", "run once for all of them"
    SKIP = "skip", "skip them"
    ALL = "all", "run each, up to a limit"


class Overlap(models.TextChoices):
    """What becomes of an instant whose predecessor's job is unfinished."""

    ALLOW = "allow", "run both"
    SKIP = "skip", "skip it"


class Schedule(models.Model):
    """The rules of a schedule, and when it is due next."""

    periodic_task = models.OneToOneField(
        PeriodicTask, primary_key=True, on_delete=models.CASCADE, related_name="rules"
    )
    missed = models.CharField(
        "missed instants",
        max_length=8,
        choices=Missed.choices,
        default=Missed.ONCE,
        db_default=Missed.ONCE,
        help_text="What is done about instants at which no beat was running.",
    )
    missed_limit = models.PositiveSmallIntegerField(
        "at most",
        default=10,
        db_default=10,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="Of missed instants that are each run, the latest so many.",
    )
    grace = models.DurationField(
        default=timedelta(hours=12),
        db_default=timedelta(hours=12),
        validators=[MinValueValidator(timedelta(minutes=1))],
        help_text="What is late by more than this is never run: hours:minutes:seconds.",
    )
    overlap = models.CharField(
        max_length=8,
        choices=Overlap.choices,
        default=Overlap.ALLOW,
        db_default=Overlap.ALLOW,
        help_text="What is done while the job of the last instant is unfinished.",
    )
    jitter = models.DurationField(
        default=timedelta(0),
        db_default=timedelta(0),
        validators=[MinValueValidator(timedelta(0)), MaxValueValidator(timedelta(days=1))],
        help_text="Each job begins up to this much later, so that not all begin at once.",
    )
    days = models.CharField(
        max_length=16, choices=Days.choices, default=Days.ALL, db_default=Days.ALL
    )
    country = models.CharField(
        max_length=10,
        blank=True,
        default="",
        db_default="",
        help_text="Whose business days: ISO 3166-1, perhaps with a part, such as DE or DE-BY.",
    )

    #: What the code last declared, by field; None: an operator's own schedule.
    declared = models.JSONField(null=True, editable=False)
    #: The declaration's name, without its place.
    declared_name = models.CharField(max_length=200, default="", db_default="", editable=False)

    #: When it is due next; empty: never.
    next_at = models.DateTimeField(null=True, editable=False)
    #: When a beat must look at it; empty: not before it is changed.
    wake_at = models.DateTimeField(null=True, editable=False, db_default=Now())
    #: Instants up to this one have been seen to; those later have not.
    plan_after = models.DateTimeField(editable=False, db_default=Now())
    #: Since when it is due as it is; intervals are counted from here.
    changed_at = models.DateTimeField(editable=False, db_default=Now())
    #: Changed, and not planned anew yet.
    stale = models.BooleanField(editable=False, default=True, db_default=True)
    #: Why it cannot be planned or run; empty: it can.
    problem = models.TextField(editable=False, default="", db_default="")
    last_due_at = models.DateTimeField(null=True, editable=False)
    last_job_id = models.UUIDField(null=True, editable=False)

    class Meta:
        verbose_name = "rules"
        verbose_name_plural = "rules"
        indexes: ClassVar = [
            # The one thing that a beat asks all the time.
            models.Index(
                fields=["wake_at"], name="jobs_schedule_wake", condition=Q(wake_at__isnull=False)
            ),
            models.Index(
                fields=["declared_name"],
                name="jobs_schedule_declared",
                condition=~Q(declared_name=""),
            ),
        ]

    def __str__(self) -> str:
        return str(self.periodic_task)


class Outcome(models.TextChoices):
    """What was done about an instant."""

    FIRED = "fired"
    MISSED = "missed"
    OVERLAPPED = "overlapped"
    FAILED = "failed"


class Firing(models.Model):
    """What became of one instant of a schedule: a job, or the reason why there is none."""

    #: Empty once the schedule is deleted.
    schedule = models.ForeignKey(
        PeriodicTask, null=True, on_delete=models.SET_NULL, related_name="firings", db_index=False
    )
    #: Its name at that time.
    name = models.CharField(max_length=200)
    due_at = models.DateTimeField()
    fired_at = models.DateTimeField(db_default=Now())
    outcome = models.CharField(max_length=12, choices=Outcome.choices)
    #: Why it was not run, or late; for people.
    reason = models.TextField(default="", db_default="")
    job_id = models.UUIDField(null=True)
    #: Instants that this row stands for, this one the last: long ago ones are not told one by one.
    instants = models.PositiveIntegerField(default=1, db_default=1)
    #: Who ran it by hand; empty: it was due.
    by_hand = models.CharField(max_length=150, default="", db_default="")

    class Meta:
        ordering: ClassVar = ["-due_at", "-id"]
        default_permissions = ("view",)
        indexes: ClassVar = [
            models.Index(fields=["fired_at"], name="jobs_firing_fired"),
        ]
        constraints: ClassVar = [
            # Also the index that the history of a schedule is read by.
            models.UniqueConstraint(
                fields=["schedule", "due_at", "by_hand"], name="jobs_firing_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.due_at.isoformat()}"

    @property
    def late_by(self) -> timedelta:
        """How long after its instant it was seen to."""
        return max(timedelta(0), self.fired_at - self.due_at)


class Beat(models.Model):
    """A process that fires schedules. Any number may run."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField(db_default=Now())
    #: Its last look that succeeded.
    ticked_at = models.DateTimeField(db_default=Now())
    stopped_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


class Canary(models.Model):
    """The last probe of a queue that came through."""

    queue = models.CharField(max_length=64, primary_key=True)
    #: When the probe was enqueued, and when a worker ran it.
    enqueued_at = models.DateTimeField()
    ran_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.queue
