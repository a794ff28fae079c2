"""``next``: when schedules are due, or a cron would be, in UTC and in local time."""

import difflib
from argparse import ArgumentTypeError
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django.core.management.base import CommandError
from django.utils import timezone

from jobs.errors import JobsError, UnknownName
from jobs.management.subcommands.terminal import Add, Terminal
from jobs.representation import InstantRow
from jobs.schedules import by_hand
from jobs.schedules.calendars import Days, check_country
from jobs.schedules.timing import Cron, Limited
from jobs.selectors import Instant, ScheduleView, instants, list_schedules, next_instants
from jobs.selectors.schedules import MOST_INSTANTS

#: Instants that are told when nobody says how many.
_COUNT = 20
_YEARS = range(1970, 2201)


class UnknownZone(UnknownName):
    """There is no time zone of this name."""

    noun = "time zone"


def add_to(add: Add) -> None:
    """Define the subcommand."""
    text = (
        "Show when a schedule or a cron is due next, in UTC and in local time; "
        "without either, when each schedule is due next, the soonest first."
    )
    asking = add("next", text, next_)
    asking.add_argument(
        "name", nargs="?", help="a schedule, or a declaration: then all its places together"
    )
    asking.add_argument(
        "--cron", metavar="EXPR", help="instead: five fields, such as '0 8 * * 1-5'"
    )
    asking.add_argument("--timezone", metavar="ZONE", help="of the cron: an IANA name; else UTC")
    asking.add_argument(
        "--days",
        choices=[days.value for days in Days if days is not Days.ALL],
        help="of the cron: business, first_business or last_business (of the month)",
    )
    asking.add_argument(
        "--country", metavar="CODE", help="whose business days: ISO 3166-1, such as DE or DE-BY"
    )
    asking.add_argument(
        "--after",
        type=_instant,
        metavar="TIME",
        help="ISO 8601; without an offset, in the zone of the schedule or cron; else now",
    )
    asking.add_argument(
        "--count",
        type=_how_many,
        help=f"1 to {MOST_INSTANTS}; by default {_COUNT}, or one of each schedule",
    )
    asking.add_argument("--all", action="store_true", help="also the canaries, one for each queue")


def next_(terminal: Terminal, options: dict[str, Any]) -> None:
    """Print instants."""
    _check(options)
    count: int | None = options["count"]
    if options["cron"] is not None:
        found = [("", one) for one in _of_cron(options, count or _COUNT)]
        why = "It is never due."
    else:
        views = _views(options)
        each = 1 if options["name"] is None else count or _COUNT
        found = [(view.name, one) for view in views for one in _of(view, options["after"], each)]
        found.sort(key=lambda pair: (pair[1].utc, pair[0]))
        found = found[: count or (_COUNT if options["name"] is not None else None)]
        why = " ".join(_why_never(view) for view in views) or "There is no schedule."
    if terminal.as_json:
        rows = [(name, InstantRow.of(one).model_dump(mode="json")) for name, one in found]
        terminal.json([{"schedule": name, **row} for name, row in rows])
    elif not found:
        terminal.say(why)
    else:
        many = len({name for name, _ in found}) > 1 or options["name"] is None
        shown = ["schedule"] if many and options["cron"] is None else []
        terminal.table([_line(*pair) for pair in found], ["UTC", "local", *shown])


def _check(options: dict[str, Any]) -> None:
    """Refuse what does not go together."""
    problem = ""
    if options["cron"] is not None and options["name"] is not None:
        problem = "NAME and --cron: expected one of them, and not both."
    for name in ("timezone", "days", "country"):
        if options["cron"] is None and options[name] is not None:
            problem = f"--{name} is for --cron; a schedule has its own."
    if (options["days"] is None) != (options["country"] is None):
        problem = "--days and --country: expected both of them, or neither."
    if problem:
        raise CommandError(problem, returncode=2)


def _of_cron(options: dict[str, Any], count: int) -> list[Instant]:
    zone = _zone(options["timezone"] or "UTC")
    try:
        cron = Cron.parse(options["cron"], zone)
        if options["country"] is not None:
            check_country(options["country"])
    except JobsError as error:
        raise CommandError(str(error), returncode=2) from None
    timing = Limited(
        timing=cron, days=Days(options["days"] or Days.ALL), country=options["country"] or ""
    )
    return instants(timing, after=_later_than(options["after"], zone), count=count)


def _zone(name: str) -> ZoneInfo:
    known = available_timezones()
    if name not in known:
        by_lower = {zone.lower(): zone for zone in known}
        close = difflib.get_close_matches(name.lower(), by_lower, n=1)
        raise UnknownZone(name, [by_lower[found] for found in close])
    return ZoneInfo(name)


def _views(options: dict[str, Any]) -> list[ScheduleView]:
    name = options["name"]
    if name is not None:
        by_hand.schedules_called(name)  # or there is none: did you mean …?
    return [
        view
        for view in list_schedules(name=name)
        if options["all"] or name is not None or not view.is_canary
    ]


def _of(view: ScheduleView, after: datetime | None, count: int) -> Iterable[Instant]:
    return next_instants(view, after=_later_than(after, ZoneInfo(view.zone)), count=count)


def _why_never(view: ScheduleView) -> str:
    if not view.enabled:
        return f"{view.name} is off."
    return f"{view.name}: {view.problem or 'it is never due again.'}"


def _later_than(after: datetime | None, zone: ZoneInfo) -> datetime:
    if after is None:
        return timezone.now()
    return after if after.tzinfo else after.replace(tzinfo=zone)


def _line(name: str, instant: Instant) -> dict[str, str]:
    return {
        "UTC": f"{instant.utc.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        "local": f"{instant.local:%a} {instant.local.isoformat(' ', 'seconds')}",
        "schedule": name,
    }


def _instant(text: str) -> datetime:
    """Read an instant, for argparse; raises ``ArgumentTypeError`` saying what was expected."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.year not in _YEARS:
        raise ArgumentTypeError(
            f"expected a time from {_YEARS[0]} to {_YEARS[-1]}, such as 2026-11-21T09:30 or "
            f"2026-11-21T09:30:00+01:00, not {text!r}"
        )
    return at


def _how_many(text: str) -> int:
    """Read a number of instants, for argparse; raises ``ArgumentTypeError``."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MOST_INSTANTS):
        raise ArgumentTypeError(f"expected a number from 1 to {MOST_INSTANTS}, not {text!r}")
    return int(text)
