"""Running a schedule by hand: now, for any day, for one tenant; or only trying what it would do."""

import difflib
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone

from jobs import audit, dry_run, payload
from jobs.context import current_context, job_context
from jobs.definition import Options
from jobs.enqueue import enqueue
from jobs.errors import DayToCome, JobsError, NotPossible, UnknownName
from jobs.models import Firing, Job, Schedule
from jobs.scheduled_date import BEGUN, date_argument
from jobs.schedules import declare, firing
from jobs.schedules.models import Outcome
from jobs.schedules.plan import RELATED, timing_of
from jobs.task import get_task


class UnknownSchedule(UnknownName):
    """There is no schedule of this name."""

    noun = "schedule"


class UnknownTenant(UnknownName):
    """There is no tenant of this key."""

    noun = "tenant"


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that was asked for."""

    schedule: str
    #: The local day it is for; None: its task takes none.
    day: date | None
    #: Secrets are masked.
    arguments: dict[str, Any]
    job: Job


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a run would have done."""

    schedule: str
    day: date | None
    #: Secrets are masked.
    arguments: dict[str, Any]
    told: list[dry_run.Told]


@dataclass(frozen=True, kw_only=True)
class _Call:
    """A call of a schedule's task."""

    schedule: Schedule
    day: date | None
    arguments: dict[str, Any]

    @property
    def row(self) -> Any:
        """Its row of django-celery-beat."""
        return self.schedule.periodic_task

    @property
    def tenant(self) -> str:
        """Whose work it is; empty: not one tenant's."""
        return firing.tenant_of(self.arguments) or ""


def schedules_called(name: str) -> list[Schedule]:
    """Return the schedule of this name; or all rows of a declaration, one for each place.

    Raises:
        UnknownSchedule: with "did you mean …?".
        NotPossible: it is declared, and no beat has put it into the table so far.
    """
    rows = Schedule.objects.select_related(*RELATED).order_by("periodic_task__name")
    found: list[Schedule] = []
    if _can_be_stored(name):
        found = list(rows.filter(periodic_task__name=name)) or list(
            rows.filter(declared_name=name).exclude(declared__has_key="retired")
        )
    if found:
        return found
    if name in declare.declared():
        raise NotPossible(
            f"{name} stands nowhere: no tenant is at work, or no beat has run since it was "
            "declared (start manage.py beat)."
        )
    names = {*rows.values_list("periodic_task__name", flat=True), *declare.declared()}
    raise UnknownSchedule(name, difflib.get_close_matches(name, names, n=1))


def run(name: str, *, tenant: str | None = None, day: date | None = None) -> list[Run]:
    """Enqueue the schedule's job at once; when it is due next does not change.

    Args:
        name: Of a schedule, or of a declaration: then of all its places, or the tenant's.
        tenant: Only this one's work.
        day: The local day to do the work of; None: each place's today.

    Raises:
        UnknownSchedule, UnknownTask, UnknownTenant: there is none of this name.
        EnqueueError: an argument, or another value that the schedule has, does not fit.
        NotPossible: the task cannot be run for one tenant, or for a day.
        DayToCome: it cannot be run for a day that has not begun in the schedule's zone.
    """
    with transaction.atomic():
        return [_run(call) for call in _calls(name, tenant, day)]


def _run(call: _Call) -> Run:
    row, now = call.row, timezone.now()
    with job_context(tenant=call.tenant):
        job = enqueue(
            get_task(row.task),
            call.arguments,
            Options(queue=row.queue or None, priority=firing.priority_of(row)),
        )
        Firing.objects.create(
            schedule_id=call.schedule.pk,
            name=row.name,
            due_at=now,
            fired_at=now,
            outcome=Outcome.FIRED,
            reason=_told(call, job),
            job_id=job.id,
            by_hand=current_context().actor,
        )
        detail = {"schedule": row.name, "job": str(job.id), "tenant": call.tenant}
        audit.record(
            action="schedule.run",
            subject_type="periodictask",
            subject_id=str(call.schedule.pk),
            detail=detail | {"day": call.day.isoformat() if call.day else None},
        )
    return Run(schedule=row.name, day=call.day, arguments=job.payload, job=job)


