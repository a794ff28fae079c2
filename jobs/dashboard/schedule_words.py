"""A schedule in words: when it is due, by which rules, and what differs from what is declared."""

import json
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any

from cron_descriptor import Options, get_description

from jobs.models import Priority
from jobs.schedules.calendars import Days
from jobs.schedules.models import Missed, Overlap
from jobs.schedules.sync import values_of
from jobs.selectors import ScheduleView
from jobs.templatetags.jobs_format import arguments, duration

_LABELS = {
    "missed": "Missed instants",
    "missed_limit": "Missed instants, at most",
    "when": "When",
    "expires": "Expiry",
}
_CHOICES = {"missed": Missed, "overlap": Overlap, "days": Days}
_SECONDS = {"grace", "jitter", "expires"}


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A field that is otherwise than declared."""

    field: str
    declared: str
    now: str


def when_in_words(view: ScheduleView) -> str:
    """Write when it is due, in its zone: ``At 08:00, Monday through Friday``."""
    text = view.when
    if view.rules.periodic_task.crontab_id is not None:
        text = _cron_in_words(view.when)
    if view.rules.days != Days.ALL:
        country = view.rules.country or "no country"
        text = f"{text}, on {Days(view.rules.days).label} of {country}"
    return text[:1].upper() + text[1:]


@lru_cache(maxsize=1024)
def _cron_in_words(expression: str) -> str:
    options = Options()
    options.use_24hour_time_format = True
    try:
        return str(get_description(expression, options))
    except Exception:  # noqa: BLE001 - whatever it cannot read stays as it was written
        return expression


def rules_in_words(view: ScheduleView) -> list[tuple[str, str]]:
    """Return what is done about its instants, by name."""
    rules, row = view.rules, view.rules.periodic_task
    missed = Missed(rules.missed).label
    if rules.missed == Missed.ALL:
        missed = f"run each, the latest {rules.missed_limit} at most"
    jitter = "none: all jobs begin at once"
    if rules.jitter:
        jitter = f"each job begins up to {_length(rules.jitter)} later"
    expiry = "none: a job waits as long as it must"
    if row.expire_seconds is not None:
        expiry = f"a job that has not begun {duration(row.expire_seconds)} later is cancelled"
    words = [
        ("Missed instants", missed),
        ("Grace", f"what is late by more than {_length(rules.grace)} is never run"),
        ("Overlap", f"while the last job is unfinished: {Overlap(rules.overlap).label}"),
        ("Jitter", jitter),
        ("Expiry", expiry),
        ("Days", _days(rules.days, rules.country)),
    ]
    if row.start_time:
        words.append(("Begins", f"{row.start_time:%Y-%m-%d %H:%M} UTC"))
    if row.expires:
        words.append(("Ends", f"{row.expires:%Y-%m-%d %H:%M} UTC"))
    if row.one_off:
        words.append(("One-off", "it runs once, and is switched off then"))
    return words


def options_in_words(view: ScheduleView) -> list[tuple[str, str]]:
    """Return what its jobs are given beside their arguments, where it is not the task's own."""
    row = view.rules.periodic_task
    words = []
    if row.queue:
        words.append(("Queue", row.queue))
    if row.priority is not None:
        words.append(("Priority", dict(Priority.choices).get(row.priority, str(row.priority))))
    return words


def differences(view: ScheduleView) -> list[Difference]:
    """Return the fields that a person has changed, as they are declared and as they are."""
    declared: dict[str, Any] = view.rules.declared or {}
    values = values_of(view.rules)
    return [
        Difference(
            field=_LABELS.get(name, name.capitalize()),
            declared=_value(name, declared.get(name)),
            now=_value(name, values[name]),
        )
        for name in view.changed
    ]


def _value(name: str, value: Any) -> str:
    if value is None or value == "":
        return "–"
    if name in _SECONDS and isinstance(value, int | float):
        return duration(value) if value else "none"
    if name in _CHOICES:
        return str(dict(_CHOICES[name].choices).get(value, value))
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, dict):
        return arguments(value) or "none"
    return value if isinstance(value, str) else json.dumps(value)


def _days(days: str, country: str) -> str:
    label = Days(days).label
    return label if days == Days.ALL else f"{label} of {country or 'no country'}"


def _length(time: timedelta) -> str:
    return duration(time.total_seconds())
