"""Running a schedule by hand: now, for any day, for one tenant; or only trying what it would do."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone

from jobs import audit, dry_run
from jobs.context import current_context, job_context
from jobs.definition import Options
from jobs.enqueue import enqueue
from jobs.errors import JobsError, NotPossible, UnknownName
from jobs.models import Firing, Job, Priority, Schedule
from jobs.scheduled_date import date_argument
from jobs.schedules import declare, firing
from jobs.schedules.models import Outcome
from jobs.schedules.plan import RELATED, timing_of
from jobs.task import get_task


class UnknownSchedule(UnknownName):
    """There is no schedule of this name."""

    noun = "schedule"


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that was asked for."""

    schedule: str
    #: The local day it is for; None: its task takes none.
    day: date | None
    arguments: dict[str, Any]
    job: Job


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a run would have done."""

    schedule: str
    day: date | None
    arguments: dict[str, Any]
    told: list[dry_run.Told]


def schedules_called(name: str) -> list[Schedule]:
    """Return the schedule of this name; or all rows of a declaration, one for each place.

    Raises:
        UnknownSchedule: with "did you mean …?".
    """
    rows = Schedule.objects.select_related(*RELATED).order_by("periodic_task__name")
    found = list(rows.filter(periodic_task__name=name)) or list(
        rows.filter(declared_name=name).exclude(declared__has_key="retired")
    )
    if not found:
        names = {*rows.values_list("periodic_task__name", flat=True), *declare.declared()}
        raise UnknownSchedule(name, difflib.get_close_matches(name, names, n=1))
    return found


def run(name: str, *, tenant: str | None = None, day: date | None = None) -> list[Run]:
    """Enqueue the schedule's job at once; when it is due next does not change.

    Args:
        name: Of a schedule, or of a declaration: then of all its places, or the tenant's.
        tenant: Only this one's work.
        day: The local day to do the work of; None: each place's today.

    Raises:
        UnknownSchedule, UnknownTask: there is none of this name.
        InvalidPayload: an argument does not fit.
        NotPossible: the task cannot be run for one tenant, or for a day.
    """
    runs = []
    with transaction.atomic():
        for schedule, on, arguments in _calls(name, tenant, day):
            row: Any = schedule.periodic_task
            now = timezone.now()
            with job_context(tenant=tenant):
                job = enqueue(
                    get_task(row.task),
                    arguments,
                    Options(
                        queue=row.queue or None,
                        priority=None if row.priority is None else Priority(row.priority),
                    ),
                )
            actor = current_context().actor
            Firing.objects.create(
                schedule_id=schedule.pk,
                name=row.name,
                due_at=now,
                fired_at=now,
                outcome=Outcome.FIRED,
                reason=_told(tenant, on),
                job_id=job.id,
                by_hand=actor,
            )
            detail = {"schedule": row.name, "job": str(job.id), "tenant": tenant or ""}
            audit.record(
                action="schedule.run",
                subject_type="periodictask",
                subject_id=str(schedule.pk),
                detail=detail | {"day": on.isoformat() if on else None},
            )
            runs.append(Run(schedule=row.name, day=on, arguments=arguments, job=job))
    return runs


def try_out(name: str, *, tenant: str | None = None, day: date | None = None) -> list[Trial]:
    """Return what :func:`run` would do; raises as that does, and what the bodies raise."""
    return [
        Trial(
            schedule=schedule.periodic_task.name,
            day=on,
            arguments=arguments,
            told=dry_run.try_out(
                get_task(schedule.periodic_task.task), arguments, tenant=tenant or ""
            ),
        )
        for schedule, on, arguments in _calls(name, tenant, day)
    ]


def _calls(
    name: str, tenant: str | None, day: date | None
) -> Iterable[tuple[Schedule, date | None, dict[str, Any]]]:
    schedules = schedules_called(name)
    if tenant is not None:
        schedules = _of_the_tenant(schedules, tenant)
    calls = []
    for schedule in schedules:
        task: str = schedule.periodic_task.task
        takes_day = date_argument(get_task(task).definition.arguments) is not None
        if day is not None and not takes_day:
            raise NotPossible(f"{task} is not done for a day: run it without one.")
        on = (day or _today(schedule)) if takes_day else None
        calls.append((schedule, on, _arguments(schedule, on, tenant)))
    return calls


def _of_the_tenant(schedules: list[Schedule], tenant: str) -> list[Schedule]:
    """Return the one that does the tenant's work: where it is, when there are several."""
    place = declare.place_of(tenant)
    if place is None:
        raise NotPossible(f"There is no tenant {tenant!r}.")
    if len(schedules) == 1:
        return schedules
    there = [
        schedule
        for schedule in schedules
        if firing.arguments_of(schedule, None).get("zone") == place.zone
        and schedule.country in {"", place.country}
    ]
    if not there:
        raise NotPossible(f"None of these schedules stands in the zone of {tenant}: {place.zone}.")
    return there[:1]


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
        if name not in {"zone", "country"} or fields[name].is_required()
    }
    return kept | {"tenant": tenant}


def _today(schedule: Schedule) -> date:
    now: datetime = timezone.now()
    try:
        zone = timing_of(schedule).zone
    except JobsError:  # it cannot be planned; by hand it can be run
        zone = ZoneInfo("UTC")
    return now.astimezone(zone).date()


def _told(tenant: str | None, day: date | None) -> str:
    parts = [f"for {day}" if day else "", f"for {tenant}" if tenant else ""]
    return ", ".join(part for part in parts if part)
