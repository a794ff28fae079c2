"""``/limits``: what may run how often, and how much at a time; see and change it."""

from typing import Annotated, Any, Literal

from django.http import HttpRequest
from ninja import Query, Router
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from jobs import operations, selectors
from jobs.api.auth import Operator, Viewer
from jobs.api.problems import REFUSALS
from jobs.permissions import actor_of
from jobs.queues import get_queue
from jobs.representation import LimitRow

router = Router(tags=["limits"])


class LimitQuery(BaseModel):
    """Which limits."""

    model_config = ConfigDict(extra="forbid")

    #: Its own, and those of the tasks declared on it.
    queue: str = ""


def _value(value: Any) -> Any:
    """Let pass what a limit may be: one sentence says what that is, not one for each kind."""
    is_number = type(value) is int and 0 <= value <= operations.HIGHEST_LIMIT
    if is_number or value is None or value == "default":
        return value
    raise PydanticCustomError(
        "limit",
        'expected a number from 0 to {highest}, null for no limit, or "default"',
        {"highest": operations.HIGHEST_LIMIT},
    )


class Change(BaseModel):
    """What a limit shall be."""

    model_config = ConfigDict(extra="forbid")

    #: A number; null: no limit (the command says ``off``); ``default``: as it is declared.
    value: Annotated[
        Annotated[int, Field(strict=True, ge=0, le=operations.HIGHEST_LIMIT)]
        | Literal["default"]
        | None,
        BeforeValidator(_value),
    ]


@router.get("", auth=Viewer(), response={200: list[LimitRow], **REFUSALS}, summary="List limits")
def list_limits(request: HttpRequest, query: Query[LimitQuery]) -> list[LimitRow]:
    """Return every declared limit: its value, who set it, what passes and what waits."""
    wanted = get_queue(query.queue).name if query.queue else ""
    return [LimitRow.of(view) for view in selectors.list_limits(queue=wanted)]


# Names of limits have slashes: email/rate/to.
@router.post(
    "/{path:name}",
    auth=Operator(),
    response={200: LimitRow, **REFUSALS},
    summary="Change a limit",
)
def change_limit(request: HttpRequest, name: str, change: Change) -> LimitRow:
    """Change a limit for all workers, within a second, or take the change back."""
    actor = actor_of(request.user)
    if change.value == "default":
        operations.reset_limit(name, actor=actor)
    else:
        operations.set_limit(name, change.value, actor=actor)
    return LimitRow.of(selectors.get_limit(name))
