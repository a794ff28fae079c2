"""Reads: schedules, when they are due, what became of their instants, and who fires them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import OuterRef, Subquery

from jobs.conf import jobs_settings
from jobs.errors import JobsError
from jobs.models import Beat, Canary, Firing, Job, Schedule
from jobs.queues import QUEUES
from jobs.schedules.plan import RELATED, timing_of
from jobs.schedules.rules import LATE_AFTER
from jobs.schedules.timing import FIELDS, Timing
from jobs.selectors.sql import fetch

#: Instants that one question may ask for.
MOST_INSTANTS = 1_000
#: A queue whose last canary is older is not served.
CANARY_AFTER = timedelta(minutes=2)
#: Troubled and overdue schedules that are named.
MOST_NAMED = 100
#: The declaration of the probes through each queue.
CANARY = "jobs.canary"


@dataclass(frozen=True, kw_only=True)
class Instant:
    """When something is due: in UTC, and in the schedule's zone."""

    utc: datetime
    local: datetime


@dataclass(frozen=True, kw_only=True)
class ScheduleView:
    """A schedule as operators see it."""

    id: int
    name: str
    task: str
    #: In words, such as ``0 8 * * 1-5`` or ``every 10 minutes``.
    when: str
    #: IANA name; UTC for intervals and single instants.
    zone: str
    enabled: bool
    next: Instant | None
    #: It is due for longer than a beat needs: none runs, or none can see to it.
    overdue: bool
    #: Why it cannot be planned, or could not be run last; empty: it can.
    problem: str
    #: Declared in code, and by which name; empty: an operator's own.
    declared_name: str
    #: Fields in which it is otherwise than declared, because a person changed them.
    changed: tuple[str, ...]
    last: Firing | None
    rules: Schedule

    @property
    def state(self) -> str:
        """In a word: ``off``, ``problem``, ``overdue``, ``changed`` by a person, or ``on``."""
        if not self.enabled:
            return "off"
        if self.problem:
            return "problem"
        if self.overdue:
            return "overdue"
        return "changed" if self.changed else "on"

    @property
    def is_canary(self) -> bool:
        """Whether it is one of the probes through each queue."""
        return self.declared_name == CANARY


@dataclass(frozen=True, kw_only=True)
class CanaryView:
    """When a queue was last seen to be served."""

    queue: str
    #: None: never yet.
    ran_at: datetime | None
    #: From its enqueueing until a worker ran it.
    wait: timedelta | None
    age: timedelta | None

    @property
    def silent(self) -> bool:
        """Whether the queue is not served, as far as its canary tells."""
        return self.age is None or self.age > CANARY_AFTER


@dataclass(frozen=True, kw_only=True)
class ScheduleHealth:
    """Whether schedules are fired."""

    #: Those whose last look is no older than a lease.
    beats: int
    #: Since the last look of any beat; None: there was none yet.
    tick_age: timedelta | None
    #: Names of enabled schedules that are due for more than a minute: :data:`MOST_NAMED` at most.
    overdue: tuple[str, ...]
    #: Names of enabled schedules with a problem, as many at most.
    troubled: tuple[str, ...]
    #: Empty when canaries are switched off.
    canaries: tuple[CanaryView, ...]

    @property
    def healthy(self) -> bool:
        """Whether a beat looks, and nothing is overdue."""
        return self.beats > 0 and not self.overdue


def list_schedules(*, name: str | None = None) -> list[ScheduleView]:
    """Return all schedules by name; with ``name``, that one, or all rows of a declaration."""
    last = Firing.objects.filter(schedule_id=OuterRef("pk")).order_by("-due_at", "-id")
    rows = (
        Schedule.objects.select_related(*RELATED)
        .annotate(last_firing=Subquery(last.values("id")[:1]))
        .order_by("periodic_task__name")
    )
    if name is not None:
        if "\0" in name:  # PostgreSQL refuses to compare with it
            return []
        rows = rows.filter(periodic_task__name=name) or rows.filter(declared_name=name)
    found: list[Any] = list(rows)
    firings = Firing.objects.in_bulk([row.last_firing for row in found if row.last_firing])
    now = _now()
    return [_view(row, firings.get(row.last_firing), now) for row in found]


def get_schedule(schedule_id: int) -> ScheduleView:
    """Return one; raises ``Schedule.DoesNotExist``."""
    row = Schedule.objects.select_related(*RELATED).filter(pk=schedule_id).first()
    if row is None:
        raise Schedule.DoesNotExist(f"There is no schedule {schedule_id}.")
    last = Firing.objects.filter(schedule_id=row.pk).order_by("-due_at", "-id").first()
    return _view(row, last, _now())


