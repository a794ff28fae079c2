"""Workflows as JSON, with their stages."""

from dataclasses import asdict
from typing import Any

from jobs.representation.jobs import JobRow
from jobs.representation.rows import Id, Row, Time
from jobs.selectors import Stage, WorkflowDetail, WorkflowView
from jobs.selectors.workflows import Counts


class WorkflowRow(Row):
    """A workflow, and how far it is."""

    id: Id
    name: str
    #: ``running``, ``succeeded``, ``failed`` or ``cancelled``.
    state: str
    tenant: str
    correlation_id: str
    started_by: str
    created_at: Time
    finished_at: Time | None
    cancelled_at: Time | None
    #: Jobs: those that it takes when all goes well, and how many are where.
    total: int
    done: int
    running: int
    waiting: int
    dead: int
    cancelled: int
    #: Dead jobs whose replay has taken their place.
    replaced: int

    @classmethod
    def of(cls, view: WorkflowView) -> "WorkflowRow":
        """Represent a workflow."""
        return cls(**_of_workflow(view))


class StageRow(Row):
    """Jobs of a workflow that began side by side."""

    tasks: list[str]
    is_group: bool
    done: int
    running: int
    waiting: int
    dead: int
    cancelled: int
    replaced: int
    #: Those that went wrong first; not all of a large stage.
    jobs: list[JobRow]

    @classmethod
    def of(cls, stage: Stage) -> "StageRow":
        """Represent a stage."""
        return cls(
            tasks=stage.tasks,
            is_group=stage.is_group,
            jobs=[JobRow.model_validate(job) for job in stage.jobs],
            **_counted(stage.counts),
        )


class WorkflowDetailRow(WorkflowRow):
    """A workflow with its stages, in the order in which they began."""

    stages: list[StageRow]
    #: What is still to be started, and how often.
    to_come: dict[str, int]

    @classmethod
    def of(cls, detail: WorkflowDetail) -> "WorkflowDetailRow":  # type: ignore[override] # more
        """Represent a workflow with its stages."""
        return cls(
            stages=[StageRow.of(stage) for stage in detail.stages],
            to_come=dict(detail.to_come),
            **_of_workflow(detail.view),
        )


def _of_workflow(view: WorkflowView) -> dict[str, Any]:
    workflow = view.workflow
    return {
        "id": workflow.id,
        "name": workflow.name,
        "state": view.state,
        "tenant": workflow.tenant,
        "correlation_id": workflow.correlation_id,
        "started_by": workflow.started_by,
        "created_at": workflow.created_at,
        "finished_at": view.finished_at,
        "cancelled_at": workflow.cancelled_at,
        "total": view.total,
        **_counted(view.counts),
    }


def _counted(counts: Counts) -> dict[str, int]:
    numbers = asdict(counts)
    return {"done": numbers.pop("succeeded"), **numbers}
