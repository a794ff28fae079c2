"""The engine's settings: ``settings.JOBS``, typed, with their defaults beside their names."""

from dataclasses import dataclass, field, fields
from datetime import timedelta
from functools import cache
from typing import Any

from django.conf import settings


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
    #: A published job whose queue is empty in Redis is published again after this long.
    REPUBLISH_AFTER: timedelta = timedelta(seconds=10)
    #: A published job is published again after this long, whatever its queue looks like.
    REPUBLISH_ALWAYS_AFTER: timedelta = timedelta(minutes=10)
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


@cache
def jobs_settings() -> JobsSettings:
    """Return the engine's settings; raises ``TypeError`` for a name that does not exist."""
    given: dict[str, Any] = getattr(settings, "JOBS", {})
    unknown = set(given) - {item.name for item in fields(JobsSettings)}
    if unknown:
        raise TypeError(f"settings.JOBS has unknown names: {', '.join(sorted(unknown))}")
    return JobsSettings(**given)
