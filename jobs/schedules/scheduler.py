"""The scheduler: fires what is due. Any number of processes may run it, without knowing another.

Each takes rows that are due (``SKIP LOCKED``: another's are passed by), decides, and writes
firings, jobs and next instants in one transaction. Killed before the commit, it has done nothing,
and another does it; killed after, the jobs are committed, and the stager publishes them. A firing
is unique by schedule and instant, so nothing is ever fired twice. Whoever freezes inside a
transaction loses it after :data:`FROZEN_AFTER`, so that the others can go on.

Emits the log events ``schedule_fired``, ``schedule_missed``, ``schedule_overlapped``,
``schedule_failed`` and ``schedule_unplannable``.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from django.db import DatabaseError, transaction

from jobs.errors import JobsError
from jobs.models import Job, Schedule
from jobs.schedules import firing
from jobs.schedules.batch import Batch, plan_of, row_of, text_of, write
from jobs.schedules.models import Outcome, Overlap
from jobs.schedules.plan import RELATED, rules_of, timing_of
from jobs.schedules.rules import Decision, Fire, decide
from jobs.schedules.timing import Timing
from jobs.sql import fetch
from jobs.states import UNFINISHED

log = structlog.get_logger(__name__)

#: Schedules seen to in one transaction.
BATCH = 100
#: A transaction of a scheduler that does nothing for so long is ended by PostgreSQL.
FROZEN_AFTER = timedelta(seconds=5)

#: SQLSTATE of a session that was ended for that. Class 08: connection lost; 57: ended by somebody.
_RESTED_TOO_LONG = "25P03"

_NEXT = """
    SELECT wake_at, clock_timestamp() FROM jobs_schedule
    WHERE wake_at IS NOT NULL ORDER BY wake_at LIMIT 1
