"""What goes into the moves of :mod:`jobs.transitions`, and what comes out of them."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from jobs.models import Attempt
from jobs.states import TRANSITIONS, Move, State


@dataclass(kw_only=True)  # frozen, it would take half as long again to make, for each job
class NewJob:
    """A job about to be inserted. ``run_at`` or ``delay`` in seconds, or now."""

    id: str
    task: str
    queue: str
    priority: int
    payload: dict[str, Any]
    secrets: str | None = None  # base64
    tenant: str = ""
    correlation_id: str
    enqueued_by: str
    replay_of: str | None = None
    max_attempts: int
    timeout: int  # seconds
    run_at: str | None = None  # ISO 8601
    delay: float = 0.0
    unique_key: str = ""
    #: An equal job counts for so many seconds from its enqueueing; None: while it is unfinished.
    unique_period: float | None = None
    expires_at: str | None = None  # ISO 8601
    expires_in: float | None = None  # seconds
    gates: list[str] | None = None
    root_id: str | None = None
    parent_id: str | None = None
    group_id: str | None = None
    group_index: int | None = None
    canvas: dict[str, Any] | None = None


@dataclass(kw_only=True)  # as above
class Inserted:
    """What the database decided about a new job."""

    id: UUID
    state: State
    scheduled_at: datetime
    enqueued_at: datetime
    expires_at: datetime | None
    seat: int


@dataclass(kw_only=True)  # as above
class Claimed:
    """A job that this process, and no other, runs now."""

    id: UUID
    task: str
    queue: str
    payload_json: str
    secrets: bytes | None
    tenant: str
    correlation_id: str
    attempt: int
    failures: int
    crashes: int
    max_attempts: int
    timeout: int  # seconds
    lease: UUID
    waited: float  # seconds since it was due
    gates: list[str] | None
    root_id: UUID | None
    group_id: UUID | None
    group_index: int | None
    canvas: dict[str, Any] | None

    @property
    def payload(self) -> dict[str, Any]:
        """Its arguments; those that are secret are masked."""
        arguments: dict[str, Any] = json.loads(self.payload_json)
        return arguments

    @property
    def leads_on(self) -> bool:
        """Say whether something waits for its end."""
        return self.canvas is not None


@dataclass(kw_only=True)  # as above
class Settlement:
    """How an attempt ended, and what becomes of its job."""

    id: UUID
    lease: UUID
    move: Move
    delay: float = 0.0
    run_at: str | None = None
    result: Any = None
    error_type: str = ""
    error: str = ""
    traceback: str = ""
    reason: str = ""  # of a dead letter
    failures: int = 0  # to add
    crashes: int = 0
    #: When its body began and ended, in seconds after the claim; None: at the claim, and now.
    began: float | None = None
    ended: float | None = None

    @property
    def state(self) -> State:
        """The state its job ends in: each of these moves has one."""
        (state,) = TRANSITIONS[self.move][1]
        return state

    @property
    def outcome(self) -> Attempt.Outcome:
        """How the attempt is called in the job's history."""
        if self.crashes:
            return Attempt.Outcome.CRASHED
        return _OUTCOMES[self.move]

    @property
    def is_plain(self) -> bool:
        """Say whether it is a success, of which nothing is to be told but that."""
        more = self.error_type or self.error or self.traceback or self.failures or self.crashes
        return self.move is Move.SUCCEEDED and not more

    def as_row(self) -> dict[str, Any]:
        """Return what ``settle`` sends to the database: what says something."""
        row = {key: value for key, value in vars(self).items() if value}
        return row | {
            "id": str(self.id),
            "lease": str(self.lease),
            "result": self.result,
            "state": self.state,
            "outcome": self.outcome,
        }


_OUTCOMES = {
    Move.SUCCEEDED: Attempt.Outcome.SUCCEEDED,
    Move.RETRIED: Attempt.Outcome.FAILED,
    Move.DIED: Attempt.Outcome.FAILED,
    Move.SNOOZED: Attempt.Outcome.SNOOZED,
    Move.DISCARDED: Attempt.Outcome.DISCARDED,
    Move.CANCELLED: Attempt.Outcome.CANCELLED,
    Move.RELEASED: Attempt.Outcome.RELEASED,
}


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A due job that must pass gates before it is claimed."""

    id: UUID
    priority: int
    gates: list[str]


@dataclass(frozen=True, kw_only=True)
class Line:
    """What a claim found in a queue's line: the jobs it got, and what else stands there."""

    claimed: list[Claimed]
    #: Due jobs that must pass gates first, best first.
    gated: list[Waiting]
    #: Whether more jobs are due than were asked for.
    more: bool
