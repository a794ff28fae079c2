"""What operators do: pause, resume, cancel, run now, replay, discard. POST, then a redirect."""

from collections.abc import Callable
from functools import partial
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from jobs import operations
from jobs.dashboard.pages import staff_view
from jobs.errors import JobsError, UnknownQueue
from jobs.permissions import actor_of, may_operate

#: Jobs that one request acts on at most.
LIMIT = 500

#: verb -> (what does it, what was done)
_JOB_VERBS: dict[str, tuple[Callable[..., object], str]] = {
    "cancel": (operations.cancel, "cancelled, or asked to stop"),
    "run-now": (operations.hasten, "made due now"),
    "replay": (operations.replay, "replayed"),
    "discard": (operations.discard, "discarded"),
}
_QUEUE_VERBS: dict[str, tuple[Callable[..., None], str]] = {
    "pause": (operations.pause_queue, "paused: running jobs end, no other is started"),
    "resume": (operations.resume_queue, "resumed"),
}


@require_POST
@staff_view(may_operate)
def queue_verb(request: HttpRequest, name: str, verb: str) -> HttpResponse:
    """Pause or resume a queue."""
    if verb not in _QUEUE_VERBS:
        raise Http404(verb)
    act, done = _QUEUE_VERBS[verb]
    try:
        act(name, actor=actor_of(request.user))
    except UnknownQueue as error:
        raise Http404(str(error)) from None
    except JobsError as error:
        messages.warning(request, str(error))
    else:
        messages.success(request, f"Queue {name} is {done}.")
    return back(request)


@require_POST
@staff_view(may_operate)
def job_verb(request: HttpRequest, verb: str) -> HttpResponse:
    """Act on one job (``only``), or on those selected (``id``). Each is its own transaction."""
    if verb not in _JOB_VERBS:
        raise Http404(verb)
    act, done = _JOB_VERBS[verb]
    ids = [request.POST["only"]] if "only" in request.POST else request.POST.getlist("id")
    if not ids:
        messages.info(request, "Nothing was selected.")
    if len(ids) > LIMIT:
        messages.info(request, f"Only the first {LIMIT} were taken.")
    note = request.POST.get("note", "").replace("\0", "")[:500]
    act = partial(act, note=note) if verb == "discard" and note else act
    count, refusals = 0, []
    for text in ids[:LIMIT]:
        try:
            act(UUID(text), actor=actor_of(request.user))
            count += 1
        except ValueError:
            refusals.append(f"{text[:36]!r} is no job id.")
        except JobsError as error:
            refusals.append(str(error))
    if count:
        messages.success(request, f"{count} job{'s' if count > 1 else ''} {done}.")
    for refusal, times in sorted({text: refusals.count(text) for text in refusals}.items()):
        messages.warning(request, f"{times} × {refusal}" if times > 1 else refusal)
    return back(request)


def back(request: HttpRequest) -> HttpResponse:
    """Return to the page that the act was done on, which must be one of ours."""
    address = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(
        address, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        address = reverse("queues:index")
    return redirect(address)
