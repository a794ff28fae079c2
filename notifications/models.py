"""The delivery log, the in-app inbox, and what people want to be told."""

from typing import ClassVar
from uuid import UUID

import uuid_utils.compat
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from notifications.kinds import Channel, Choice, Kind, Urgency
from tenants.models import Tenant, User


def new_delivery_id() -> UUID:
    """Return a fresh id, ordered by time (UUIDv7)."""
    return uuid_utils.compat.uuid7()


class Delivery(models.Model):
    """One e-mail to one person, from the moment it is asked for. It holds no secret."""

    class State(models.TextChoices):
        """How far it is."""

        QUEUED = "queued"
        SENT = "sent"  # the mail server has taken it
        FAILED = "failed"  # it will not be tried again by itself

    id = models.UUIDField(primary_key=True, default=new_delivery_id, editable=False)
    #: None: the site itself writes, as for a password reset.
    tenant = models.ForeignKey(
        Tenant, null=True, on_delete=models.CASCADE, related_name="deliveries"
    )
    #: The job that is to send it, or has. No foreign key: jobs are pruned, the log stays.
    job_id = models.UUIDField(null=True)
    event = models.CharField(max_length=64)
    recipient = models.EmailField(max_length=254)
    #: Known when it is rendered.
    subject = models.CharField(max_length=255, blank=True, default="")
    #: Made from the id once, so that whoever gets it twice can tell.
    message_id = models.CharField(max_length=320, unique=True)
    state = models.CharField(max_length=16, choices=State.choices, default=State.QUEUED)
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True)
    #: Why the last try failed.
    error = models.TextField(blank=True, default="")
    #: ``[{"storage_name": …, "filename": …, "content_type": …, "sha256": …}]``
    attachments = models.JSONField(default=list)
    #: What this e-mail is about, for whoever must not ask for it twice; empty: no such limit.
    dedup_key = models.CharField(max_length=200, blank=True, default="")

    class Meta:
        ordering: ClassVar = ["-id"]
        verbose_name_plural = "deliveries"
        indexes: ClassVar = [
            models.Index(fields=["tenant", "-id"], name="notif_delivery_tenant"),
            models.Index(fields=["recipient", "-id"], name="notif_delivery_recipient"),
            models.Index(fields=["state", "-id"], name="notif_delivery_state"),
            models.Index(fields=["job_id"], name="notif_delivery_job"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "event", "dedup_key"],
                name="notif_delivery_once",
                condition=~Q(dedup_key=""),
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                name="notif_delivery_state_known",
                condition=Q(state__in=["queued", "sent", "failed"]),
            ),
            models.CheckConstraint(
                name="notif_delivery_sent_has_time",
                condition=Q(state="sent", sent_at__isnull=False)
                | (~Q(state="sent") & Q(sent_at__isnull=True)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.recipient}"


class Notification(models.Model):
    """One notice in a person's in-app inbox."""

    tenant = models.ForeignKey(
        Tenant, null=True, on_delete=models.CASCADE, related_name="notifications"
    )
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="notifications")
    kind = models.CharField(max_length=32, choices=Kind.choices)
    priority = models.CharField(
        max_length=16, choices=Urgency.choices, default=Urgency.MEDIUM, db_default=Urgency.MEDIUM
    )
    title = models.CharField(max_length=200)
    body = models.TextField(blank=True, default="", db_default="")
    #: A path of this site, or an http(s) address.
    action_url = models.CharField(max_length=500, blank=True, default="", db_default="")
    #: What it is about, such as ``inventory.product:42``.
    subject_key = models.CharField(max_length=200)
    #: The tenant's date (UTC's without one).
    day = models.DateField()
    created_at = models.DateTimeField(db_default=Now())
    read_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            models.Index(fields=["user", "-id"], name="notif_notification_user"),
            models.Index(
                fields=["user", "-created_at"],
                name="notif_notification_unread",
                condition=Q(read_at__isnull=True),
            ),
        ]
        constraints: ClassVar = [
            # The tenant belongs to the key: who works for two companies hears from both.
            models.UniqueConstraint(
                fields=["user", "tenant", "subject_key", "day"],
                name="notif_notification_once_a_day",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                name="notif_notification_kind_known", condition=Q(kind__in=Kind.values)
            ),
            models.CheckConstraint(
                name="notif_notification_priority_known", condition=Q(priority__in=Urgency.values)
            ),
            models.CheckConstraint(
                name="notif_notification_url_safe",
                condition=Q(action_url="") | Q(action_url__regex=r"^(/($|[^/\\])|https?://)"),
            ),
        ]

    def __str__(self) -> str:
        return self.title


class Preference(models.Model):
    """What a person wants of one kind on one channel. No row: the role decides."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="preferences")
    kind = models.CharField(max_length=32, choices=Kind.choices)
    channel = models.CharField(max_length=16, choices=Channel.choices)
    choice = models.CharField(max_length=16, choices=Choice.choices)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["user", "kind", "channel"], name="notif_preference_once"
            ),
            models.CheckConstraint(
                name="notif_preference_known",
                condition=Q(kind__in=Kind.values)
                & Q(channel__in=Channel.values)
                & Q(choice__in=Choice.values),
            ),
            models.CheckConstraint(
                name="notif_preference_digest_is_email",
                condition=~Q(choice="digest") | Q(channel="email"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.kind} {self.get_channel_display()} {self.choice}"
