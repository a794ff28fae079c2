"""How jobs and their like look as JSON, in the API and in every command with ``--json``.

Ids are strings, times ISO 8601 with an offset, durations seconds. Secrets are masked, because the
rows hold nothing else.
"""

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
from jobs.representation.workflows import StageRow, WorkflowDetailRow, WorkflowRow
from jobs.selectors import (
    DeadLetterGroup,
    FailureGroup,
    JobDetail,
    LimitView,
    QueueOverview,
    TaskStats,
    WorkerView,
    WorkflowDetail,
    WorkflowView,
)

__all__ = [
    "AttemptRow",
    "AuditRow",
    "DeadLetterGroupRow",
    "DeadLetterRow",
    "EnqueuedRow",
    "FailureRow",
    "JobDetailRow",
    "JobRow",
    "LimitRow",
    "QueueRow",
    "ReplayRow",
    "RunningRow",
    "StageRow",
    "StatsRow",
    "WorkerRow",
    "WorkflowDetailRow",
    "WorkflowRow",
    "as_json",
    "row_of",
]

_ROWS: dict[type, type[Row]] = {
    Job: JobRow,
    DeadLetter: DeadLetterRow,
    DeadLetterGroup: DeadLetterGroupRow,
    ReplayBatch: ReplayRow,
    AuditEntry: AuditRow,
    FailureGroup: FailureRow,
    TaskStats: StatsRow,
}


def row_of(item: object) -> Row:
    """Represent whatever a selector returned; raises ``KeyError`` for anything else."""
    match item:
        case JobDetail():
            return JobDetailRow.of(item)
        case LimitView():
            return LimitRow.of(item)
        case QueueOverview():
            return QueueRow.of(item)
        case WorkerView():
            return WorkerRow.of(item)
        case WorkflowView():
            return WorkflowRow.of(item)
        case WorkflowDetail():
            return WorkflowDetailRow.of(item)
        case _:
            return _ROWS[type(item)].model_validate(item)


def as_json(item: object) -> dict[str, Any]:
    """Represent whatever a selector returned as what ``json.dumps`` takes."""
    return row_of(item).model_dump(mode="json")
