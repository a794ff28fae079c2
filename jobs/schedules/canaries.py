"""Canaries: a probe through each queue once a minute, from its schedule to the end of its job.

A queue whose canary is older than two minutes is not served: no beat, no Redis and no drain, no
worker, or all workers are busy with what came before. Switched off by ``JOBS_CANARY``.

Whether a queue was served on a day that is over can no longer be tried, only looked up: in the
roll-ups of that day (:mod:`jobs.rollups`), for as long as they are kept.
"""

from datetime import UTC, date, datetime, timedelta
from typing import TypedDict

from django.db.models import Sum
from django.utils import timezone

from jobs import dry_run, rollups
from jobs.errors import PermanentError
from jobs.maintenance.instant import beginning
from jobs.models import Attempt, Rollup
from jobs.running import current_job
from jobs.sql import fetch
from jobs.states import State

TASK = "jobs.canary"

#: The probe of a day's last minute may run when that day is over: it expires a minute later.
_LATEST = timedelta(minutes=2)

_CAME_THROUGH = """
    INSERT INTO jobs_canary AS c (queue, enqueued_at, ran_at)
    SELECT %s, j.enqueued_at, clock_timestamp() FROM jobs_job AS j WHERE j.id = %s::uuid
    ON CONFLICT (queue) DO UPDATE
    SET enqueued_at = EXCLUDED.enqueued_at, ran_at = EXCLUDED.ran_at
    WHERE c.enqueued_at < EXCLUDED.enqueued_at
    RETURNING c.queue
"""


class Probes(TypedDict):
    """What the probes of a queue gave on a day."""

    queue: str
    #: As YYYY-MM-DD, by UTC.
    day: str
    #: Those that came through; None: of that day nothing is known, or not any more.
    probes: int | None
    #: Those that did not within their minute, and were given up.
    expired: int
    #: Seconds that none of them waited longer than; None: none came through.
    slowest_wait: float | None


def probe(queue: str, day: date | None) -> Probes | None:
    """Note that the running job came through its queue; for a past day, return what is known of it.

    A look at a past day can be taken by any queue; it counts there as one that came through, today.

    Raises:
        DayToCome: the day has begun nowhere.
        PermanentError: the job came through another queue, which proves nothing of this one.
    """
    begins = None if day is None or day == datetime.now(UTC).date() else beginning(day)
    if begins is not None and begins + timedelta(days=1) + _LATEST <= timezone.now():
        return _probes_of(queue, begins)
    came_through(queue)
    return None


def came_through(queue: str) -> None:
    """Note that the running job reached a worker of its queue; a late one changes nothing.

    One that is run without a worker, by a command that waits for it, proves nothing.
    """
    dry_run.tell("probe", queue=queue)
    running = current_job()
    if running is None:
        return
    if running.queue != queue:
        raise PermanentError(
            f"A probe of {queue!r} that comes through {running.queue!r} proves nothing: "
            f"enqueue it there (--queue {queue})."
        )
    if running.worker is not None:
        fetch(_CAME_THROUGH, [queue, str(running.id)])


def _probes_of(queue: str, begins: datetime) -> Probes:
    counted = Rollup.objects.filter(
        minute__gte=begins, minute__lt=begins + timedelta(days=1), queue=queue, task=TASK
    )
    ended = counted.filter(outcome=Attempt.Outcome.SUCCEEDED).aggregate(
        count=Sum("count"), waited=Sum("wait_seconds"), waits=Sum("wait_histogram")
    )
    expired = counted.filter(outcome="", state=State.CANCELLED).aggregate(count=Sum("count"))
    slowest = None
    if ended["count"]:
        # Of the last bucket only the sum is known, which none of them can have exceeded.
        bounds = (*rollups.BOUNDS, ended["waited"])
        waits = zip(bounds, rollups.unpacked(ended["waits"]), strict=True)
        slowest = max(bound for bound, count in waits if count)
    # Nothing at all before that day: it is older than the roll-ups, or than the installation.
    is_known = ended["count"] or Rollup.objects.filter(minute__lt=begins).exists()
    return Probes(
        queue=queue,
        day=begins.date().isoformat(),
        probes=ended["count"] or 0 if is_known else None,
        expired=expired["count"] or 0,
        slowest_wait=slowest,
    )
