"""``/tasks``: which there are, and run one."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from django.http import HttpRequest
from ninja import Router
from pydantic import BaseModel, ConfigDict, Field

from jobs.api.auth import Operator, Viewer
from jobs.api.problems import REFUSALS, Unfit
from jobs.definition import LONGEST_WAIT
from jobs.enqueue import enqueue_by_name
from jobs.errors import UnknownQueue
from jobs.models import Priority
from jobs.representation import EnqueuedRow
from jobs.task import registry

router = Router(tags=["tasks"])

_LONGEST = LONGEST_WAIT.total_seconds()


class TaskRow(BaseModel):
    """A task that can be run, and the JSON schema of its arguments."""

    name: str
    queue: str
    description: str
    arguments: dict[str, Any]


class Order(BaseModel):
    """A call of a task."""

    model_config = ConfigDict(extra="forbid")

    #: The arguments.
    payload: dict[str, Any] = {}
    #: Instead of the task's own.
    queue: str | None = None
    priority: Literal["critical", "high", "normal", "low"] | None = None
    tenant: Annotated[str, Field(max_length=64, pattern=r"^[^\x00]*$")] | None = None
    #: Not before this many seconds from now (366 days at most).
    delay_seconds: Annotated[float, Field(ge=0, le=_LONGEST)] = 0
    #: Cancelled if it still waits so many seconds from now (366 days at most).
    expires_seconds: Annotated[float, Field(gt=0, le=_LONGEST)] | None = None


@router.get("", auth=Viewer(), response={200: list[TaskRow], **REFUSALS}, summary="List tasks")
def list_tasks(request: HttpRequest) -> list[TaskRow]:
    """Return every declared task."""
    definitions = [task.definition for _, task in sorted(registry().items())]
    return [
        TaskRow(
            name=item.name,
            queue=item.queue,
            description=item.description,
            arguments=item.arguments.model_json_schema(),
        )
        for item in definitions
    ]


@router.post(
    "/{name}/enqueue",
    auth=Operator(),
    response={201: EnqueuedRow, 200: EnqueuedRow, **REFUSALS},
    summary="Run a task",
)
def enqueue(request: HttpRequest, name: str, order: Order) -> tuple[int, EnqueuedRow]:
    """Enqueue a job of the task; the arguments are checked first, field by field.

    200 instead of 201, and ``is_twin``: this job was there already.
    """
    try:
        job = enqueue_by_name(
            name,
            order.payload,
            queue=order.queue,
            priority=Priority[order.priority.upper()] if order.priority else None,
            tenant=order.tenant,
            delay=timedelta(seconds=order.delay_seconds) if order.delay_seconds else None,
            expires=timedelta(seconds=order.expires_seconds) if order.expires_seconds else None,
        )
    except UnknownQueue as error:
        raise Unfit("queue", str(error)) from None
    return 200 if job.is_twin else 201, EnqueuedRow.of(job)
