"""Replaying many dead letters: which ones, how far it is, and stopping it."""

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from jobs import replays, selectors
from jobs.dashboard.filters import DeadLetterFilterForm
from jobs.dashboard.pages import render, staff_view
from jobs.errors import JobsError
from jobs.models import ReplayBatch
from jobs.permissions import actor_of, may_operate, may_view
from jobs.selectors import DeadLetterFilter


@require_safe
@staff_view(may_view)
def replay_list(request: HttpRequest) -> HttpResponse:
    """Show the latest replays, and how far they are."""
    context = {
        "title": "Replays",
        "replays": selectors.list_replays(),
        "pending": selectors.count_dead_letters(),
    }
    return render(request, "replays", context)


@require_safe
@staff_view(may_view)
def replay(request: HttpRequest, replay_id: int) -> HttpResponse:
    """Show one replay: which letters, the first one, what was refused and why."""
    try:
        view = selectors.get_replay(replay_id)
    except ReplayBatch.DoesNotExist as error:
        raise Http404(str(error)) from None
    return render(request, "replay", {"title": f"Replay {replay_id}", "view": view})


@require_safe
@staff_view(may_operate)
def prepare(request: HttpRequest) -> HttpResponse:
    """Show which dead letters would be replayed; the form on it begins."""
    form = DeadLetterFilterForm(_undecided(request.GET))
    wanted = form.wanted()
    groups = selectors.group_dead_letters(wanted)
    context = {
        "title": "Replay dead letters",
        "form": form,
        "groups": groups,
        "total": sum(group.count for group in groups),
        "restricts": bool(wanted.as_json()),
    }
    return render(request, "replay_new", context, status=200 if form.is_valid() else 422)


@require_POST
@staff_view(may_operate)
def start(request: HttpRequest) -> HttpResponse:
    """Begin to replay the letters that were selected, or that fit the filter."""
    form = DeadLetterFilterForm(_undecided(request.POST))
    ids, problem = _selected(request)
    # A filter that does not fit must not be left out here: more would be replayed than was meant.
    if problem or not form.is_valid():
        messages.warning(request, problem or "The filter does not fit; nothing was replayed.")
        return redirect("queues:dead-letters")
    wanted = DeadLetterFilter(**form.given(), ids=ids)
    try:
        batch = replays.replay_many(
            wanted,
            actor=actor_of(request.user),
            canary="at-once" not in request.POST,
            everything="all" in request.POST,
        )
    except JobsError as error:
        messages.warning(request, str(error))
        return redirect("queues:dead-letters")
    return redirect("queues:replay", replay_id=batch.id)


@require_POST
@staff_view(may_operate)
def stop(request: HttpRequest, replay_id: int) -> HttpResponse:
    """Replay no more letters."""
    try:
        replays.stop(replay_id, actor=actor_of(request.user))
    except JobsError as error:
        messages.warning(request, str(error))
    else:
        messages.success(request, "The replay is stopped; what was replayed runs on.")
    return redirect(reverse("queues:replay", args=[replay_id]))


def _selected(request: HttpRequest) -> tuple[tuple[UUID, ...], str]:
    """Return the ids that were selected, and what does not fit about them."""
    texts = request.POST.getlist("id")
    if "selected" in request.POST and not texts:
        return (), "Nothing was selected."
    try:
        return tuple(UUID(text) for text in texts), ""
    except ValueError:
        return (), "What was selected is no job id."


def _undecided(given: QueryDict) -> QueryDict:
    """Return the filter without the choice of those that are decided about."""
    data = given.copy()
    data.pop("decided", None)
    return data
