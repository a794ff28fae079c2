"""The engine's settings: ``settings.JOBS``, typed, with their defaults beside their names."""

from dataclasses import dataclass, field, fields
from datetime import timedelta
from functools import cache
from typing import Any

from django.conf import settings


@dataclass(frozen=True, kw_only=True)
class Retention:
    """How long finished jobs are kept; a dead one from a person's decision on."""

    succeeded: timedelta
    cancelled: timedelta
    dead: timedelta


@dataclass(frozen=True, kw_only=True)
class JobsSettings:
    """What an operator may set; ``docs/reference/settings.md`` lists the variables."""

    #: Fernet keys: the first encrypts secret arguments, all of them decrypt.
    ENCRYPTION_KEYS: list[str] = field(default_factory=list)
    #: Bytes of JSON that the arguments of one job may take.
    PAYLOAD_LIMIT_BYTES: int = 65_536
    #: Between two heartbeats of a worker.
    HEARTBEAT: timedelta = timedelta(seconds=5)
    #: Without a heartbeat for this long, a worker is dead and its jobs are taken back.
    LEASE: timedelta = timedelta(seconds=30)
    #: Between two looks of the stager for due jobs.
    STAGER_INTERVAL: timedelta = timedelta(seconds=0.5)
    #: Between two looks of a beat for schedules that were changed.
    BEAT_INTERVAL: timedelta = timedelta(seconds=1)
    #: Whether each queue is probed once a minute.
    CANARY: bool = True
    #: What became of each instant of a schedule is kept for this long.
    KEEP_FIRINGS: timedelta = timedelta(days=90)
    #: A queue without a message in Redis, whose first job was published so long ago, is rung again.
    REPUBLISH_AFTER: timedelta = timedelta(seconds=10)
    #: A class of priority whose first job waits for this long counts as the class above.
    AGEING: timedelta = timedelta(minutes=10)
    #: What a job that is cancelled while it runs may take to notice, before it is ended by force.
    CANCEL_GRACE: timedelta = timedelta(seconds=10)
    #: A due job whose task no live worker knows for this long ends as a dead letter.
    UNKNOWN_TASK_GRACE: timedelta = timedelta(minutes=10)
    #: Limits that are set otherwise than declared, by name: a number, or None for no limit.
    LIMITS: dict[str, int | None] = field(default_factory=dict)
    #: What a stopping worker may take to finish its jobs before it gives them back.
    SHUTDOWN_GRACE: timedelta = timedelta(seconds=30)
    #: Crashes of its worker that end a job as a dead letter, whatever attempts it has left.
    CRASH_LIMIT: int = 3
    #: Beyond a job's hard time limit, before its lease ends.
    LEASE_MARGIN: timedelta = timedelta(seconds=15)
    #: Multiplies every wait before a retry: below 1 for tests and demonstrations.
    BACKOFF_SCALE: float = 1.0
    #: Rows the stager publishes in one transaction.
    STAGER_BATCH: int = 500
    #: A job that succeeded is kept for this long.
    KEEP_SUCCEEDED: timedelta = timedelta(days=7)
    #: A job that was cancelled is kept for this long.
    KEEP_CANCELLED: timedelta = timedelta(days=7)
    #: A dead job is kept for this long from a person's decision on; until then, always.
    KEEP_DEAD: timedelta = timedelta(days=7)
    #: Queues whose finished jobs are kept for other times than these, by name.
    RETENTION: dict[str, Retention] = field(default_factory=dict)
    #: What happened outside the database is remembered for this long, and as long as its job.
    KEEP_EFFECTS: timedelta = timedelta(days=30)
    #: What ended is told minute by minute for this long; totals are kept for ever.
    KEEP_ROLLUPS: timedelta = timedelta(days=90)
    #: An audit entry stays in the table for this long; then it goes to a compressed file.
    AUDIT_KEEP: timedelta = timedelta(days=90)

    @property
    def retention(self) -> Retention:
        """How long finished jobs are kept, on a queue that does not say otherwise."""
        return Retention(
            succeeded=self.KEEP_SUCCEEDED, cancelled=self.KEEP_CANCELLED, dead=self.KEEP_DEAD
        )


@cache
def jobs_settings() -> JobsSettings:
    """Return the engine's settings; raises ``TypeError`` for a name that does not exist."""
    given: dict[str, Any] = getattr(settings, "JOBS", {})
    unknown = set(given) - {item.name for item in fields(JobsSettings)}
    if unknown:
        raise TypeError(f"settings.JOBS has unknown names: {', '.join(sorted(unknown))}")
    return JobsSettings(**given)
