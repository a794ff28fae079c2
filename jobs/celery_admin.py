"""Celery's own tables in the admin: schedules to edit, results to read.

A schedule names a declared task, and its arguments are checked when it is saved, so that a typing
error is seen by who makes it and not at night. Every change is in the audit log.
"""

import json
from typing import TYPE_CHECKING, Any, ClassVar

import django_celery_beat.admin  # noqa: F401 - registers what is replaced here
import django_celery_results.admin  # noqa: F401
from django import forms
from django.contrib import admin, messages
from django.db import models, transaction
from django.http import HttpRequest
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    PeriodicTasks,
    SolarSchedule,
)
from django_celery_results.models import GroupResult, TaskResult
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminSelectWidget

from jobs import audit, payload
from jobs.admin_readonly import ReadOnlyAdmin
from jobs.enqueue import enqueue_by_name
from jobs.errors import EnqueueError, InvalidPayload
from jobs.permissions import actor_of, may_operate
from jobs.queues import QUEUES
from jobs.task import get_task, registry

for model in (
    ClockedSchedule,
    CrontabSchedule,
    GroupResult,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
    TaskResult,
):
    admin.site.unregister(model)


if TYPE_CHECKING:
    PeriodicTaskForm = forms.ModelForm[PeriodicTask]
else:
    PeriodicTaskForm = forms.ModelForm


class ScheduleForm(PeriodicTaskForm):
    """A schedule: a declared task, its arguments, and when."""

    task = forms.ChoiceField(
        choices=lambda: [(name, name) for name in sorted(registry())],
        widget=UnfoldAdminSelectWidget,
    )
    queue = forms.ChoiceField(
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="Empty: the task's own.",
        choices=lambda: [("", "—"), *((name, name) for name in QUEUES)],
    )

    class Meta:
        model = PeriodicTask
        fields: ClassVar = [
            "name",
            "task",
            "enabled",
            "description",
            "crontab",
            "interval",
            "solar",
            "clocked",
            "start_time",
            "one_off",
            "kwargs",
            "queue",
        ]

    def clean_kwargs(self) -> str:
        """Check the arguments as every caller's are."""
        text = str(self.cleaned_data["kwargs"])
        try:
            arguments = json.loads(text)
        except ValueError as error:
            raise forms.ValidationError(f"This is not JSON: {error}") from None
        if not isinstance(arguments, dict):
            raise forms.ValidationError('Expected a JSON object: {"argument": value}.')
        if name := self.cleaned_data.get("task"):
            try:
                payload.check(get_task(name).definition.arguments, name, arguments)
            except InvalidPayload as error:
                lines = [f"{field}: {problem}" for field, problem in error.problems.items()]
                raise forms.ValidationError(lines) from None
        return text


class _Audited(ModelAdmin):
    """Rows whose every change is in the audit log."""

    def save_model(
        self, request: HttpRequest, obj: models.Model, form: "forms.ModelForm[Any]", change: bool
    ) -> None:
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            detail = {"schedule": str(obj), "changed": form.changed_data}
            _record(request, obj, "changed" if change else "added", detail)

    def delete_model(self, request: HttpRequest, obj: models.Model) -> None:
        with transaction.atomic():
            _record(request, obj, "deleted", {"schedule": str(obj)})
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: "models.QuerySet[Any]") -> None:
        for obj in queryset:
            self.delete_model(request, obj)


def _record(
    request: HttpRequest, obj: models.Model, act: str, detail: dict[str, Any] | None = None
) -> None:
    audit.record(
        action=f"schedule.{act}",
        subject_type=obj._meta.model_name or "schedule",
        subject_id=str(obj.pk),
        actor=actor_of(request.user),
        detail=detail,
    )


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(_Audited):
    """The schedules. Those who may operate can run one at once."""

    form = ScheduleForm
    list_display = ("name", "enabled", "task", "scheduler", "queue", "last_run_at")
    list_filter = ("enabled", "task")
    search_fields = ("name", "task")
    list_select_related = ("interval", "crontab", "solar", "clocked")
    actions = ("enable", "disable", "run_now")

    @admin.action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: "models.QuerySet[PeriodicTask]") -> None:
        """Have the selected schedules fire."""
        self._switch(request, queryset, enabled=True)

    @admin.action(description="Disable", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: "models.QuerySet[PeriodicTask]") -> None:
        """Have the selected schedules fire no more."""
        self._switch(request, queryset, enabled=False)

    def _switch(
        self, request: HttpRequest, queryset: "models.QuerySet[PeriodicTask]", *, enabled: bool
    ) -> None:
        with transaction.atomic():
            for schedule in queryset:
                _record(request, schedule, "enabled" if enabled else "disabled")
            queryset.update(enabled=enabled)
            PeriodicTasks.update_changed()

    @admin.action(description="Run now", permissions=["operate"])
    def run_now(self, request: HttpRequest, queryset: "models.QuerySet[PeriodicTask]") -> None:
        """Enqueue the selected schedules' jobs at once; when they fire next does not change."""
        for schedule in queryset:
            try:
                job = enqueue_by_name(
                    schedule.task, json.loads(schedule.kwargs), queue=schedule.queue or None
                )
            except (EnqueueError, ValueError) as error:
                messages.error(request, f"{schedule.name}: {error}")
            else:
                messages.success(request, f"{schedule.name} is enqueued: job {job.id}.")

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Whether the visitor may run schedules."""
        return may_operate(request.user)


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(_Audited):
    """Times of day, each in its zone."""

    list_display = ("__str__", "human_readable")


@admin.register(IntervalSchedule, SolarSchedule, ClockedSchedule)
class OtherScheduleAdmin(_Audited):
    """The other ways to say when."""


@admin.register(TaskResult)
class TaskResultAdmin(ReadOnlyAdmin):
    """What ``AsyncResult`` reads, kept by the engine."""

    list_display = ("task_id", "task_name", "status", "worker", "date_done")
    list_filter = ("status",)
    search_fields = ("task_id__exact",)
    show_full_result_count = False
    fields = (
        "task_id",
        "task_name",
        "status",
        "worker",
        "date_created",
        "date_started",
        "date_done",
        "result",
        "traceback",
    )
