"""The delivery log, the inbox and the preferences in the admin."""

from typing import ClassVar

from django.contrib import admin
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.decorators import display

from notifications.models import Delivery, Notification, Preference
from tenants.admin_readonly import ReadOnlyAdmin


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    """Every e-mail that was asked for, and what became of it."""

    list_display: ClassVar = [
        "created_at",
        "state_label",
        "event",
        "recipient",
        "subject",
        "tenant",
        "sent_at",
    ]
    list_filter: ClassVar = ["state", "event", "tenant"]
    search_fields: ClassVar = ["recipient", "subject", "message_id", "job_id"]
    date_hierarchy = "created_at"
    list_select_related: ClassVar = ["tenant"]
    fields: ClassVar = [
        "event",
        "tenant",
        "recipient",
        "subject",
        "state",
        "created_at",
        "sent_at",
        "message_id",
        "job_link",
        "attachments",
        "dedup_key",
        "error",
    ]
    readonly_fields: ClassVar = ["job_link"]
    show_full_result_count = False

    @display(
        description="State",
        ordering="state",
        label={"queued": "info", "sent": "success", "failed": "danger"},
    )
    def state_label(self, delivery: Delivery) -> str:
        """The state as a coloured label."""
        return delivery.state

    @admin.display(description="Job")
    def job_link(self, delivery: Delivery) -> str:
        """A link to the job that sends it."""
        if delivery.job_id is None:
            return "–"
        try:
            url = reverse("admin:jobs_job_change", args=[delivery.job_id])
        except NoReverseMatch:
            return str(delivery.job_id)
        return format_html('<a href="{}">{}</a>', url, delivery.job_id)


@admin.register(Notification)
class NotificationAdmin(ReadOnlyAdmin):
    """The notices in people's inboxes."""

    list_display: ClassVar = [
        "created_at",
        "priority_label",
        "kind",
        "title",
        "user",
        "tenant",
        "day",
        "read_at",
    ]
    list_filter: ClassVar = ["kind", "priority", "tenant", ("read_at", admin.EmptyFieldListFilter)]
    search_fields: ClassVar = ["title", "user__username", "subject_key"]
    date_hierarchy = "created_at"
    list_select_related: ClassVar = ["user", "tenant"]
    show_full_result_count = False

    @display(
        description="Priority",
        ordering="priority",
        label={"low": "default", "medium": "info", "high": "warning", "urgent": "danger"},
    )
    def priority_label(self, notification: Notification) -> str:
        """The priority as a coloured label."""
        return notification.priority


@admin.register(Preference)
class PreferenceAdmin(ModelAdmin):
    """What people want to be told."""

    list_display: ClassVar = ["user", "kind", "channel", "choice"]
    list_filter: ClassVar = ["kind", "channel", "choice"]
    search_fields: ClassVar = ["user__username", "user__email"]
    autocomplete_fields: ClassVar = ["user"]
    list_select_related: ClassVar = ["user"]
