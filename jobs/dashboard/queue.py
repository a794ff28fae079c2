"""The page of a queue: how it is doing, its limits, and a form to change each of them."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_POST, require_safe

from jobs import operations, selectors
from jobs.dashboard.charts import throughput_bars
from jobs.dashboard.pages import render, staff_view
from jobs.dashboard.verbs import back
from jobs.errors import JobsError, UnknownLimit, UnknownQueue
from jobs.permissions import actor_of, may_operate, may_view


@require_safe
@staff_view(may_view)
def queue(request: HttpRequest, name: str) -> HttpResponse:
    """Show one queue."""
    workers = selectors.list_workers()
    try:
        overview = selectors.queue_overview(name, workers=workers)
    except UnknownQueue as error:
        raise Http404(str(error)) from None
    context = {
        "title": f"Queue {name}",
        "queue": overview,
        "bars": throughput_bars(overview.minutes),
        "limits": selectors.list_limits(queue=name),
        "most": operations.HIGHEST_LIMIT,
        "serving": [view for view in workers if name in view.worker.queues],
    }
    return render(request, "queue", context)


@require_POST
@staff_view(may_operate)
def change_limit(request: HttpRequest, name: str) -> HttpResponse:
    """Set a limit to the number that was entered, or to what the button says (``to``)."""
    actor, to = actor_of(request.user), request.POST.get("to", "")
    try:
        if to == "default":
            operations.reset_limit(name, actor=actor)
        else:
            entered = None if to == "off" else int(request.POST.get("value", ""))
            operations.set_limit(name, entered, actor=actor)
    except UnknownLimit as error:
        raise Http404(str(error)) from None
    except ValueError:
        messages.warning(request, "A limit is a whole number.")
    except JobsError as error:
        messages.warning(request, str(error))
    else:
        messages.success(request, f"Limit {name}: {selectors.get_limit(name).in_words}.")
    return back(request)
