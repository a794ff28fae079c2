"""Jobs of a workflow that have just reached a final state, as the next steps need to know them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from jobs.sql import fetch
from jobs.states import FINAL, State


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A job that ended, and that something waits for."""

    id: UUID
    task: str
    state: State
    root_id: UUID
    parent_id: UUID | None
    group_id: UUID | None
    group_index: int | None
    canvas: dict[str, Any]
    payload: dict[str, Any]
    result: Any
    tenant: str
    correlation_id: str
    error_type: str
    error: str
    spent: int  # failures and crashes
    #: A person cancelled its workflow: nothing more of it is started.
    stopped: bool

    @property
    def counts(self) -> bool:
        """Say whether a chord counts it."""
        return bool(self.canvas.get("chord"))

    @property
    def told_error(self) -> str:
        """Its error in one line, with its type."""
        return f"{self.error_type}: {self.error}"


# The lock lets a cancellation of the workflow wait for what is being started, and no longer.
_ENDED = """
    SELECT j.id, j.task, j.state, j.root_id, j.parent_id, j.group_id, j.group_index, j.canvas,
           j.payload, j.result, j.tenant, j.correlation_id, j.error_type, j.error,
           j.failures + j.crashes, w.cancelled_at IS NOT NULL
    FROM jobs_job AS j JOIN jobs_workflow AS w ON w.id = j.root_id
    WHERE j.id = ANY(%s::uuid[]) AND j.state = ANY(%s) AND j.canvas IS NOT NULL
    ORDER BY j.root_id, j.finished_at, j.id
    FOR SHARE OF w
"""

_TRACEBACK = (
    "SELECT traceback FROM jobs_attempt WHERE job_id = %s::uuid ORDER BY number DESC LIMIT 1"
)


def ended_jobs(ids: Sequence[UUID]) -> list[Ended]:
    """Return those of these jobs that are final and that something waits for."""
    if not ids:
        return []
    rows = fetch(_ENDED, [[str(id_) for id_ in ids], sorted(FINAL)])
    return [
        Ended(
            id=row[0],
            task=row[1],
            state=State(row[2]),
            root_id=row[3],
            parent_id=row[4],
            group_id=row[5],
            group_index=row[6],
            canvas=_loaded(row[7]),
            payload=_loaded(row[8]),
            result=_loaded(row[9]),
            tenant=row[10],
            correlation_id=row[11],
            error_type=row[12],
            error=row[13],
            spent=row[14],
            stopped=row[15],
        )
        for row in rows
    ]


def traceback_of(job_id: UUID) -> str:
    """Return where the job's last attempt failed; empty when nothing is known."""
    rows = fetch(_TRACEBACK, [str(job_id)])
    return str(rows[0][0]) if rows else ""


def _loaded(value: Any) -> Any:
    return None if value is None else json.loads(value)
