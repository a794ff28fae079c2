"""``/dead-letters``: list, replay one or many, discard."""

from typing import Annotated, Literal
from uuid import UUID

from django.http import HttpRequest
from ninja import Query, Router
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StrictBool
from pydantic_core import PydanticCustomError

from jobs import operations, replays, selectors
from jobs.api.auth import Operator, Viewer
from jobs.api.problems import REFUSALS
from jobs.models import DeadLetter, Job
from jobs.permissions import actor_of
from jobs.representation import DeadLetterRow, JobRow, ReplayRow

router = Router(tags=["dead letters"])


def _whole(text: str) -> str:
    """Let pass what UTF-8 can hold: JSON may tell of half a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PydanticCustomError("text", "expected text that UTF-8 can hold") from None
    return text


Text = Annotated[str, AfterValidator(_whole)]


class Wanted(BaseModel):
    """Which dead letters. Fields that are not given do not restrict."""

    model_config = ConfigDict(extra="forbid")

    queue: Text = ""
    task: Text = ""
    tenant: Text = ""
    reason: Literal["", "exhausted", "permanent", "crashed"] = ""
    error_type: Text = ""
    #: Died at or after this instant, and before that one.
    died_after: AwareDatetime | None = None
    died_before: AwareDatetime | None = None


class DeadLetterQuery(Wanted):
    """Which dead letters, and which page of them."""

    #: Those that a person has decided about, instead of those that wait for it.
    decided: bool = False
    before: str = ""
    after: str = ""
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class ReplayOrder(Wanted):
    """Which of the dead letters that wait for a decision are replayed, and how."""

    #: Any of these jobs.
    ids: Annotated[list[UUID], Field(max_length=1_000)] = []
    #: Nothing restricts, and that is meant.
    all: StrictBool = False
    #: One first; the others when it has succeeded.
    canary: StrictBool = True


class DeadLetterPage(BaseModel):
    """Dead letters, latest first. Pass ``older`` as ``before``, ``newer`` as ``after``."""

    items: list[DeadLetterRow]
    older: str | None
    newer: str | None


class Decision(BaseModel):
    """Why, for the audit log."""

    model_config = ConfigDict(extra="forbid")

    note: Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")] = ""


@router.get(
    "", auth=Viewer(), response={200: DeadLetterPage, **REFUSALS}, summary="List dead letters"
)
def list_dead_letters(request: HttpRequest, query: Query[DeadLetterQuery]) -> DeadLetterPage:
    """Return the dead letters that fit the filter, the latest first."""
    wanted = selectors.DeadLetterFilter(**query.model_dump(exclude={"before", "after", "limit"}))
    page = selectors.list_dead_letters(
        wanted, before=query.before, after=query.after, limit=query.limit
    )
    items = [DeadLetterRow.model_validate(letter) for letter in page.items]
    return DeadLetterPage(items=items, older=page.older, newer=page.newer)


@router.post(
    "/replay",
    auth=Operator(),
    response={202: ReplayRow, **REFUSALS},
    summary="Replay many dead letters",
)
def replay_many(request: HttpRequest, order: ReplayOrder) -> tuple[int, ReplayRow]:
    """Begin to replay those that fit: one first, the others when that one has succeeded."""
    given = order.model_dump(exclude={"all", "canary", "ids"})
    batch = replays.replay_many(
        selectors.DeadLetterFilter(**given, ids=tuple(order.ids)),
        actor=actor_of(request.user),
        canary=order.canary,
        everything=order.all,
    )
    return 202, ReplayRow.model_validate(batch)


@router.post(
    "/{job_id}/replay",
    auth=Operator(),
    response={201: JobRow, **REFUSALS},
    summary="Replay a dead letter",
)
def replay(request: HttpRequest, job_id: str) -> tuple[int, JobRow]:
    """Enqueue a new job with the dead one's arguments; returns the new job."""
    letter = _letter(job_id)
    job = operations.replay(letter.job_id, actor=actor_of(request.user))
    return 201, JobRow.model_validate(job)


@router.post(
    "/{job_id}/discard",
    auth=Operator(),
    response={200: DeadLetterRow, **REFUSALS},
    summary="Discard a dead letter",
)
def discard(request: HttpRequest, job_id: str, decision: Decision | None = None) -> DeadLetterRow:
    """Decide that nothing more is done about it; it is kept, with the decision."""
    letter = _letter(job_id)
    note = decision.note if decision else ""
    operations.discard(letter.job_id, actor=actor_of(request.user), note=note)
    return DeadLetterRow.model_validate(_letter(job_id))


def _letter(job_id: str) -> DeadLetter:
    try:
        return DeadLetter.objects.get(job_id=selectors.get_job(job_id).id)
    except (Job.DoesNotExist, DeadLetter.DoesNotExist):
        raise DeadLetter.DoesNotExist(f"There is no dead letter {job_id}.") from None
