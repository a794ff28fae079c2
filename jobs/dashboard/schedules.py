"""The pages of schedules: all of them and whether they are fired, and one with its history."""

from datetime import timedelta
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from jobs import selectors
from jobs.dashboard.filters import ScheduleFilterForm
from jobs.dashboard.pages import render, staff_view
from jobs.dashboard.schedule_runs import ByHandForm
from jobs.dashboard.schedule_words import differences, options_in_words, rules_in_words
from jobs.models import Schedule
from jobs.permissions import may_view
from jobs.selectors import ScheduleView

#: Lines of history on a page.
PAGE_SIZE = 25
#: Instants to come that are shown.
COMING = 20
#: Who looks once a second has not looked for so long only when it hangs.
LATE_LOOK = timedelta(seconds=30)


@require_safe
@staff_view(may_view)
def schedule_list(request: HttpRequest) -> HttpResponse:
    """Show all schedules, and whether they are fired."""
    form = ScheduleFilterForm(request.GET)
    views = selectors.list_schedules()
    health = selectors.schedule_health()
    fitting = form.fitting(views)
    context = {
        "title": "Schedules",
        "form": form,
        "filtered": len(fitting) < len(views),
        "schedules": [view for view in fitting if not view.is_canary],
        "canaries": [view for view in fitting if view.is_canary],
        "next": _next(views),
        "health": health,
        "late_look": health.tick_age is not None and health.tick_age > LATE_LOOK,
        "overdue": [view for view in views if view.overdue],
        "troubled": [view for view in views if view.enabled and view.problem],
        "silent": [canary for canary in health.canaries if canary.silent],
    }
    return render(request, "schedules", context)


def _next(views: list[ScheduleView]) -> ScheduleView | None:
    """Return the schedule that is due next, canaries aside: one of them always is."""
    planned = [
        (view.next.utc, view)
        for view in views
        if view.enabled and view.next is not None and not (view.is_canary or view.overdue)
    ]
    return min(planned, key=lambda one: one[0])[1] if planned else None


@require_safe
@staff_view(may_view)
def schedule(request: HttpRequest, schedule_id: int) -> HttpResponse:
    """Show one schedule: its rules, what is to come, and what became of its instants."""
    view = view_or_404(schedule_id)
    context = {
        **_history(request, view),
        "title": f"Schedule {view.name}",
        "view": view,
        "row": view.rules.periodic_task,
        "may_edit": request.user.has_perm("django_celery_beat.change_periodictask"),
    }
    if "live" not in request.GET:
        context |= {
            "form": ByHandForm(view),
            "rules": [*rules_in_words(view), *options_in_words(view)],
            "differences": differences(view),
            "instants": selectors.next_instants(view, count=COMING),
        }
    return render(request, "schedule", context)


def view_or_404(schedule_id: int) -> ScheduleView:
    """Return the schedule; raises ``Http404``."""
    try:
        return selectors.get_schedule(schedule_id)
    except Schedule.DoesNotExist as error:
        raise Http404(str(error)) from None


def _history(request: HttpRequest, view: ScheduleView) -> dict[str, Any]:
    """Return a page of its history, each line with its job, and the id to go on from."""
    text = request.GET.get("before", "")
    before = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
    found = selectors.firings_of(view.id, limit=PAGE_SIZE + 1, before=before)
    shown = found[:PAGE_SIZE]
    jobs = selectors.jobs_of(shown)
    return {
        "history": [
            (firing, jobs.get(firing.job_id) if firing.job_id else None) for firing in shown
        ],
        "older": shown[-1].pk if len(found) > PAGE_SIZE else None,
        "paged": before is not None,
    }
