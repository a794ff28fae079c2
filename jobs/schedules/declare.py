"""Schedules that the code declares, each beside its app, in a module called ``schedules``.

One that is done for tenants stands once for each time zone in use, so that its local time is
theirs; one that is limited to business days, once for each zone and country.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

from jobs.queues import QUEUES
from jobs.schedules.calendars import Days
from jobs.schedules.models import Missed, Overlap
from jobs.schedules.timing import Cron


@dataclass(frozen=True, kw_only=True, order=True)
class Place:
    """Where tenants are: an IANA time zone, and an ISO 3166-1 country, perhaps with a part."""

    zone: str
    country: str = ""


class Per(Enum):
    """How many rows a declaration becomes."""

    #: One, in UTC.
    SERVICE = "service"
    #: One for each zone in use; its task takes ``zone``, and ``country`` with business days.
    ZONE = "zone"
    #: One for each queue, in UTC; its task takes ``queue``, and runs there.
    QUEUE = "queue"


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """Something that is done again and again.

    Raises:
        BadTiming: the cron cannot be read.
    """

    #: Unique, ``<app>.<what>``; the rows add where: ``inventory.check_stock [Europe/Berlin]``.
    name: str
    #: The wire name of the task.
    task: str
    #: Minute, hour, day of month, month, weekday, in local time.
    cron: str
    per: Per = Per.ZONE
    #: Beside zone, country and queue.
    arguments: Mapping[str, Any] = field(default_factory=dict)
    days: Days = Days.ALL
    missed: Missed = Missed.ONCE
    missed_limit: int = 10
    grace: timedelta = timedelta(hours=12)
    overlap: Overlap = Overlap.ALLOW
    jitter: timedelta = timedelta(0)
    #: After its instant; a job that has not begun by then is cancelled.
    expires: timedelta | None = None
    #: What it is for, for operators.
    description: str = ""

    def __post_init__(self) -> None:
        Cron.parse(self.cron, ZoneInfo("UTC"))


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A row that should be there: its name, and its values by field (see :mod:`.sync`)."""

    name: str
    declaration: str
    description: str
    values: dict[str, Any]


_DECLARED: dict[str, Declaration] = {}


def declare(*declarations: Declaration) -> None:
    """Have these schedules stand in the table from the next start of a beat on.

    Raises:
        TypeError: two are called alike.
    """
    for one in declarations:
        if one.name in _DECLARED and _DECLARED[one.name] != one:
            raise TypeError(f"two schedules are called {one.name!r}")
        _DECLARED[one.name] = one


def declared() -> Mapping[str, Declaration]:
    """Return all declarations, by name."""
    return _DECLARED


_places: Callable[[], Iterable[Place]] = tuple
_place_of: Callable[[str], Place | None] = lambda tenant: None  # noqa: E731 - told later, below


def places_come_from(
    places: Callable[[], Iterable[Place]], place_of: Callable[[str], Place | None]
) -> None:
    """Say who knows where tenants are: all places in use, and that of one tenant's key.

    The engine knows no tenants but by their keys; the app that does calls this once.
    """
    global _places, _place_of
    _places, _place_of = places, place_of


def place_of(tenant: str) -> Place | None:
    """Return where the tenant is; None: nobody knows it."""
    return _place_of(tenant)


def wanted_rows() -> list[Wanted]:
    """Return the rows that should be there now."""
    places = sorted(set(_places()))
    return [row for one in _DECLARED.values() for row in _rows(one, places)]


def _rows(one: Declaration, places: list[Place]) -> Iterator[Wanted]:
    if one.per is Per.SERVICE:
        yield _row(one, one.name, "UTC", {})
    elif one.per is Per.QUEUE:
        for queue in QUEUES:
            yield _row(one, f"{one.name} [{queue}]", "UTC", {"queue": queue}, queue=queue)
    elif one.days is Days.ALL:
        for zone in sorted({place.zone for place in places}):
            yield _row(one, f"{one.name} [{zone}]", zone, {"zone": zone})
    else:
        for place in places:
            where = {"zone": place.zone, "country": place.country}
            name = f"{one.name} [{place.zone} {place.country or '?'}]"
            yield _row(one, name, place.zone, where, country=place.country)


def _row(
    one: Declaration, name: str, zone: str, where: dict[str, str], *, queue: str = "",
    country: str = "",
) -> Wanted:  # fmt: skip
    return Wanted(
        name=name,
        declaration=one.name,
        description=one.description,
        values={
            "task": one.task,
            "when": f"{one.cron} {zone}",
            "arguments": {**one.arguments, **where},
            "queue": queue,
            "expires": None if one.expires is None else int(one.expires.total_seconds()),
            "enabled": True,
            "missed": one.missed.value,
            "missed_limit": one.missed_limit,
            "grace": one.grace.total_seconds(),
            "overlap": one.overlap.value,
            "jitter": one.jitter.total_seconds(),
            "days": one.days.value,
            "country": country,
        },
    )