def firings_of(schedule_id: int, *, limit: int = 50, before: int | None = None) -> list[Firing]:
    """Return its history, the latest instants first; ``before`` is the id to go on from."""
    rows = Firing.objects.filter(schedule_id=schedule_id).order_by("-due_at", "-id")
    if before is not None and (mark := Firing.objects.filter(pk=before).first()):
        rows = rows.filter(due_at__lte=mark.due_at).exclude(due_at=mark.due_at, id__gte=mark.pk)
    return list(rows[:limit])


def jobs_of(firings: Iterable[Firing]) -> dict[UUID, Job]:
    """Return the jobs of these instants that are still kept, by their ids: task and state."""
    ids = [firing.job_id for firing in firings if firing.job_id]
    return Job.objects.only("id", "task", "state").in_bulk(ids)


def instants(timing: Timing, *, after: datetime, count: int = 20) -> list[Instant]:
    """Return what is due next later than ``after``: at most :data:`MOST_INSTANTS`."""
    return [
        Instant(utc=due, local=due.astimezone(timing.zone))
        for due in islice(timing.after(after), min(count, MOST_INSTANTS))
    ]


def next_instants(
    view: ScheduleView, *, after: datetime | None = None, count: int = 20
) -> list[Instant]:
    """Return when a schedule is due next; nothing when it is off, or cannot be planned."""
    if not view.enabled:
        return []
    try:
        return instants(timing_of(view.rules), after=after or _now(), count=count)
    except (JobsError, OverflowError):
        return []


def schedule_health() -> ScheduleHealth:
    """Return whether schedules are fired, by few cheap questions."""
    now = _now()
    last = Beat.objects.order_by("-ticked_at").values_list("ticked_at", flat=True).first()
    living = Beat.objects.filter(stopped_at=None, ticked_at__gt=now - jobs_settings().LEASE)
    overdue = Schedule.objects.filter(wake_at__lt=now - LATE_AFTER, periodic_task__enabled=True)
    troubled = Schedule.objects.exclude(problem="").filter(periodic_task__enabled=True)
    names = "periodic_task__name"
    return ScheduleHealth(
        beats=living.count(),
        tick_age=None if last is None else max(timedelta(0), now - last),
        overdue=tuple(overdue.order_by(names).values_list(names, flat=True)[:MOST_NAMED]),
        troubled=tuple(troubled.order_by(names).values_list(names, flat=True)[:MOST_NAMED]),
        canaries=tuple(_canaries(now)) if jobs_settings().CANARY else (),
    )


def _canaries(now: datetime) -> list[CanaryView]:
    found = Canary.objects.in_bulk()
    rows = Schedule.objects.filter(declared_name="jobs.canary", periodic_task__enabled=False)
    off = set(rows.values_list("declared__queue", flat=True))
    return [
        CanaryView(
            queue=queue,
            ran_at=canary.ran_at if canary else None,
            wait=canary.ran_at - canary.enqueued_at if canary else None,
            age=max(timedelta(0), now - canary.ran_at) if canary else None,
        )
        for queue in QUEUES
        if queue not in off
        for canary in [found.get(queue)]
    ]


def _now() -> datetime:
    """Return the instant by the database's clock, which beats and workers go by."""
    ((now,),) = fetch("SELECT clock_timestamp()")
    return cast("datetime", now)


def _view(schedule: Schedule, last: Firing | None, now: datetime) -> ScheduleView:
    from jobs.schedules.sync import values_of

    row: Any = schedule.periodic_task
    zone = row.crontab.timezone if row.crontab else ZoneInfo("UTC")
    declared: dict[str, Any] | None = schedule.declared
    values = values_of(schedule) if declared else {}
    # What a newer release declares besides is not there before a beat has seen to it.
    changed = [name for name, value in values.items() if (declared or {}).get(name, value) != value]
    due = schedule.next_at
    return ScheduleView(
        id=schedule.pk,
        name=row.name,
        task=row.task,
        when=_when(row),
        zone=str(zone),
        enabled=row.enabled,
        next=Instant(utc=due, local=due.astimezone(zone)) if due else None,
        overdue=bool(row.enabled and schedule.wake_at and schedule.wake_at < now - LATE_AFTER),
        problem=schedule.problem,
        declared_name=schedule.declared_name,
        changed=tuple(changed),
        last=last,
        rules=schedule,
    )


def _when(row: Any) -> str:
    if row.crontab is not None:
        return " ".join(str(getattr(row.crontab, name)) for name in FIELDS)
    return str(row.interval or row.clocked or row.solar or "never")
