"""Keeps the table of schedules in step with what is declared and where tenants are.

What was declared last is kept beside each row. A value that a person has changed since is left
alone, deploy after deploy; all others follow the code. A row that nobody needs any more, because
no tenant is in its zone, is switched off, and on again when one is; its history stays.

Emits the log events ``schedule_added``, ``schedule_changed`` and ``schedule_retired``.
"""

import json
from datetime import timedelta
from typing import Any

import structlog
from django.db import connection, transaction
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from jobs import audit
from jobs.models import Schedule
from jobs.schedules.declare import Wanted, wanted_rows
from jobs.schedules.plan import RELATED
from jobs.schedules.timing import FIELDS

log = structlog.get_logger(__name__)

#: The lock that makes those who bring the table in step wait for each other.
_LOCK = 0x5C4ED01E
_DURATIONS = ("grace", "jitter")
_RULES = ("missed", "missed_limit", "grace", "overlap", "jitter", "days", "country")
#: Marks rows that were declared before declarations were kept.
_DECLARED_BEFORE = "Declared in erp/schedules.py."


def sync_schedules() -> None:
    """Bring the table in step. Safe to repeat, and to do in many places at once."""
    wanted = {row.name: row for row in wanted_rows()}
    if not _differs(wanted):
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        there = {_name_of(row): row for row in _ours(wanted)}
        for name, row in wanted.items():
            if (schedule := there.get(name)) is None:
                _add(row)
            else:
                _follow(schedule, row)
        for name in there.keys() - wanted.keys():
            _retire(there[name])


def _differs(wanted: dict[str, Wanted]) -> bool:
    """Say whether there is something to do, which is rare, without a lock."""
    rows = Schedule.objects.exclude(declared__isnull=True)
    declared: list[dict[str, Any]] = [
        values or {} for values in rows.values_list("declared", flat=True)
    ]
    kept = {str(values.get("name")): values for values in declared}
    needed = {name: _declared(row) for name, row in wanted.items()}
    retired = {name for name, values in kept.items() if values and "retired" in values}
    return {name: kept[name] for name in kept.keys() - (retired - needed.keys())} != needed


def _ours(wanted: dict[str, Wanted]) -> list[Schedule]:
    rows = Schedule.objects.select_related(*RELATED)
    return [
        *rows.exclude(declared__isnull=True),
        *rows.filter(declared__isnull=True, periodic_task__name__in=list(wanted)),
        *rows.filter(declared__isnull=True, periodic_task__description=_DECLARED_BEFORE).exclude(
            periodic_task__name__in=list(wanted)
        ),
    ]


def _name_of(schedule: Schedule) -> str:
    """Return the name it was declared by: a person may have given it another."""
    declared: dict[str, Any] = schedule.declared or {}
    return str(declared.get("name") or schedule.periodic_task.name)


def _declared(wanted: Wanted) -> dict[str, Any]:
    """Return what is kept beside its row."""
    return {**wanted.values, "name": wanted.name}


def values_of(schedule: Schedule) -> dict[str, Any]:
    """Return what its rows say now, by the fields of a declaration."""
    row: Any = schedule.periodic_task
    try:
        arguments = json.loads(row.kwargs)
    except ValueError:
        arguments = row.kwargs
    return {
        "task": row.task,
        "when": _when(row),
        "arguments": arguments,
        "queue": row.queue or "",
        "expires": row.expire_seconds,
        "enabled": row.enabled,
        **{
            name: value.total_seconds() if isinstance(value, timedelta) else value
            for name in _RULES
            for value in [getattr(schedule, name)]
        },
    }


def _when(row: Any) -> str:
    if row.crontab is None:
        return str(row.scheduler)
    fields = [str(getattr(row.crontab, name)).replace(" ", "") for name in FIELDS]
    return " ".join([*fields, str(row.crontab.timezone)])


def _add(wanted: Wanted) -> None:
    row = PeriodicTask(name=wanted.name, description=wanted.description, enabled=True)
    _set(row, wanted.values)
    row.save()  # the trigger makes the row of its rules
    _keep(row.pk, wanted, wanted.values)
    log.info("schedule_added", schedule=wanted.name)
    _record(row, "added")


def _follow(schedule: Schedule, wanted: Wanted) -> None:
    """Give it the values that are declared anew, but those that a person has changed."""
    now = values_of(schedule)
    before: dict[str, Any] = schedule.declared or wanted.values
    news = {
        name: value
        for name, value in wanted.values.items()
        if value != before.get(name) and now[name] == before.get(name)
    }
    row: Any = schedule.periodic_task
    if row.description == _DECLARED_BEFORE:
        row.description = wanted.description
        row.save(update_fields=["description"])
    if news:
        columns = _set(row, news)
        if columns:  # those alone: a person may be changing others
            row.save(update_fields=[*columns, "date_changed"])
        log.info("schedule_changed", schedule=wanted.name, fields=sorted(news))
        _record(row, "changed", changed=sorted(news))
    _keep(row.pk, wanted, news)


def _retire(schedule: Schedule) -> None:
    row: Any = schedule.periodic_task
    declared: dict[str, Any] = schedule.declared or values_of(schedule)
    if "retired" in declared:
        return
    # One that a person has switched off is not switched on when it is needed again.
    kept = declared | {"retired": True, "enabled": declared["enabled"] and not row.enabled}
    Schedule.objects.filter(pk=schedule.pk).update(declared=kept)
    if row.enabled:
        row.enabled = False
        row.save(update_fields=["enabled", "last_run_at", "date_changed"])
        log.info("schedule_retired", schedule=row.name)
        _record(row, "disabled")


def _record(row: Any, act: str, **detail: Any) -> None:
    audit.record(
        action=f"schedule.{act}",
        subject_type="periodictask",
        subject_id=str(row.pk),
        detail={"schedule": row.name, "declared": True, **detail},
    )


def _set(row: Any, values: dict[str, Any]) -> list[str]:
    """Give the schedule's own row those of the values that stand there; returns its columns."""
    columns = []
    if "when" in values:
        *words, zone = values["when"].split()
        fields = dict(zip(FIELDS, words, strict=True))
        found = CrontabSchedule.objects.filter(**fields, timezone=zone).order_by("id").first()
        row.crontab = found or CrontabSchedule.objects.create(**fields, timezone=zone)
        row.interval = row.clocked = row.solar = None
        columns += ["crontab", "interval", "clocked", "solar"]
    for name, column in (("task", "task"), ("queue", "queue"), ("enabled", "enabled"),
                         ("expires", "expire_seconds")):  # fmt: skip
        if name in values:
            setattr(row, column, values[name])
            columns.append(column)
    if "arguments" in values:
        row.kwargs = json.dumps(values["arguments"])
        columns.append("kwargs")
    return columns


def _keep(pk: int, wanted: Wanted, values: dict[str, Any]) -> None:
    """Give the rules those of the values that stand there, and remember what was declared."""
    rules = {name: values[name] for name in _RULES if name in values}
    for name in _DURATIONS:
        if name in rules:
            rules[name] = timedelta(seconds=rules[name])
    Schedule.objects.filter(pk=pk).update(
        **rules, declared=_declared(wanted), declared_name=wanted.declaration
    )
