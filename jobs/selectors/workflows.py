"""Workflows as a whole: how far each is, by the rows of its jobs."""

import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from django.db.models import Exists, OuterRef, Q

from jobs import signatures
from jobs.models import DeadLetter, Group, Job, Workflow
from jobs.selectors.pages import Page, equal_to, keyset_page
from jobs.selectors.sql import fetch
from jobs.states import UNFINISHED, State

WorkflowState = Literal["running", "succeeded", "failed", "cancelled"]

#: Jobs of one stage that are shown, and stages of one workflow.
SHOWN_JOBS, SHOWN_STAGES = 20, 200
#: Jobs that are asked what is to follow them.
_ASKED = 500

#: Says of the job ``j``, with its dead letter ``l``, that a replay has taken its place.
_REPLACED = "COALESCE(l.decision, '') = 'replayed'"
_COUNTS = f"""
    count(*) FILTER (WHERE j.state = 'succeeded'),
    count(*) FILTER (WHERE j.state = 'running'),
    count(*) FILTER (WHERE j.state IN ('scheduled', 'available', 'queued')),
    count(*) FILTER (WHERE j.state = 'dead' AND NOT {_REPLACED}),
    count(*) FILTER (WHERE j.state = 'cancelled'),
    count(*) FILTER (WHERE {_REPLACED})
"""
_FROM = "FROM jobs_job AS j LEFT JOIN jobs_deadletter AS l ON l.job_id = j.id"

_BY_WORKFLOW = f"""
    SELECT j.root_id, max(j.finished_at), {_COUNTS} {_FROM}
    WHERE j.root_id = ANY(%(ids)s) GROUP BY j.root_id
"""

# Jobs that began side by side: of one group, or of one task and started by the same.
_STAGES = f"""
    SELECT COALESCE(j.group_id::text, concat(j.parent_id, ' ', j.task)) AS stage,
           (array_agg(DISTINCT j.task))[1:5], bool_or(j.group_id IS NOT NULL),
           min(j.enqueued_at) AS began, {_COUNTS} {_FROM}
    WHERE j.root_id = %(id)s GROUP BY stage
    ORDER BY began, min(j.finished_at), min(j.id::text) LIMIT %(stages)s
"""
_OF_STAGES = f"""
    SELECT stage, id FROM (
        SELECT COALESCE(j.group_id::text, concat(j.parent_id, ' ', j.task)) AS stage, j.id,
               row_number() OVER (
                   PARTITION BY COALESCE(j.group_id::text, concat(j.parent_id, ' ', j.task))
                   ORDER BY array_position(
                       ARRAY['dead', 'cancelled', 'running', 'scheduled', 'available', 'queued',
                             'succeeded'], j.state::text),
                       j.group_index, j.id) AS place
        {_FROM} WHERE j.root_id = %(id)s AND NOT {_REPLACED}) AS placed
    WHERE place <= %(jobs)s ORDER BY place
"""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many jobs are where; one that a replay replaced counts as ``replaced`` alone."""

    succeeded: int = 0
    running: int = 0
    waiting: int = 0
    dead: int = 0
    cancelled: int = 0
    replaced: int = 0

    @property
    def all(self) -> int:
        """All of them but those that were replaced."""
        return self.succeeded + self.running + self.waiting + self.dead + self.cancelled


@dataclass(frozen=True, kw_only=True)
class WorkflowView:
    """A workflow, and how far it is."""

    workflow: Workflow
    counts: Counts
    #: When the last of its jobs ended; None while one is unfinished.
    finished_at: datetime | None

    @property
    def state(self) -> WorkflowState:
        """Failed as soon as a part is dead or cancelled and not replayed, whatever goes on."""
        if self.workflow.cancelled_at is not None:
            return "cancelled"
        if self.counts.dead or self.counts.cancelled:
            return "failed"
        if self.counts.running or self.counts.waiting:
            return "running"
        return "succeeded"

    @property
    def total(self) -> int:
        """The jobs it takes: those known when it was started, or more, such as errbacks."""
        return max(self.workflow.total, self.counts.all)

    @property
    def progress(self) -> dict[str, Any]:
        """How many are done, in the form of a job's progress."""
        return {"done": self.counts.succeeded, "total": self.total, "note": ""}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Jobs of a workflow that began side by side."""

    tasks: list[str]
    #: Whether they are a group, or the parts of one.
    is_group: bool
    counts: Counts
    #: The jobs that went wrong first, then those that run; at most :data:`SHOWN_JOBS`, and none
    #: that a replay replaced.
    jobs: list[Job] = field(default_factory=list)

    @property
    def progress(self) -> dict[str, Any]:
        """How many are done, in the form of a job's progress."""
        return {"done": self.counts.succeeded, "total": self.counts.all, "note": ""}


@dataclass(frozen=True, kw_only=True)
class WorkflowDetail:
    """A workflow with its stages, in the order in which they began."""

    view: WorkflowView
    stages: list[Stage]
    #: What is still to be started, in words, and how often.
    to_come: list[tuple[str, int]]


