"""``/replays``: how replays of many dead letters go. ``/dead-letters/replay`` begins them."""

from django.http import HttpRequest
from ninja import Router

from jobs import replays, selectors
from jobs.api.auth import Operator, Viewer
from jobs.api.problems import REFUSALS
from jobs.permissions import actor_of
from jobs.representation import ReplayRow

router = Router(tags=["replays"])


@router.get("", auth=Viewer(), response={200: list[ReplayRow], **REFUSALS}, summary="List replays")
def list_replays(request: HttpRequest) -> list[ReplayRow]:
    """Return the latest 50 replays of many dead letters, the latest first."""
    return [ReplayRow.model_validate(view.batch) for view in selectors.list_replays()]


@router.get(
    "/{replay_id}", auth=Viewer(), response={200: ReplayRow, **REFUSALS}, summary="Show a replay"
)
def show_replay(request: HttpRequest, replay_id: int) -> ReplayRow:
    """Return how far it is: how many were replayed, and how many refused for what reason."""
    return ReplayRow.model_validate(selectors.get_replay(replay_id).batch)


@router.post(
    "/{replay_id}/stop",
    auth=Operator(),
    response={200: ReplayRow, **REFUSALS},
    summary="Stop a replay",
)
def stop_replay(request: HttpRequest, replay_id: int) -> ReplayRow:
    """Replay no more of its letters; those that were replayed run on."""
    replays.stop(selectors.get_replay(replay_id).batch.id, actor=actor_of(request.user))
    return ReplayRow.model_validate(selectors.get_replay(replay_id).batch)
