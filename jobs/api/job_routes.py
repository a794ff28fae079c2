"""``/jobs``: list, show, cancel, retry, remove."""

from typing import Annotated, Literal

from django.http import HttpRequest
from ninja import Query, Router
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from jobs import operations, selectors
from jobs.api.auth import Operator, Viewer
from jobs.api.problems import REFUSALS
from jobs.errors import NotPossible
from jobs.models import Job
from jobs.permissions import actor_of
from jobs.queues import get_queue
from jobs.representation import JobDetailRow, JobRow
from jobs.states import State

router = Router(tags=["jobs"])

StateName = Literal["scheduled", "available", "queued", "running", "succeeded", "cancelled", "dead"]


class JobQuery(BaseModel):
    """Which jobs, and which page of them. Fields that are not given do not restrict."""

    model_config = ConfigDict(extra="forbid")

    task: str = ""
    state: list[StateName] = []
    tenant: str = ""
    #: An id, the beginning of one, or a correlation id.
    q: str = ""
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    before: str = ""
    after: str = ""
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class JobPage(BaseModel):
    """Jobs, newest first. Pass ``older`` as ``before``, ``newer`` as ``after``."""

    items: list[JobRow]
    older: str | None
    newer: str | None


@router.get("/{queue}", auth=Viewer(), response={200: JobPage, **REFUSALS}, summary="List jobs")
def list_jobs(request: HttpRequest, queue: str, query: Query[JobQuery]) -> JobPage:
    """Return the queue's jobs that fit the filter, newest first."""
    wanted = selectors.JobFilter(
        queue=get_queue(queue).name,
        task=query.task,
        states=tuple(query.state),
        tenant=query.tenant,
        text=query.q,
        since=query.since,
        until=query.until,
    )
    page = selectors.list_jobs(wanted, before=query.before, after=query.after, limit=query.limit)
    items = [JobRow.model_validate(job) for job in page.items]
    return JobPage(items=items, older=page.older, newer=page.newer)


@router.get(
    "/{queue}/{job_id}",
    auth=Viewer(),
    response={200: JobDetailRow, **REFUSALS},
    summary="Show a job",
)
def show_job(request: HttpRequest, queue: str, job_id: str) -> JobDetailRow:
    """Return the job with its attempts and its audit entries."""
    return _shown(_job(queue, job_id))


@router.post(
    "/{queue}/{job_id}/cancel",
    auth=Operator(),
    response={200: JobDetailRow, **REFUSALS},
    summary="Cancel a job",
)
def cancel_job(request: HttpRequest, queue: str, job_id: str) -> JobDetailRow:
    """Cancel a job that waits; ask a job that runs to stop."""
    job = _job(queue, job_id)
    operations.cancel(job.id, actor=actor_of(request.user))
    return _shown(job)


@router.post(
    "/{queue}/{job_id}/retry",
    auth=Operator(),
    response={200: JobDetailRow, **REFUSALS},
    summary="Retry a job",
)
def retry_job(request: HttpRequest, queue: str, job_id: str) -> JobDetailRow:
    """Run a scheduled job now, or replay a dead one; returns the job that will run."""
    job, actor = _job(queue, job_id), actor_of(request.user)
    match job.state:
        case State.SCHEDULED:
            operations.hasten(job.id, actor=actor)
            return _shown(job)
        case State.DEAD:
            return _shown(operations.replay(job.id, actor=actor))
        case _:
            raise NotPossible(f"The job is {job.state}; only scheduled and dead jobs are retried.")


@router.post(
    "/{queue}/{job_id}/remove",
    auth=Operator(),
    response={200: JobDetailRow, **REFUSALS},
    summary="Remove a job",
)
def remove_job(request: HttpRequest, queue: str, job_id: str) -> JobDetailRow:
    """Cancel a job that waits, or discard a dead one. Its row and its history are kept."""
    job, actor = _job(queue, job_id), actor_of(request.user)
    match job.state:
        case State.SCHEDULED | State.AVAILABLE | State.QUEUED:
            operations.cancel(job.id, actor=actor)
        case State.DEAD:
            operations.discard(job.id, actor=actor)
        case _:
            raise NotPossible(f"The job is {job.state}; only waiting and dead jobs are removed.")
    return _shown(job)


def _job(queue: str, job_id: str) -> Job:
    get_queue(queue)
    try:
        job = selectors.get_job(job_id)
    except Job.DoesNotExist:
        job = None
    if job is None or job.queue != queue:
        raise Job.DoesNotExist(f"There is no job {job_id} on queue {queue}.")
    return job


def _shown(job: Job) -> JobDetailRow:
    return JobDetailRow.of(selectors.job_detail(job.id))
