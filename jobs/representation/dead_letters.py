"""Dead letters as JSON, one by one and many alike, and replays of many."""

from typing import Any

from jobs.representation.rows import Id, Row, Time


class DeadLetterRow(Row):
    """A job that died, why, and what a person decided."""

    job_id: Id
    queue: str
    task: str
    tenant: str
    reason: str
    error_type: str
    error: str
    died_at: Time
    decision: str
    decided_by: str
    decided_at: Time | None
    replayed_as_id: Id | None


class DeadLetterGroupRow(Row):
    """Dead letters that died alike."""

    task: str
    queue: str
    reason: str
    error_type: str
    count: int
    oldest: Time
    newest: Time


class ReplayRow(Row):
    """A replay of many dead letters, and how far it is."""

    id: int
    #: ``canary``, ``running``, ``done`` or ``stopped``.
    state: str
    #: Which dead letters.
    filters: dict[str, Any]
    total: int
    replayed: int
    refused: int
    #: How many were refused for each reason.
    refusals: dict[str, int]
    #: The job that went first; the job that does the rest.
    canary_id: Id | None
    job_id: Id | None
    created_by: str
    created_at: Time
    finished_at: Time | None
    note: str