"""


@dataclass(kw_only=True)
class Ticked:
    """What a look did."""

    #: Jobs enqueued.
    fired: int = 0
    #: Instants passed by.
    passed: int = 0
    #: Until something is due, by PostgreSQL's clock; None: nothing ever is.
    wait: timedelta | None = None


def tick(now: datetime | None = None) -> Ticked:
    """See to everything that is due at ``now`` (PostgreSQL's clock, when None).

    Raises:
        django.db.DatabaseError: the database is not there. One schedule that cannot be written is
            logged, and keeps no other from being seen to.
    """
    done = Ticked()
    size = BATCH
    failed: set[int] = set()
    while True:
        wake_at, at = _next(now)
        if wake_at is None or wake_at > at:
            done.wait = None if wake_at is None else wake_at - at
            return done
        taken: list[Schedule] = []
        try:
            _see_to_some(at, size, failed, taken, done)
        except DatabaseError as error:
            if not taken or _is_the_connection(error):
                raise
            if len(taken) == 1:
                failed.add(taken[0].pk)
                log.error("schedule_failed", schedule=str(taken[0]), error=str(error).strip())
            size = 1  # until it is known which one it was
            continue
        if not taken:
            # Others are at it, or it cannot be done now.
            done.wait = timedelta(0)
            return done


def _is_the_connection(error: DatabaseError) -> bool:
    """Say whether PostgreSQL is gone, or ended our session: no schedule's fault."""
    code: str | None = getattr(error.__cause__, "sqlstate", None)
    return code is None or code == _RESTED_TOO_LONG or code[:2] in {"08", "57"}


def _next(now: datetime | None) -> tuple[datetime | None, datetime]:
    """Return when something is due next, and what time it is."""
    rows = fetch(_NEXT)
    if not rows:
        return None, now or datetime.max.replace(tzinfo=UTC)
    ((wake_at, clock),) = rows
    return wake_at, now or clock


def _see_to_some(
    now: datetime, size: int, without: Collection[int], taken: list[Schedule], done: Ticked
) -> None:
    """See to some schedules in one transaction, and tell of it."""
    with transaction.atomic(), firing.unfrozen(FROZEN_AFTER):
        taken += (
            Schedule.objects.select_for_update(
                skip_locked=True, no_key=True, of=("self", "periodic_task")
            )
            .select_related(*RELATED)
            .filter(wake_at__lte=now)
            .exclude(pk__in=without)
            .order_by("wake_at")[:size]
        )
        if not taken:
            return
        batch = Batch(now=now, busy=_busy(taken))
        for schedule in taken:
            _see_to(schedule, batch)
        write(batch)
    for row in batch.firings:
        _tell(row)
        done.fired += row["outcome"] == Outcome.FIRED
        done.passed += row["outcome"] != Outcome.FIRED


def _busy(schedules: Sequence[Schedule]) -> set[int]:
    """Return those that are not to run while their last job is unfinished, and it is."""
    last = {
        schedule.last_job_id: schedule.pk
        for schedule in schedules
        if schedule.overlap == Overlap.SKIP and schedule.last_job_id is not None
    }
    if not last:
        return set()
    found = Job.objects.filter(id__in=list(last), state__in=UNFINISHED)
    return {last[job_id] for job_id in found.values_list("id", flat=True)}


def _see_to(schedule: Schedule, batch: Batch) -> None:
    """Decide about one schedule, and note what is to be written."""
    overdue = _overdue(schedule)
    try:
        timing = timing_of(schedule)
        if not schedule.periodic_task.enabled:
            _switched_off(schedule, overdue, batch)
            return
        decision = decide(
            timing, rules_of(schedule), after=schedule.plan_after, now=batch.now, overdue=overdue
        )
    except (JobsError, OverflowError) as error:  # the latter: beyond the year 9999
        log.error("schedule_unplannable", schedule=schedule.periodic_task.name, error=str(error))
        batch.plans.append(plan_of(schedule, schedule.plan_after, None, problem=str(error)))
        return
    for one in decision.passes:
        batch.firings.append(
            row_of(schedule, one.due_at, batch, Outcome.MISSED, one.reason, instants=one.instants)
        )
    _fire_all(schedule, timing, decision, batch)


def _overdue(schedule: Schedule) -> datetime | None:
    """Return the instant that was due before the schedule was changed, and not seen to."""
    due = schedule.next_at
    return due if schedule.stale and due is not None and due <= schedule.plan_after else None


def _switched_off(schedule: Schedule, overdue: datetime | None, batch: Batch) -> None:
    if overdue is not None:
        reason = "switched off before a beat saw to it"
        batch.firings.append(row_of(schedule, overdue, batch, Outcome.MISSED, reason))
    batch.plans.append(plan_of(schedule, schedule.plan_after, None))


def _fire_all(schedule: Schedule, timing: Timing, decision: Decision, batch: Batch) -> None:
    problem = ""
    fired: list[tuple[datetime, str]] = []
    for one in decision.fires:
        row = _fired(schedule, timing, one, batch)
        batch.firings.append(row)
        if row["outcome"] == Outcome.FAILED:
            problem = row["reason"]
        if row["outcome"] == Outcome.FIRED:
            fired.append((one.due_at, row["job_id"]))
            if schedule.overlap == Overlap.SKIP:
                batch.busy.add(schedule.pk)
    # One that runs once has ended when it ran, or never will; what failed stays to be seen.
    never = decision.next_at is None and not problem and bool(decision.fires or decision.passes)
    ended = schedule.periodic_task.one_off and (bool(fired) or never)
    next_at = None if ended else decision.next_at
    plan = plan_of(schedule, decision.seen_to, next_at, problem=problem)
    plan["ended"] = ended
    if fired:
        plan |= {
            "fired": len(fired),
            "last_due_at": text_of(fired[-1][0]),
            "last_job_id": fired[-1][1],
        }
    batch.plans.append(plan)


def _fired(schedule: Schedule, timing: Timing, fire: Fire, batch: Batch) -> dict[str, Any]:
    """Prepare the job of an instant; returns the firing's row, which may say that it cannot be."""
    if schedule.pk in batch.busy:
        reason = "the job of the last instant is unfinished"
        return row_of(schedule, fire.due_at, batch, Outcome.OVERLAPPED, reason)
    day = fire.due_at.astimezone(timing.zone).date()
    try:
        job = firing.prepared(schedule, fire.due_at, day, batch.now)
    except JobsError as error:
        return row_of(schedule, fire.due_at, batch, Outcome.FAILED, str(error))
    batch.jobs[job.new.id] = job
    return row_of(schedule, fire.due_at, batch, Outcome.FIRED, fire.reason, job_id=job.new.id)


def _tell(row: dict[str, Any]) -> None:
    told = {"schedule": row["name"], "due_at": row["due_at"]}
    if row["reason"]:
        told["reason"] = row["reason"]
    match row["outcome"]:
        case Outcome.FIRED:
            log.info("schedule_fired", job_id=row["job_id"], **told)
        case Outcome.MISSED:
            log.warning("schedule_missed", instants=row["instants"], **told)
        case Outcome.OVERLAPPED:
            log.warning("schedule_overlapped", **told)
        case Outcome.FAILED:
            log.error("schedule_failed", **told)
