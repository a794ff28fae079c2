"""``/workflows``: list, show, cancel."""

from typing import Annotated, Literal

from django.http import HttpRequest
from ninja import Query, Router
from pydantic import BaseModel, ConfigDict, Field

from jobs import operations, selectors
from jobs.api.auth import Operator, Viewer
from jobs.api.problems import REFUSALS
from jobs.permissions import actor_of
from jobs.representation import WorkflowDetailRow, WorkflowRow

router = Router(tags=["workflows"])


class WorkflowQuery(BaseModel):
    """Which workflows, and which page of them."""

    model_config = ConfigDict(extra="forbid")

    tenant: str = ""
    #: ``running``: something is unfinished. ``failed``: a dead part waits for a decision.
    state: Literal["", "running", "failed"] = ""
    before: str = ""
    after: str = ""
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class WorkflowPage(BaseModel):
    """Workflows, newest first. Pass ``older`` as ``before``, ``newer`` as ``after``."""

    items: list[WorkflowRow]
    older: str | None
    newer: str | None


@router.get("", auth=Viewer(), response={200: WorkflowPage, **REFUSALS}, summary="List workflows")
def list_workflows(request: HttpRequest, query: Query[WorkflowQuery]) -> WorkflowPage:
    """Return the workflows that fit the filter, newest first, each with its progress."""
    views, page = selectors.list_workflows(
        selectors.WorkflowFilter(tenant=query.tenant, state=query.state),
        before=query.before,
        after=query.after,
        limit=query.limit,
    )
    items = [WorkflowRow.of(view) for view in views]
    return WorkflowPage(items=items, older=page.older, newer=page.newer)


@router.get(
    "/{workflow_id}",
    auth=Viewer(),
    response={200: WorkflowDetailRow, **REFUSALS},
    summary="Show a workflow",
)
def show_workflow(request: HttpRequest, workflow_id: str) -> WorkflowDetailRow:
    """Return a workflow with its stages, by its id or by that of one of its jobs."""
    return WorkflowDetailRow.of(selectors.workflow_detail(workflow_id))


@router.post(
    "/{workflow_id}/cancel",
    auth=Operator(),
    response={200: WorkflowDetailRow, **REFUSALS},
    summary="Cancel a workflow",
)
def cancel_workflow(request: HttpRequest, workflow_id: str) -> WorkflowDetailRow:
    """Start nothing more of it, cancel what waits, and ask what runs to stop."""
    workflow = selectors.get_workflow(workflow_id).workflow
    operations.cancel_workflow(workflow.id, actor=actor_of(request.user))
    return WorkflowDetailRow.of(selectors.workflow_detail(workflow.id))
