"""Celery's own tables in the admin: schedules to edit, results to read.

A schedule names a declared task, and its arguments are checked when it is saved, so that a typing
error is seen by who makes it and not at night. Every change is in the audit log.
"""

from itertools import chain
from typing import Any

import django_celery_beat.admin  # noqa: F401 - registers what is replaced here
import django_celery_results.admin  # noqa: F401
from django import forms
from django.contrib import admin, messages
from django.db import models, transaction
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    PeriodicTasks,
    SolarSchedule,
)
from django_celery_results.models import GroupResult, TaskResult
from unfold.admin import ModelAdmin, StackedInline

from jobs import audit, selectors
from jobs.admin_readonly import ReadOnlyAdmin
from jobs.celery_forms import KINDS, CrontabForm, IntervalForm, RulesForm, ScheduleForm
from jobs.errors import JobsError
from jobs.models import Schedule
from jobs.permissions import actor_of, may_operate, may_view
from jobs.schedules import by_hand

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


class _Audited(ModelAdmin):
    """Rows whose every change is in the audit log."""

    def save_related(
        self, request: HttpRequest, form: "forms.ModelForm[Any]", formsets: Any, change: bool
    ) -> None:
        """Save what stands beside the row, which is saved already, and record both."""
        with transaction.atomic():
            super().save_related(request, form, formsets, change)
            beside = [one.changed_data for formset in formsets for one in formset.forms]
            changed = list(chain(form.changed_data, *beside))
            detail = {"schedule": str(form.instance), "changed": changed}
            _record(request, form.instance, "changed" if change else "added", detail)

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


class RulesInline(StackedInline):
    """The rules of a schedule; who may change the schedule may change them."""

    model = Schedule
    form = RulesForm
    can_delete = False
    extra = 1

    def has_view_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Whoever may look at the schedule."""
        return request.user.has_perm("django_celery_beat.view_periodictask") or (
            self.has_change_permission(request, obj)
        )

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Whoever may change the schedule."""
        return request.user.has_perm("django_celery_beat.change_periodictask")

    def has_add_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Whoever may add the schedule."""
        return request.user.has_perm("django_celery_beat.add_periodictask")


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(_Audited):
    """The schedules. Those who may operate can run one at once."""

    form = ScheduleForm
    inlines = (RulesInline,)
    list_display = ("name", "enabled", "task", "scheduler", "queue", "last_run_at")
    list_filter = ("enabled", "task")
    search_fields = ("name", "task")
    list_select_related = ("interval", "crontab", "solar", "clocked")
    readonly_fields = ("page", "coming")
    actions = ("enable", "disable", "run_now")

    def get_fieldsets(self, request: HttpRequest, obj: PeriodicTask | None = None) -> Any:
        """Return the fields by what they are about; positional arguments only to empty them."""
        schedule = ["name", "task", "enabled", "description", "version"]
        if obj is not None:
            schedule += ["page"] if may_view(request.user) else []
            schedule += ["coming"]
        given = {request.POST.get("args", ""), obj.args if obj else ""}
        args = ["args"] if given - {"", "[]"} else []
        return [
            (None, {"fields": schedule}),
            ("When", {"fields": [*KINDS, "start_time", "expires", "one_off"]}),
            ("Its jobs", {"fields": [*args, "kwargs", "queue", "priority", "expire_seconds"]}),
        ]

    @admin.display(description="Its page")
    def page(self, schedule: PeriodicTask) -> str:
        """Link the page with its history."""
        address = reverse("queues:schedule", args=[schedule.pk])
        link = '<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>'
        return format_html(link, address, "History, next instants, run by hand")

    @admin.display(description="Next")
    def coming(self, schedule: PeriodicTask) -> str:
        """Say when it is due next, as it was saved last."""
        view = selectors.get_schedule(schedule.pk)
        lines = [
            (f"{instant.local:%a %Y-%m-%d %H:%M} {view.zone}",)
            for instant in selectors.next_instants(view, count=5)
        ]
        return format_html_join(mark_safe("<br>"), "{}", lines) or view.problem or "never"

    def save_model(
        self, request: HttpRequest, obj: PeriodicTask, form: "forms.ModelForm[Any]", change: bool
    ) -> None:
        """Write what was changed: the scheduler counts runs in the same row."""
        if change:
            columns = [name for name in form.changed_data if name != "version"]
            obj.save(update_fields=[*columns, "date_changed"])
        else:
            super().save_model(request, obj, form, change)

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
                (run,) = by_hand.run(schedule.name)
            except JobsError as error:
                messages.error(request, f"{schedule.name}: {error}")
            else:
                messages.success(request, f"{schedule.name} is enqueued: job {run.job.id}.")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may delete schedules; not one that is declared: it would be added again."""
        if obj is not None and Schedule.objects.filter(pk=obj.pk, declared__isnull=False).exists():
            return False
        return bool(super().has_delete_permission(request, obj))

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Whether the visitor may run schedules."""
        return may_operate(request.user)


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(_Audited):
    """Times of day, each in its zone."""

    form = CrontabForm
    list_display = ("__str__", "human_readable")


@admin.register(IntervalSchedule)
class IntervalScheduleAdmin(_Audited):
    """Lengths of time."""

    form = IntervalForm


@admin.register(SolarSchedule, ClockedSchedule)
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