@dataclass(frozen=True, kw_only=True)
class WorkflowFilter:
    """Which workflows; empty fields do not restrict."""

    tenant: str = ""
    #: ``running``: something is unfinished. ``failed``: a dead part waits for a decision.
    state: Literal["", "running", "failed"] = ""

    def condition(self) -> Q:
        """Return the filter as a condition on :class:`~jobs.models.Workflow`."""
        condition = equal_to(tenant=self.tenant)
        parts = Job.objects.filter(root_id=OuterRef("id"))
        if self.state == "running":
            condition &= Q(Exists(parts.filter(state__in=UNFINISHED)))
        if self.state == "failed":
            condition &= Q(Exists(parts.filter(state=State.DEAD, dead_letter__decision="")))
        return condition


def list_workflows(
    wanted: WorkflowFilter | None = None, *, before: str = "", after: str = "", limit: int = 50
) -> tuple[list[WorkflowView], Page[Workflow]]:
    """Return a page of workflows, the newest first; raises :class:`BadCursor`."""
    rows = Workflow.objects.filter((wanted or WorkflowFilter()).condition())
    page = keyset_page(rows, ("id",), before=before, after=after, limit=limit)
    return _views(page.items), page


def get_workflow(workflow_id: uuid.UUID | str) -> WorkflowView:
    """Return a workflow by its id, or by that of a job of it.

    Raises:
        Workflow.DoesNotExist: there is none, or what was given is no id.
    """
    try:
        key = workflow_id if isinstance(workflow_id, uuid.UUID) else uuid.UUID(workflow_id)
    except ValueError:
        raise Workflow.DoesNotExist(f"There is no workflow {workflow_id}.") from None
    root = Job.objects.filter(id=key).values_list("root_id", flat=True).first()
    workflow = Workflow.objects.filter(id=root or key).first()
    if workflow is None:
        raise Workflow.DoesNotExist(f"There is no workflow {workflow_id}.")
    (view,) = _views([workflow])
    return view


def workflow_detail(workflow_id: uuid.UUID | str) -> WorkflowDetail:
    """Return a workflow with its stages; raises ``Workflow.DoesNotExist``."""
    view = get_workflow(workflow_id)
    id_ = view.workflow.id
    members: dict[str, list[uuid.UUID]] = {}
    for stage, job_id in fetch(_OF_STAGES, {"id": id_, "jobs": SHOWN_JOBS}):
        members.setdefault(stage, []).append(job_id)
    wanted = [job_id for ids in members.values() for job_id in ids]
    jobs = Job.objects.defer("secrets", "result", "canvas").in_bulk(wanted)
    stages = [
        Stage(
            tasks=row[1],
            is_group=row[2],
            counts=_counts(row[4:]),
            jobs=[jobs[job_id] for job_id in members.get(row[0], []) if job_id in jobs],
        )
        for row in fetch(_STAGES, {"id": id_, "stages": SHOWN_STAGES})
    ]
    return WorkflowDetail(view=view, stages=stages, to_come=_to_come(view.workflow))


def _views(workflows: list[Workflow]) -> list[WorkflowView]:
    rows = {
        row[0]: row[1:]
        for row in fetch(_BY_WORKFLOW, {"ids": [workflow.id for workflow in workflows]})
    }
    return [_view(workflow, rows.get(workflow.id)) for workflow in workflows]


def _view(workflow: Workflow, row: tuple[Any, ...] | None) -> WorkflowView:
    counts = _counts(row[1:]) if row else Counts()
    unfinished = counts.running or counts.waiting
    return WorkflowView(
        workflow=workflow,
        counts=counts,
        finished_at=row[0] if row and not unfinished else None,
    )


def _counts(row: tuple[Any, ...]) -> Counts:
    names = ("succeeded", "running", "waiting", "dead", "cancelled", "replaced")
    return Counts(**dict(zip(names, row, strict=True)))


def _to_come(workflow: Workflow) -> list[tuple[str, int]]:
    """Tell what its unfinished and dead jobs and groups are still to start."""
    if workflow.cancelled_at is not None:
        return []
    replaced = DeadLetter.objects.filter(job=OuterRef("id"), decision=DeadLetter.Decision.REPLAYED)
    waited_for = (
        Job.objects.filter(root_id=workflow.id, canvas__isnull=False)
        .exclude(state=State.SUCCEEDED)
        .exclude(Exists(replaced))
        .order_by("enqueued_at", "id")
        .values_list("canvas", flat=True)[:_ASKED]
    )
    told: Counter[str] = Counter()
    for canvas in waited_for:
        followers = [*reversed((canvas or {}).get("chain", [])), *(canvas or {}).get("link", [])]
        told.update(signatures.told(follower) for follower in followers)
    groups = Group.objects.filter(root_id=workflow.id, pending__gt=0).order_by("created_at", "id")
    told.update(signatures.told(group.body) for group in groups[:_ASKED])
    return list(told.items())
