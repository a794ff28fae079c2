"""How jobs and their like look as JSON, in the API and in every command with ``--json``.

Ids are strings, times ISO 8601 with an offset, durations seconds. Secrets are masked, because the
rows hold nothing else.
"""

from collections.abc import Callable
from typing import Any

from jobs.models import AuditEntry, DeadLetter, Job, ReplayBatch
from jobs.representation.dead_letters import DeadLetterGroupRow, DeadLetterRow, ReplayRow
from jobs.representation.jobs import AttemptRow, AuditRow, EnqueuedRow, JobDetailRow, JobRow
from jobs.representation.queues import (
    FailureRow,
    LimitRow,
    QueueRow,
    RunningRow,
    StatsRow,
    WorkerRow,
)
from jobs.representation.rows import Row
from jobs.representation.runs import RunRow, ToldRow, TrialRow
from jobs.representation.schedules import (
    CanaryRow,
    FiringRow,
    InstantRow,
    ScheduleDetailRow,
    ScheduleHealthRow,
    ScheduleRow,
)
from jobs.representation.workflows import StageRow, WorkflowDetailRow, WorkflowRow
from jobs.schedules.by_hand import Run, Trial
from jobs.selectors import (
    DeadLetterGroup,
    FailureGroup,
    JobDetail,
    LimitView,
    QueueOverview,
    ScheduleHealth,
    ScheduleView,
    TaskStats,
    WorkerView,
    WorkflowDetail,
    WorkflowView,
)

__all__ = [
    "AttemptRow",
    "AuditRow",
    "CanaryRow",
    "DeadLetterGroupRow",
    "DeadLetterRow",
    "EnqueuedRow",
    "FailureRow",
    "FiringRow",
    "InstantRow",
    "JobDetailRow",
    "JobRow",
    "LimitRow",
    "QueueRow",
    "ReplayRow",
    "RunRow",
    "RunningRow",
    "ScheduleDetailRow",
    "ScheduleHealthRow",
    "ScheduleRow",
    "StageRow",
    "StatsRow",
    "ToldRow",
    "TrialRow",
    "WorkerRow",
    "WorkflowDetailRow",
    "WorkflowRow",
    "as_json",
    "row_of",
]

_ROWS: dict[type, Callable[[Any], Row]] = {
    Job: JobRow.model_validate,
    JobDetail: JobDetailRow.of,
    DeadLetter: DeadLetterRow.model_validate,
    DeadLetterGroup: DeadLetterGroupRow.model_validate,
    ReplayBatch: ReplayRow.model_validate,
    AuditEntry: AuditRow.model_validate,
    FailureGroup: FailureRow.model_validate,
    TaskStats: StatsRow.model_validate,
    LimitView: LimitRow.of,
    QueueOverview: QueueRow.of,
    Run: RunRow.of,
    ScheduleHealth: ScheduleHealthRow.of,
    ScheduleView: ScheduleRow.of,
    Trial: TrialRow.of,
    WorkerView: WorkerRow.of,
    WorkflowView: WorkflowRow.of,
    WorkflowDetail: WorkflowDetailRow.of,
}


def row_of(item: object) -> Row:
    """Represent whatever a selector returned; raises ``KeyError`` for anything else."""
    return _ROWS[type(item)](item)


def as_json(item: object) -> dict[str, Any]:
    """Represent whatever a selector returned as what ``json.dumps`` takes."""
    return row_of(item).model_dump(mode="json")
