"""How schedules and their instants are written on the operators' pages."""

from datetime import UTC, timedelta
from zoneinfo import ZoneInfo

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from jobs.dashboard import schedule_words
from jobs.models import Firing
from jobs.schedules.models import Outcome
from jobs.selectors import Instant, ScheduleView

register = template.Library()

_TONES = {
    Outcome.FIRED: "succeeded",
    Outcome.MISSED: "failed",
    Outcome.OVERLAPPED: "failed",
    Outcome.FAILED: "dead",
}


@register.simple_tag
def local_time(instant: Instant | None) -> SafeString:
    """Write the local time, with the weekday; the title is the instant in UTC."""
    if instant is None:
        return format_html("{}", "–")
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        instant.utc.isoformat(),
        f"{instant.utc.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        f"{instant.local:%a %Y-%m-%d %H:%M}",
    )


@register.simple_tag
def due_at(firing: Firing, zone: str) -> SafeString:
    """Write when an instant of the history was due, in the zone that its schedule has now."""
    local = firing.due_at.astimezone(ZoneInfo(zone))
    return local_time(Instant(utc=firing.due_at, local=local))


@register.filter
def utc_time(instant: Instant) -> str:
    """Write weekday and time of the instant in UTC."""
    return f"{instant.utc.astimezone(UTC):%a %H:%M} UTC"


@register.filter
def when_in_words(view: ScheduleView) -> str:
    """Write when it is due."""
    return schedule_words.when_in_words(view)


@register.filter
def outcome_tone(outcome: str) -> str:
    """Return the colour of what became of an instant: that of the state it stands for."""
    return _TONES.get(Outcome(outcome), "cancelled")


@register.filter
def seconds(time: timedelta | None) -> float | None:
    """Return a length of time in seconds."""
    return None if time is None else time.total_seconds()
