"""Workflows as one thing: the list, one with its stages, and cancelling it."""

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from jobs import operations, selectors
from jobs.dashboard.pages import render, staff_view
from jobs.errors import JobsError
from jobs.models import Workflow
from jobs.permissions import actor_of, may_operate, may_view

PAGE_SIZE = 50

_TABS = (("", "All"), ("running", "Running"), ("failed", "Failed, to decide"))


@require_safe
@staff_view(may_view)
def workflow_list(request: HttpRequest) -> HttpResponse:
    """Show workflows, the newest first, and how far each is."""
    state = request.GET.get("state", "")
    wanted = selectors.WorkflowFilter(
        tenant=request.GET.get("tenant", ""),
        state=state if state in ("running", "failed") else "",  # type: ignore[arg-type] # one of them
    )
    cursors = {name: request.GET.get(name, "") for name in ("before", "after")}
    try:
        views, page = selectors.list_workflows(wanted, limit=PAGE_SIZE, **cursors)
    except selectors.BadCursor:
        views, page = selectors.list_workflows(wanted, limit=PAGE_SIZE)
    query = request.GET.copy()
    for name in ("before", "after", "live"):
        query.pop(name, None)
    context = {
        "title": "Workflows",
        "views": views,
        "page": page,
        "tabs": [
            {"label": label, "state": value, "active": value == wanted.state}
            for value, label in _TABS
        ],
        "tenant": wanted.tenant,
        "query": query.urlencode(),
    }
    return render(request, "workflows", context)


@require_safe
@staff_view(may_view)
def workflow(request: HttpRequest, workflow_id: str) -> HttpResponse:
    """Show a workflow: its stages, how far each is, and what is still to come."""
    try:
        detail = selectors.workflow_detail(workflow_id)
    except Workflow.DoesNotExist as error:
        raise Http404(str(error)) from None
    unfinished = detail.view.counts.running or detail.view.counts.waiting
    context = {
        "title": "Workflow",
        "detail": detail,
        "view": detail.view,
        "workflow": detail.view.workflow,
        "live": bool(unfinished),
        "cancellable": detail.view.state in ("running", "failed"),
    }
    return render(request, "workflow", context)


@require_POST
@staff_view(may_operate)
def cancel(request: HttpRequest, workflow_id: UUID) -> HttpResponse:
    """Cancel a workflow."""
    try:
        number = operations.cancel_workflow(workflow_id, actor=actor_of(request.user))
    except JobsError as error:
        messages.warning(request, str(error))
    else:
        told = f"{number} job{'' if number == 1 else 's'} cancelled, or asked to stop"
        messages.success(request, f"The workflow is cancelled: {told}.")
    return redirect(reverse("queues:workflow", args=[workflow_id]))
