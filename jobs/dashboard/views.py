"""The pages to look at: queues, jobs, one job, dead letters. They change nothing."""

from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from jobs import selectors
from jobs.dashboard.charts import throughput_bars
from jobs.dashboard.filters import DeadLetterFilterForm, JobFilterForm
from jobs.dashboard.pages import render, staff_view
from jobs.models import Job
from jobs.permissions import may_view
from jobs.queues import QUEUES
from jobs.selectors import Count, Minute, QueueOverview, WorkerView
from jobs.states import FINAL, State
from jobs.task import registry

PAGE_SIZE = 50


@require_safe
@staff_view(may_view)
def queues(request: HttpRequest) -> HttpResponse:
    """Show how every queue is doing, the workers, and what failed lately."""
    context = {
        **queue_figures(),
        "title": "Queues",
        "failures": selectors.recent_failures(limit=8),
        "flower_url": settings.FLOWER_URL,
    }
    return render(request, "queues", context)


def queue_figures() -> dict[str, Any]:
    """Return what the dashboard says about queues and workers, and their totals."""
    workers = selectors.list_workers()
    overviews = selectors.queue_overviews(workers=workers)
    return {
        "queues": overviews,
        "totals": _totals(overviews, workers),
        "bars": throughput_bars(_together(overviews)),
        "workers": workers,
        "alive": sum(view.is_alive for view in workers),
    }


def _together(overviews: list[QueueOverview]) -> list[Minute]:
    return [
        Minute(
            succeeded=sum(minute.succeeded for minute in column),
            cancelled=sum(minute.cancelled for minute in column),
            dead=sum(minute.dead for minute in column),
        )
        for column in zip(*(overview.minutes for overview in overviews), strict=True)
    ]


def _totals(overviews: list[QueueOverview], workers: list[WorkerView]) -> dict[str, Any]:
    ages = [item.oldest_due_seconds for item in overviews if item.oldest_due_seconds is not None]
    return {
        "waiting": Count.of(item.waiting for item in overviews),
        "parked": Count.of(item.parked for item in overviews),
        "running": sum(item.depth[State.RUNNING] for item in overviews),
        "slots": sum(view.worker.concurrency for view in workers if view.is_alive),
        "scheduled": Count.of(item.depth[State.SCHEDULED] for item in overviews),
        "succeeded": sum(item.finished(State.SUCCEEDED) for item in overviews),
        "dead": sum(item.finished(State.DEAD) for item in overviews),
        "dead_letters": sum(item.dead_letters for item in overviews),
        "oldest": max(ages, default=None),
    }


@require_safe
@staff_view(may_view)
def job_list(request: HttpRequest) -> HttpResponse:
    """Show jobs by filter, newest first."""
    form = JobFilterForm(request.GET)
    wanted = form.wanted()
    context = {
        "title": "Jobs",
        "form": form,
        "wanted": wanted,
        "tabs": _tabs(request, wanted),
        "page": _page(request, selectors.list_jobs, wanted),
        "query": _query(request, without=("before", "after", "live")),
    }
    return render(request, "jobs", context)


def _tabs(request: HttpRequest, wanted: selectors.JobFilter) -> list[dict[str, Any]]:
    """One tab for each state, with the number of unfinished jobs: the others are not counted."""
    depth = dict.fromkeys(State, Count())
    for overview in selectors.queue_overviews(workers=()):
        if wanted.queue in ("", overview.name):
            for state, count in overview.depth.items():
                depth[state] = Count.of((depth[state], count))
    rest = _query(request, without=("before", "after", "live", "state"))
    plain = not (wanted.task or wanted.tenant or wanted.text or wanted.since or wanted.until)
    tabs: list[dict[str, Any]] = [{"label": "All", "query": rest, "active": not wanted.states}]
    tabs.extend(
        {
            "label": state.label.capitalize(),
            "query": "&".join(filter(None, (rest, urlencode({"state": state.value})))),
            "active": wanted.states == (state.value,),
            "count": depth[state] if plain and state not in FINAL else None,
        }
        for state in State
    )
    return tabs


@require_safe
@staff_view(may_view)
def job(request: HttpRequest, job_id: str) -> HttpResponse:
    """Show one job: its arguments, its attempts, its history, its relatives."""
    try:
        detail = selectors.job_detail(job_id)
    except Job.DoesNotExist:
        raise Http404(f"There is no job {job_id}.") from None
    row = detail.job
    context = {
        "title": f"Job {row.task}",
        "editable": row.task in registry(),
        "is_declared": row.queue in QUEUES,
        "detail": detail,
        "job": row,
        "pending": detail.dead_letter is not None and not detail.dead_letter.decision,
        "final": row.state in FINAL,
    }
    return render(request, "job", context)


@require_safe
@staff_view(may_view)
def dead_letters(request: HttpRequest) -> HttpResponse:
    """Show the jobs that died, those that wait for a decision first of all."""
    form = DeadLetterFilterForm(request.GET)
    wanted = form.wanted()
    context = {
        "title": "Dead letters",
        "form": form,
        "wanted": wanted,
        "pending": selectors.count_dead_letters(),
        "page": _page(request, selectors.list_dead_letters, wanted),
        "query": _query(request, without=("before", "after", "live")),
        "rest": _query(request, without=("before", "after", "live", "decided")),
    }
    return render(request, "dead_letters", context)


def _page(request: HttpRequest, select: Any, wanted: Any) -> Any:
    cursors = {name: request.GET.get(name, "") for name in ("before", "after")}
    try:
        return select(wanted, limit=PAGE_SIZE, **cursors)
    except selectors.BadCursor:
        return select(wanted, limit=PAGE_SIZE)


def _query(request: HttpRequest, *, without: tuple[str, ...]) -> str:
    """Return the address's query without these names, and without what is empty."""
    pairs = [
        (name, value)
        for name, values in request.GET.lists()
        if name not in without
        for value in values
        if value
    ]
    return urlencode(pairs)
