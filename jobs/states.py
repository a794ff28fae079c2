"""The states of a job and the moves between them: one table, drawn in ``docs/explanation``.

Only :mod:`jobs.transitions` moves a job, always by a guarded ``UPDATE``.
"""

from django.db import models


class State(models.TextChoices):
    """Where a job is in its life."""

    SCHEDULED = "scheduled", "scheduled"  # for later: a retry, or a time that was asked for
    AVAILABLE = "available", "available"  # due, and no message is on its way
    QUEUED = "queued", "queued"  # due, and a message is on its way
    RUNNING = "running", "running"  # one worker holds its lease
    SUCCEEDED = "succeeded", "succeeded"
    CANCELLED = "cancelled", "cancelled"
    DEAD = "dead", "dead"  # out of attempts, or failed permanently: a person decides


class Move(models.TextChoices):
    """What happened to a job: the ``action`` of its audit entries, after ``job.``."""

    ENQUEUED = "enqueued"
    PUBLISHED = "published"
    UNPUBLISHED = "unpublished"  # the broker did not take the message
    MATURED = "matured"  # its time has come while the broker is down: no message
    PARKED = "parked"  # a limit is reached: it waits at a gate
    ADMITTED = "admitted"  # the limit has room again: back in line
    CLAIMED = "claimed"
    SUCCEEDED = "succeeded"
    RETRIED = "retried"  # failed, and scheduled again
    SNOOZED = "snoozed"  # asked to run later; costs no attempt
    DISCARDED = "discarded"  # said itself that it is not worth running
    DIED = "died"
    RELEASED = "released"  # given back by a worker that stops; costs no attempt
    CRASHED = "crashed"  # its worker died; costs an attempt
    CANCELLED = "cancelled"
    EXPIRED = "expired"  # not worth running any more
    HASTENED = "hastened"  # a person did not want to wait for its time


WAITING = frozenset({State.SCHEDULED, State.AVAILABLE, State.QUEUED})
UNFINISHED = WAITING | {State.RUNNING}
FINAL = frozenset({State.SUCCEEDED, State.CANCELLED, State.DEAD})

#: move -> (states it starts from, states it may end in). An empty start is a new row.
TRANSITIONS: dict[Move, tuple[frozenset[State], frozenset[State]]] = {
    Move.ENQUEUED: (
        frozenset(),
        # Dead at birth: the step of a workflow that cannot be started.
        frozenset({State.SCHEDULED, State.AVAILABLE, State.QUEUED, State.DEAD}),
    ),
    Move.PUBLISHED: (frozenset({State.SCHEDULED, State.AVAILABLE}), frozenset({State.QUEUED})),
    Move.MATURED: (frozenset({State.SCHEDULED}), frozenset({State.AVAILABLE})),
    Move.UNPUBLISHED: (frozenset({State.QUEUED}), frozenset({State.AVAILABLE})),
    Move.PARKED: (frozenset({State.AVAILABLE, State.QUEUED}), frozenset({State.AVAILABLE})),
    Move.ADMITTED: (frozenset({State.AVAILABLE}), frozenset({State.AVAILABLE})),
    Move.EXPIRED: (WAITING, frozenset({State.CANCELLED})),
    Move.HASTENED: (frozenset({State.SCHEDULED}), frozenset({State.AVAILABLE})),
    Move.CLAIMED: (WAITING, frozenset({State.RUNNING})),
    Move.SUCCEEDED: (frozenset({State.RUNNING}), frozenset({State.SUCCEEDED})),
    Move.RETRIED: (frozenset({State.RUNNING}), frozenset({State.SCHEDULED})),
    Move.SNOOZED: (frozenset({State.RUNNING}), frozenset({State.SCHEDULED})),
    Move.RELEASED: (frozenset({State.RUNNING}), frozenset({State.AVAILABLE})),
    Move.CRASHED: (frozenset({State.RUNNING}), frozenset({State.SCHEDULED})),
    Move.DISCARDED: (frozenset({State.RUNNING}), frozenset({State.CANCELLED})),
    Move.DIED: (frozenset({State.RUNNING}), frozenset({State.DEAD})),
    Move.CANCELLED: (UNFINISHED, frozenset({State.CANCELLED})),
}
