"""How durations, moments, states and JSON are written on the operators' pages."""

import json
from datetime import UTC, datetime
from typing import Any

from django import template
from django.contrib.humanize.templatetags.humanize import intcomma
from django.utils.html import format_html
from django.utils.safestring import SafeString

from jobs.dashboard.charts import Bar, throughput_bars
from jobs.models import Attempt, DeadLetter
from jobs.selectors import Certainty, Count, Minute

register = template.Library()

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


@register.filter
def duration(seconds: float | None) -> str:
    """Write seconds for people: ``3 ms``, ``1.2 s``, ``4 min 5 s``, ``2 h 10 min``, ``3 d 4 h``."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s" if seconds < 10 else f"{int(seconds)} s"
    for size, unit, smaller, small_unit in (
        (_DAY, "d", _HOUR, "h"),
        (_HOUR, "h", _MINUTE, "min"),
        (_MINUTE, "min", 1, "s"),
    ):
        if seconds >= size:
            whole, rest = divmod(int(seconds), size)
            return (
                f"{whole} {unit} {rest // smaller} {small_unit}"
                if rest // smaller
                else (f"{whole} {unit}")
            )
    raise AssertionError(seconds)


@register.simple_tag
def moment(at: datetime | None) -> SafeString:
    """Write how long ago (or in how long) ``at`` is, with the full time as its title."""
    if at is None:
        return format_html("{}", "–")
    seconds = (datetime.now(UTC) - at).total_seconds()
    if abs(seconds) < 1:
        text = "now"
    else:
        text = (
            f"{duration(_coarse(seconds))} ago"
            if seconds > 0
            else f"in {duration(_coarse(-seconds))}"
        )
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', at.isoformat(), _in_full(at), text
    )


def _coarse(seconds: float) -> float:
    """Seconds do not matter in hours, nor minutes in days."""
    for size in (_DAY, _HOUR, _MINUTE):
        if seconds >= size * (1 if size != _MINUTE else 10):
            return seconds - seconds % size if size != _MINUTE else seconds - seconds % _MINUTE
    return float(int(seconds))


@register.filter
def in_full(at: datetime | None) -> str:
    """Write date and time to the millisecond, with their offset."""
    return "–" if at is None else _in_full(at)


def _in_full(at: datetime) -> str:
    return at.isoformat(sep=" ", timespec="milliseconds")


@register.filter
def seconds_since(later: datetime | None, earlier: datetime | None) -> float | None:
    """Return the seconds from ``earlier`` to ``later``; None when either is not known."""
    if later is None or earlier is None:
        return None
    return max(0.0, (later - earlier).total_seconds())


@register.filter
def as_json(value: Any) -> str:
    """Write JSON over several lines."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


@register.filter
def arguments(payload: Any) -> str:
    """Write arguments in one line: ``order_id=10248 dry_run=false``."""
    if not isinstance(payload, dict):
        return json.dumps(payload, ensure_ascii=False, default=str)
    return " ".join(
        f"{key}={json.dumps(value, ensure_ascii=False, default=str)}"
        for key, value in payload.items()
        if value is not None
    )


@register.filter
def percent(progress: Any) -> float | None:
    """Return how much of ``{"done": …, "total": …}`` is done, from 0 to 100; None: not known."""
    if not isinstance(progress, dict):
        return None
    done, total = progress.get("done"), progress.get("total")
    if not isinstance(done, int | float) or not isinstance(total, int | float) or total <= 0:
        return None
    return round(min(max(done / total, 0.0), 1.0) * 100, 1)


@register.filter
def tone(outcome: str) -> str:
    """Return the colour of an attempt's outcome: that of the state it stands for."""
    return {
        Attempt.Outcome.SUCCEEDED: "succeeded",
        Attempt.Outcome.FAILED: "failed",
        Attempt.Outcome.CRASHED: "dead",
    }.get(Attempt.Outcome(outcome), "cancelled")


@register.filter
def reason(value: str) -> str:
    """Write why a job died."""
    return str(dict(DeadLetter.Reason.choices).get(value, value))


@register.filter
def count(jobs: int) -> str:
    """Write a number of jobs: ``1,234``, ``≈ 104,200`` when it is about so many, ``10,000+``."""
    match jobs:
        case Count(certainty=Certainty.ABOUT):
            # The last digits are wrong by the time they are read.
            return f"\N{ALMOST EQUAL TO} {intcomma(round(jobs, 3 - len(str(int(jobs)))))}"
        case Count(certainty=Certainty.AT_LEAST):
            return f"{intcomma(int(jobs))}+"
    return str(intcomma(jobs))


@register.filter
def bars(minutes: list[Minute]) -> list[Bar]:
    """Return the bars of a queue's throughput."""
    return throughput_bars(minutes[-30:])


@register.filter
def get(mapping: dict[str, Any], key: str) -> Any:
    """Look ``key`` up."""
    return mapping.get(key)
