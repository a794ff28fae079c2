"""``/queues``: statistics, pause, resume."""

from django.http import HttpRequest
from ninja import Query, Router
from pydantic import AwareDatetime, BaseModel, ConfigDict

from jobs import operations, selectors
from jobs.api.auth import Operator, Viewer
from jobs.api.problems import REFUSALS
from jobs.permissions import actor_of
from jobs.queues import get_queue
from jobs.representation import FailureRow, QueueRow, StatsRow

router = Router(tags=["queues"])


class StatsQuery(BaseModel):
    """Of which jobs."""

    model_config = ConfigDict(extra="forbid")

    queue: str = ""
    #: Of the tasks, what ended from this minute on; otherwise all that ever ended.
    since: AwareDatetime | None = None


class Statistics(BaseModel):
    """Counts, times and failures. Times are seconds."""

    queues: list[QueueRow]
    tasks: list[StatsRow]
    #: Of the last 24 hours.
    failures: list[FailureRow]


@router.get(
    "/stats",
    auth=Viewer(),
    response={200: Statistics, **REFUSALS},
    summary="Statistics of queues and tasks",
)
def stats(request: HttpRequest, query: Query[StatsQuery]) -> Statistics:
    """Return each queue's state, how each task's attempts ended, and recent failures."""
    wanted = get_queue(query.queue).name if query.queue else ""
    return Statistics(
        queues=[
            QueueRow.of(queue)
            for queue in selectors.queue_overviews()
            if wanted in ("", queue.name)
        ],
        tasks=[
            StatsRow.model_validate(row)
            for row in selectors.job_stats(since=query.since, queue=wanted)
        ],
        failures=[
            FailureRow.model_validate(group)
            for group in selectors.recent_failures()
            if wanted in ("", group.queue)
        ],
    )


@router.post(
    "/{queue}/pause", auth=Operator(), response={200: QueueRow, **REFUSALS}, summary="Pause a queue"
)
def pause(request: HttpRequest, queue: str) -> QueueRow:
    """Stop starting jobs of the queue, until it is resumed; jobs that run are left alone."""
    operations.pause_queue(get_queue(queue).name, actor=actor_of(request.user))
    return QueueRow.of(selectors.queue_overview(queue))


@router.post(
    "/{queue}/resume",
    auth=Operator(),
    response={200: QueueRow, **REFUSALS},
    summary="Resume a queue",
)
def resume(request: HttpRequest, queue: str) -> QueueRow:
    """Start jobs of the queue again."""
    operations.resume_queue(get_queue(queue).name, actor=actor_of(request.user))
    return QueueRow.of(selectors.queue_overview(queue))