def try_out(name: str, *, tenant: str | None = None, day: date | None = None) -> list[Trial]:
    """Return what :func:`run` would do; raises as that does, and :class:`~.dry_run.WouldFail`."""
    return [_trial(call) for call in _calls(name, tenant, day)]


def _trial(call: _Call) -> Trial:
    task = get_task(call.row.task)
    told = dry_run.try_out(task, call.arguments, tenant=call.tenant)
    checked = payload.check(task.definition.arguments, task.name, call.arguments)
    return Trial(
        schedule=call.row.name,
        day=call.day,
        arguments=payload.seal(task.name, checked).payload,
        told=told,
    )


def _calls(name: str, tenant: str | None, day: date | None) -> list[_Call]:
    schedules = schedules_called(name)
    if tenant is not None:
        schedules = _of_the_tenant(schedules, tenant)
    return [_call(schedule, tenant, day) for schedule in schedules]


def _call(schedule: Schedule, tenant: str | None, day: date | None) -> _Call:
    task: str = schedule.periodic_task.task
    arguments = get_task(task).definition.arguments
    takes_day = date_argument(arguments) is not None
    if day is not None and not takes_day:
        raise NotPossible(f"{task} is not done for a day: run it without one.")
    begun = date_argument(arguments, BEGUN)
    if day is not None and begun is not None and day > (today := _today(schedule)):
        raise DayToCome("date", day, today)
    on = (day or _today(schedule)) if takes_day else None
    return _Call(schedule=schedule, day=on, arguments=_arguments(schedule, on, tenant))


def _of_the_tenant(schedules: list[Schedule], tenant: str) -> list[Schedule]:
    """Return the one that does the tenant's work: where it is, when it is done place by place."""
    place = declare.place_of(tenant) if _can_be_stored(tenant) else None
    if place is None:
        raise UnknownTenant(tenant)
    there = [
        schedule
        for schedule in schedules
        if firing.arguments_of(schedule, None).get("zone") in (None, place.zone)
        and schedule.country in ("", place.country)
    ]
    if not there:
        where = " ".join(part for part in (place.zone, place.country) if part)
        names = ", ".join(schedule.periodic_task.name for schedule in schedules)
        raise NotPossible(
            f"The tenant {tenant} is in {where}; its work is not done by {names}. If it is active,"
            " and new or has moved, a beat (manage.py beat) sees to that within seconds."
        )
    return there[:1]


def _can_be_stored(text: str) -> bool:
    """Whether PostgreSQL can hold the text, and so compare with it."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, as of bytes that are no UTF-8
        return False


def _arguments(schedule: Schedule, day: date | None, tenant: str | None) -> dict[str, Any]:
    arguments = firing.arguments_of(schedule, day)
    if tenant is None:
        return arguments
    task: str = schedule.periodic_task.task
    fields = get_task(task).definition.arguments.model_fields
    if "tenant" not in fields:
        raise NotPossible(f"{task} cannot be run for one tenant: it takes no argument 'tenant'.")
    # A task takes a place or a tenant, when it can do without the place.
    kept = {
        name: value
        for name, value in arguments.items()
        if name not in {"zone", "country"} or name not in fields or fields[name].is_required()
    }
    return kept | {"tenant": tenant}


def _today(schedule: Schedule) -> date:
    now: datetime = timezone.now()
    try:
        zone = timing_of(schedule).zone
    except JobsError:  # it cannot be planned; by hand it can be run
        zone = ZoneInfo("UTC")
    return now.astimezone(zone).date()


def _told(call: _Call, job: Job) -> str:
    parts = [f"for {call.day}" if call.day else "", f"for {call.tenant}" if call.tenant else ""]
    parts.append("an equal job was there already" if job.is_twin else "")
    return ", ".join(part for part in parts if part)
