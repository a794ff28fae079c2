"""The engine's own tasks."""

import os
import signal
import time
from typing import Annotated

from annotated_types import Ge, Le, MaxLen, MinLen
from django.db.models.functions import Now
from django.utils import timezone
from pydantic import AfterValidator

import jobs.django_tasks.tasks  # noqa: F401 - declares two more
from jobs import replays
from jobs.definition import Unique
from jobs.errors import PermanentError, UnknownQueue
from jobs.maintenance import archive, housekeeping, pruner
from jobs.maintenance.instant import beginning
from jobs.models import Priority, ProbeRun
from jobs.queues import get_queue
from jobs.running import current_job
from jobs.scheduled_date import BegunDate
from jobs.schedules import canaries
from jobs.task import job_task

Text = Annotated[str, MinLen(1), MaxLen(200)]


def _known(queue: str) -> str:
    try:
        return get_queue(queue).name
    except UnknownQueue as error:
        raise ValueError(str(error)) from None


QueueName = Annotated[str, AfterValidator(_known)]


class ProbeFailed(Exception):
    """The probe was asked to fail."""


@job_task(name="jobs.probe", queue="maintenance")
def probe(
    *,
    label: Text,
    sleep_ms: Annotated[int, Ge(0), Le(3_600_000)] = 0,
    fail_times: Annotated[int, Ge(0), Le(1_000)] = 0,
    fail_permanently: bool = False,
    crash: bool = False,
    payload_bytes: Annotated[int, Ge(0), Le(1_048_576)] = 0,
) -> str | None:
    """Diagnose a queue end to end: leave one row for each run that finishes.

    It sleeps, fails its first ``fail_times`` attempts, fails for good, kills its own process, or
    returns ``payload_bytes`` characters, as asked.
    """
    running = current_job()
    if running is None:
        raise PermanentError("The probe only makes sense as a job.")
    started = timezone.now()
    time.sleep(sleep_ms / 1000)
    if crash:
        os.kill(os.getpid(), signal.SIGKILL)
    if fail_permanently:
        raise PermanentError("The probe was asked to fail permanently.")
    if running.attempt <= fail_times:
        raise ProbeFailed(f"The probe was asked to fail {fail_times} times.")
    ProbeRun.objects.create(
        label=label,
        job_id=running.id,
        attempt=running.attempt,
        worker=running.worker,
        pid=os.getpid(),
        started_at=started,
        finished_at=Now(),
    )
    return "x" * payload_bytes or None


@job_task(name="jobs.canary", queue="maintenance", attempts=1, atomic=True)
def canary(*, queue: QueueName, as_of: BegunDate = None) -> canaries.Probes | None:
    """Prove that a queue is served: by a schedule, through Redis, by a worker, to its end.

    For a past day: tell how many probes came through on it, by UTC, and how long they waited.
    """
    return canaries.probe(queue, as_of)


@job_task(name="jobs.prune", queue="maintenance", priority=Priority.LOW, unique=Unique())
def prune(*, as_of: BegunDate = None) -> dict[str, int]:
    """Delete what is past its retention; the result is how many rows of each kind went at last.

    For a past day: what was past it when the day began in UTC.
    """
    return pruner.prune(as_of=as_of)


@prune.preview
def preview_prune(*, as_of: BegunDate = None) -> dict[str, int]:
    """Tell how many rows of each kind would go."""
    return pruner.preview(as_of=as_of)


@job_task(name="audit.archive", queue="maintenance", priority=Priority.LOW, unique=Unique())
def archive_audit(*, as_of: BegunDate = None) -> int:
    """Move old audit entries to compressed files; the result is how many went at last.

    For a past day: what was old when the day began in UTC.
    """
    return archive.archive(as_of=as_of)


@archive_audit.preview
def preview_archive(*, as_of: BegunDate = None) -> int:
    """Tell of each file that would be written."""
    return archive.preview(as_of=as_of)


@job_task(name="sessions.clear", queue="maintenance", priority=Priority.LOW, unique=Unique())
def clear_sessions(*, as_of: BegunDate = None) -> int | None:
    """Delete the sessions that have expired; the result is how many went at last.

    For a past day: what had expired when the day began in UTC.
    """
    return housekeeping.clear_sessions(as_of=as_of)


@clear_sessions.preview
def preview_sessions(*, as_of: BegunDate = None) -> int | None:
    """Tell how many sessions would go."""
    return housekeeping.preview_sessions(as_of=as_of)


# Of whatever day: there is one state of the tables.
@job_task(name="database.analyze", queue="maintenance", priority=Priority.LOW, unique=Unique(by=()))
def analyze_database(*, as_of: BegunDate = None) -> int:
    """Vacuum all tables and refresh their statistics; the result is how many.

    Nothing of that has a past: for a past day it does what it does today.
    """
    beginning(as_of)  # or it is refused
    return housekeeping.analyze()


@analyze_database.preview
def preview_analyze(*, as_of: BegunDate = None) -> int:
    """Tell which tables."""
    beginning(as_of)
    return housekeeping.preview_analyze()


@job_task(name="jobs.replay_dead_letters", queue="maintenance", priority=Priority.HIGH)
def replay_dead_letters(*, batch: Annotated[int, Ge(1)]) -> None:
    """Replay the dead letters of a batch: one, and the rest when that one has succeeded."""
    replays.go_on(batch)
