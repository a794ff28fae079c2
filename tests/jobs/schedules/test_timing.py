"""When schedules are due: compared with an oracle, and with facts from the calendar."""

import time
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise, takewhile, zip_longest
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.schedules.calendars import Days, UnknownCountry
from jobs.schedules.timing import BadTiming, Cron, Every, Limited, Once, Timing
from tests.jobs.schedules import oracle

BEGIN = datetime(2024, 12, 30, tzinfo=UTC)  # so that 2025 to 2027 are whole in every zone
END = datetime(2028, 1, 3, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")

ZONES = [
    "UTC",
    "America/New_York",
    "America/Sao_Paulo",
    "America/Guyana",
    "America/St_Johns",
    "Europe/Berlin",
    "Europe/Bucharest",
    "Africa/Cairo",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
    # Their clocks jump back before and after Ramadan, near midnight, at midnight, by two hours.
    "Africa/Casablanca",
    "America/Nuuk",
    "Asia/Beirut",
    "America/Havana",
    "Antarctica/Troll",
]
SHIFTING_ZONES = [name for name in ZONES if oracle.shifts_of(ZoneInfo(name))]

DAILY = ["0 0 * * *", "30 1 * * *", "0 2 * * *", "30 2 * * *", "0 3 * * *"]
HOURLY = "0 * * * *"
QUARTERLY = "*/15 * * * *"
CRONS = [
    *DAILY,
    HOURLY,
    "0 8 * * 1-5",
    "0 9 31 * *",
    "0,30 2 * * *",
    "0 2,3 * * *",
    "59 23 * * *",
    "30 0 * * *",
    "*/20 2 * * *",
    "15 */6 * * *",
    "0 22-2 * * sat-sun",
    "59 23 * * sat",
    "0-59 2 * 3,4,10 sun",
    "20 0-23 * 3,4,9-11 sun",
    "50-10/20 23-1 * 3,4,10 5-1",
    "0 9 13 * fri",
    "30 2 */2 3,10,11 sun",
    "0 0 28-3 11-2 *",
]


def before(end: datetime, moments: Iterable[datetime]) -> list[datetime]:
    return list(takewhile(lambda at: at < end, moments))


def shifts_in_the_period(zone: ZoneInfo) -> list[datetime]:
    return [shift for shift in oracle.shifts_of(zone) if BEGIN < shift < END]


def stretches(zone: ZoneInfo) -> list[tuple[datetime, datetime]]:
    """Return when to look at a cron of many instants: all of three years in one zone only."""
    if zone.key == "Australia/Lord_Howe":
        return [(BEGIN, END)]
    days = timedelta(days=5)
    around = [(shift - days, shift + days) for shift in shifts_in_the_period(zone)]
    return around or [(BEGIN, BEGIN + timedelta(days=60))]


def first_difference(got: Iterable[datetime], expected: Iterable[datetime]) -> str:
    """Return where two lists part, or nothing: a full diff of long ones would take minutes."""
    for got_next, expected_next in zip_longest(got, expected):
        if got_next != expected_next:
            return f"expected {expected_next}, got {got_next}"
    return ""


def in_utc(*moments: datetime) -> list[datetime]:
    return [moment.astimezone(UTC) for moment in moments]


def days_of(timing: Timing, year: int) -> list[date]:
    """Return the local days in a year on which the timing is due."""
    zone = timing.zone
    found = timing.after(datetime(year, 1, 1, tzinfo=zone) - timedelta(microseconds=1))
    locals_ = (at.astimezone(zone).date() for at in found)
    return list(takewhile(lambda day: day.year == year, locals_))


def at_eight(days: Days, country: str, zone: str = "Europe/Berlin") -> Limited:
    return Limited(timing=Cron.parse("0 8 * * *", ZoneInfo(zone)), days=days, country=country)


# --- Crons, over three years of each zone


@pytest.fixture(scope="module", params=ZONES)
def zone(request: pytest.FixtureRequest) -> ZoneInfo:
    """Each of the zones; all tests of one run together."""
    return ZoneInfo(request.param)


@pytest.fixture(scope="module")
def found(zone: ZoneInfo) -> dict[str, list[datetime]]:
    """Return what the code says of each cron for the whole period."""
    return {
        expression: before(END, Cron.parse(expression, zone).after(BEGIN)) for expression in CRONS
    }


def test_a_cron_is_due_when_the_oracle_says_so(
    zone: ZoneInfo, found: dict[str, list[datetime]]
) -> None:
    parted = {
        expression: first_difference(
            instants, before(END, oracle.due(expression, zone, after=BEGIN))
        )
        for expression, instants in found.items()
    }
    assert {expression: where for expression, where in parted.items() if where} == {}


def test_a_daily_cron_is_due_once_on_each_local_day(
    zone: ZoneInfo, found: dict[str, list[datetime]]
) -> None:
    first = date(2025, 1, 1)
    every_day = [first + timedelta(days=number) for number in range(365 * 3)]
    assert every_day[-1] == date(2027, 12, 31)
    for expression in DAILY:
        days = [at.astimezone(zone).date() for at in found[expression]]
        assert [day for day in days if 2025 <= day.year <= 2027] == every_day, expression


def test_an_hourly_cron_is_due_each_3600_seconds_where_shifts_are_whole_hours(
    zone: ZoneInfo, found: dict[str, list[datetime]]
) -> None:
    instants = found[HOURLY]
    half_an_hour_more = {timedelta(seconds=5400)} if zone.key == "Australia/Lord_Howe" else set()
    distances = {later - sooner for sooner, later in pairwise(instants)}
    assert distances == {timedelta(seconds=3600), *half_an_hour_more}
    assert instants[-1] - instants[0] > END - BEGIN - timedelta(hours=3)


def test_a_cron_of_15_minutes_is_due_each_900_seconds_whatever_the_clock_does(
    zone: ZoneInfo,
) -> None:
    for begin, end in stretches(zone):
        instants = before(end, Cron.parse(QUARTERLY, zone).after(begin))
        expected = before(end, oracle.due(QUARTERLY, zone, after=begin))
        assert first_difference(instants, expected) == ""
        assert {later - sooner for sooner, later in pairwise(instants)} == {timedelta(seconds=900)}
        assert len(instants) == (end - begin) // timedelta(seconds=900) - 1


@pytest.mark.parametrize("name", SHIFTING_ZONES)
def test_the_oracle_agrees_with_looking_at_the_clock_in_each_minute_around_a_shift(
    name: str,
) -> None:
    zone = ZoneInfo(name)
    for shift in shifts_in_the_period(zone):
        since, until = shift - timedelta(hours=9), shift + timedelta(hours=9)
        minutes = oracle.minute_of(since), oracle.minute_of(until)
        for expression in (*CRONS, QUARTERLY):
            due = before(until, oracle.due(expression, zone, after=since - timedelta(minutes=1)))
            walked = oracle.due_by_walking(expression, zone, *minutes)
            assert due == [oracle.instant_of(minute) for minute in walked], (shift, expression)


def test_the_zones_shift_in_every_awkward_way() -> None:
    def shifts(name: str) -> set[tuple[str, int]]:
        spans = oracle.spans_of(ZoneInfo(name))
        return {
            (f"{oracle.instant_of(new.start + old.ahead):%H:%M}", new.ahead - old.ahead)
            for old, new in pairwise(spans)
        }

    assert shifts("Asia/Kolkata") == set()
    assert shifts("Europe/Berlin") == {("02:00", 60), ("03:00", -60)}
    assert shifts("Australia/Lord_Howe") == {("02:00", 30), ("02:00", -30)}
    assert shifts("America/Havana") == {("00:00", 60), ("01:00", -60)}
    assert shifts("Asia/Beirut") == {("00:00", 60), ("00:00", -60)}
    assert shifts("America/Nuuk") == {("23:00", 60), ("00:00", -60)}
    assert shifts("Antarctica/Troll") == {("01:00", 120), ("03:00", -120)}


def test_a_time_in_a_gap_is_due_at_its_end_and_one_that_comes_twice_the_first_time() -> None:
    # Clocks in Berlin: 2026-03-29 02:00 to 03:00, and 2026-10-25 03:00 back to 02:00.
    in_gap = Cron.parse("30 2 * * *", BERLIN).after(datetime(2026, 3, 28, 12, tzinfo=UTC))
    assert next(in_gap) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    assert next(in_gap) == datetime(2026, 3, 30, 0, 30, tzinfo=UTC)
    twice = Cron.parse("30 2 * * *", BERLIN).after(datetime(2026, 10, 24, 12, tzinfo=UTC))
    assert next(twice) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert next(twice) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


def test_times_in_one_gap_and_at_its_end_are_due_once() -> None:
    found = Cron.parse("0,30 2,3 * * *", BERLIN).after(datetime(2026, 3, 29, tzinfo=UTC))
    assert list(islice(found, 3)) == [
        datetime(2026, 3, 29, 1, 0, tzinfo=UTC),  # 02:00, 02:30 and 03:00
        datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
        datetime(2026, 3, 30, 0, 0, tzinfo=UTC),
    ]


def test_a_time_in_a_gap_before_midnight_is_due_on_the_next_day_though_only_its_own_fits() -> None:
    # Nuuk, in the night to Sunday 2026-03-29: after 22:59 comes 00:00.
    found = Cron.parse("30 23 * * sat", ZoneInfo("America/Nuuk"))
    after = found.after(datetime(2026, 3, 28, 12, tzinfo=UTC))
    assert next(after) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    assert next(after) == datetime(2026, 4, 5, 0, 30, tzinfo=UTC)


def test_day_month_and_weekday_must_all_fit() -> None:
    friday_13th = Cron.parse("0 9 13 * fri", BERLIN)
    assert days_of(friday_13th, 2026) == [date(2026, month, 13) for month in (2, 3, 11)]


def test_names_of_weekdays_and_numbers_mean_the_same() -> None:
    for named, numbered in [("mon-fri", "1-5"), ("sat,sun", "0,6"), ("sat-sun", "6-0")]:
        with_names = Cron.parse(f"0 8 * * {named}", BERLIN)
        with_numbers = Cron.parse(f"0 8 * * {numbered}", BERLIN)
        assert days_of(with_names, 2026) == days_of(with_numbers, 2026)
    assert days_of(with_numbers, 2026)[:2] == [date(2026, 1, 3), date(2026, 1, 4)]


def test_fields_may_be_given_one_by_one() -> None:
    timing = Cron(minute="30", hour="2", day_of_week="sun", zone=BERLIN)
    parsed = Cron.parse("30 2 * * sun", BERLIN)
    assert list(islice(timing.after(BEGIN), 99)) == list(islice(parsed.after(BEGIN), 99))


# --- Beginning anywhere


@st.composite
def places(draw: st.DrawFn) -> tuple[str, str, datetime]:
    """Draw a zone, a cron, and an instant near a shift of the zone, or anywhere if it has none."""
    name = draw(st.sampled_from(ZONES))
    expression = draw(st.sampled_from([*CRONS, QUARTERLY]))
    shifts = shifts_in_the_period(ZoneInfo(name))
    near = draw(st.sampled_from(shifts or [datetime(2026, 6, 30, 22, tzinfo=UTC)]))
    hours = timedelta(hours=3)
    distance = draw(
        st.timedeltas(-hours, hours)
        | st.integers(-180, 180).map(lambda minutes: timedelta(minutes=minutes))
    )
    seen_from = draw(st.sampled_from([UTC, ZoneInfo(name), ZoneInfo("Asia/Tokyo")]))
    return name, expression, (near + distance).astimezone(seen_from)


@settings(max_examples=400, deadline=None)
@given(places())
def test_what_comes_next_is_right_from_any_instant_near_a_shift(
    place: tuple[str, str, datetime],
) -> None:
    name, expression, instant = place
    zone = ZoneInfo(name)
    got = list(islice(Cron.parse(expression, zone).after(instant), 10))
    assert got == list(islice(oracle.due(expression, zone, after=instant), 10))
    assert {at.tzinfo for at in got} == {UTC}


@pytest.mark.parametrize("name", SHIFTING_ZONES)
def test_beginning_at_each_instant_gives_the_following_one(name: str) -> None:
    zone = ZoneInfo(name)
    for expression in ("0,30 2 * * *", "*/15 * * * *", "59 23 * * *", "0 0 * * *"):
        timing = Cron.parse(expression, zone)
        for shift in oracle.shifts_of(zone)[:3]:
            since = shift - timedelta(hours=30)
            once = list(islice(timing.after(since), 200))
            in_steps = [since]
            while in_steps[-1] < shift + timedelta(hours=5):
                in_steps.append(next(timing.after(in_steps[-1])))
            assert in_steps[1:] == once[: len(in_steps) - 1]


@pytest.mark.timeout(10)  # a search for the next minute may go round and round a shift
@pytest.mark.parametrize(
    ("name", "expression"),
    [
        ("Pacific/Chatham", "*/15 3 * * *"),
        ("Pacific/Chatham", "*/5 3 * * *"),
        ("Pacific/Chatham", "50 */3 * * *"),
        ("Pacific/Chatham", "*/15 3-4 * * *"),
        ("Pacific/Chatham", "12,52 */2 * * *"),
        ("Pacific/Chatham", "*/7 3,13 * * 1-5"),
        ("Australia/Lord_Howe", "0 */2 * * *"),
        ("Australia/Lord_Howe", "15 */6 * * *"),
        ("Australia/Lord_Howe", "*/8 22,23 * * *"),
        ("America/Nuuk", "59 23 * * sat"),
        ("America/Nuuk", "59 23 * * sun"),
        ("America/Scoresbysund", "37 22,23 * * sun"),
        ("Asia/Beirut", "*/20 1 */3 * *"),
        ("Asia/Beirut", "*/20 0-1 28-30 3 *"),
        ("America/Havana", "*/20 1 8-9 * *"),
    ],
)
def test_a_cron_is_right_around_a_shift_within_an_hour_or_at_the_edge_of_a_day(
    name: str, expression: str
) -> None:
    zone = ZoneInfo(name)
    for shift in shifts_in_the_period(zone):
        begin, end = shift - timedelta(days=2), shift + timedelta(days=9)
        got = before(end, Cron.parse(expression, zone).after(begin))
        assert got == before(end, oracle.due(expression, zone, after=begin)), shift


# --- Impossible and rare dates


@pytest.mark.parametrize(
    "expression",
    ["0 0 31 4 *", "0 0 30 2 *", "* * 31 2,4,6,9,11 *", "0 12 30-31 2 mon", "*/5 * 31 4 *"],
)
def test_a_date_that_never_comes_yields_nothing_and_says_so_soon(expression: str) -> None:
    begun = time.perf_counter()
    assert list(Cron.parse(expression, BERLIN).after(BEGIN)) == []
    assert time.perf_counter() - begun < 2


def test_the_29_of_february_is_found_over_a_century_without_one() -> None:
    leap_day = Cron.parse("0 12 29 2 *", ZoneInfo("UTC"))
    assert next(leap_day.after(BEGIN)) == datetime(2028, 2, 29, 12, tzinfo=UTC)
    later = leap_day.after(datetime(2096, 3, 1, tzinfo=UTC))
    assert next(later) == datetime(2104, 2, 29, 12, tzinfo=UTC)


def test_a_monday_on_the_29_of_february_is_found_18_years_ahead() -> None:
    monday = Cron.parse("0 0 29 2 mon", ZoneInfo("UTC"))
    assert next(monday.after(BEGIN)) == datetime(2044, 2, 29, tzinfo=UTC)


# --- Wrong fields


@pytest.mark.parametrize(
    ("expression", "field"),
    [
        ("60 * * * *", "minute"),
        ("-1 * * * *", "minute"),
        ("1.5 * * * *", "minute"),
        ("*/x * * * *", "minute"),
        ("*/0 * * * *", "minute"),
        ("1, * * * *", "minute"),
        ("* 24 * * *", "hour"),
        ("* 8am * * *", "hour"),
        ("* * 0 * *", "day_of_month"),
        ("* * 32 * *", "day_of_month"),
        ("* * L * *", "day_of_month"),
        ("* * * 0 *", "month_of_year"),
        ("* * * 13 *", "month_of_year"),
        ("* * * * 8", "day_of_week"),
        ("* * * * noday", "day_of_week"),
        ("* * * * mon-noday", "day_of_week"),
    ],
)
def test_a_wrong_field_is_refused_by_its_name(expression: str, field: str) -> None:
    with pytest.raises(BadTiming, match=rf"\b{field}\b"):
        Cron.parse(expression, BERLIN)


def test_the_name_of_a_wrong_field_is_told_when_fields_are_given_one_by_one() -> None:
    with pytest.raises(BadTiming, match="hour"):
        Cron(minute="0", hour="25", zone=BERLIN)


@pytest.mark.parametrize("expression", ["", "* * * *", "* * * * * *", "@daily"])
def test_a_cron_of_other_than_five_fields_is_refused(expression: str) -> None:
    with pytest.raises(BadTiming, match="five fields"):
        Cron.parse(expression, BERLIN)


# --- Every


@given(
    st.timedeltas(timedelta(seconds=1), timedelta(days=400)),
    st.datetimes(datetime(2015, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
    st.timedeltas(timedelta(0), timedelta(days=4000)),
)
def test_an_interval_never_drifts(interval: timedelta, anchor: datetime, gone: timedelta) -> None:
    found = islice(Every(interval=interval, anchor=anchor).after(anchor + gone), 3)
    passed = gone // interval
    assert list(found) == [anchor + interval * (passed + number) for number in (1, 2, 3)]


def test_an_interval_is_due_at_its_anchor() -> None:
    every = Every(interval=timedelta(minutes=7), anchor=BEGIN)
    assert next(every.after(BEGIN - timedelta(microseconds=1))) == BEGIN
    assert next(every.after(BEGIN)) == BEGIN + timedelta(minutes=7)


def test_an_interval_is_never_due_before_its_anchor() -> None:
    every = Every(interval=timedelta(minutes=7), anchor=BEGIN)
    assert next(every.after(BEGIN - timedelta(days=3))) == BEGIN


def test_an_interval_of_a_day_is_24_hours_though_the_clock_of_its_anchor_shifts() -> None:
    anchor = datetime(2026, 3, 28, 8, tzinfo=BERLIN)
    every = Every(interval=timedelta(days=1), anchor=anchor, zone=BERLIN)
    found = list(islice(every.after(anchor), 2))
    assert found == in_utc(
        datetime(2026, 3, 29, 9, tzinfo=BERLIN), datetime(2026, 3, 30, 9, tzinfo=BERLIN)
    )
    assert {at.tzinfo for at in found} == {UTC}


def test_a_large_jump_takes_no_time() -> None:
    every = Every(interval=timedelta(seconds=1), anchor=BEGIN)
    begun = time.perf_counter()
    ten_years_on = BEGIN.replace(year=2034)
    assert next(every.after(ten_years_on)) == ten_years_on + timedelta(seconds=1)
    assert time.perf_counter() - begun < 0.5


@pytest.mark.parametrize("interval", [timedelta(0), timedelta(seconds=-5)])
def test_an_interval_that_does_not_advance_is_refused(interval: timedelta) -> None:
    with pytest.raises(BadTiming, match="interval"):
        Every(interval=interval, anchor=BEGIN)


# --- Once


def test_once_is_due_at_its_moment_and_never_again() -> None:
    once = Once(at=BEGIN)
    assert list(once.after(BEGIN - timedelta(microseconds=1))) == [BEGIN]
    assert list(once.after(BEGIN)) == []
    assert list(once.after(BEGIN + timedelta(days=1))) == []


def test_once_is_told_in_utc_wherever_it_was_said() -> None:
    (found,) = Once(at=datetime(2026, 7, 1, 8, tzinfo=BERLIN)).after(BEGIN)
    assert found == datetime(2026, 7, 1, 6, tzinfo=UTC)
    assert found.tzinfo is UTC


# --- Limits


def limited(start: datetime | None = None, end: datetime | None = None) -> Iterator[datetime]:
    timing = Cron.parse("0 8 * * *", ZoneInfo("UTC"))
    return Limited(timing=timing, start=start, end=end).after(BEGIN)


def test_an_instant_at_the_start_is_due() -> None:
    start = datetime(2026, 5, 1, 8, tzinfo=UTC)
    assert next(limited(start=start)) == start
    assert next(limited(start=start + timedelta(microseconds=1))) == start + timedelta(days=1)


def test_an_instant_at_the_end_is_not_due() -> None:
    end = BEGIN + timedelta(days=2, hours=8)
    days = [BEGIN + timedelta(days=number, hours=8) for number in range(3)]
    assert list(limited(end=end)) == days[:2]
    assert list(limited(end=end + timedelta(microseconds=1))) == days


def test_nothing_is_due_in_a_season_that_is_over_or_empty() -> None:
    assert list(limited(end=BEGIN)) == []
    assert list(limited(start=BEGIN + timedelta(days=9), end=BEGIN + timedelta(days=9))) == []


def test_what_is_asked_after_the_start_is_strictly_later() -> None:
    start = datetime(2026, 5, 1, 8, tzinfo=UTC)
    timing = Limited(timing=Cron.parse("0 8 * * *", ZoneInfo("UTC")), start=start)
    assert next(timing.after(start)) == start + timedelta(days=1)


@pytest.mark.parametrize(
    "timing",
    [
        Every(interval=timedelta(hours=1), anchor=BEGIN),
        Once(at=BEGIN + timedelta(days=3)),
        Cron.parse("*/10 * * * *", ZoneInfo("UTC")),
    ],
    ids=lambda timing: type(timing).__name__,
)
def test_any_timing_can_be_limited(timing: Timing) -> None:
    start, end = BEGIN + timedelta(days=3), BEGIN + timedelta(days=3, hours=2)
    found = list(Limited(timing=timing, start=start, end=end).after(BEGIN))
    alone = before(end, timing.after(BEGIN))
    assert found == [at for at in alone if at >= start]
    assert found[0] == start


# --- Business days


def test_german_holidays_and_weekends_are_left_out() -> None:
    holidays = {(1, 1), (4, 3), (4, 6), (5, 1), (5, 14), (5, 25), (12, 25)}  # on weekdays of 2026
    new_year = date(2026, 1, 1)
    year = [new_year + timedelta(days=number) for number in range(365)]
    expected = [d for d in year if d.weekday() < 5 and (d.month, d.day) not in holidays]
    assert len(expected) == 254
    assert days_of(at_eight(Days.BUSINESS, "DE"), 2026) == expected


def test_a_part_of_a_country_has_holidays_of_its_own() -> None:
    germany = set(days_of(at_eight(Days.BUSINESS, "DE"), 2026))
    bavaria = set(days_of(at_eight(Days.BUSINESS, "DE-BY"), 2026))
    # Epiphany and Corpus Christi; Assumption is on a Saturday and All Saints on a Sunday.
    assert germany - bavaria == {date(2026, 1, 6), date(2026, 6, 4)}
    assert bavaria < germany


def test_the_first_business_day_of_each_month_in_germany() -> None:
    first = [2, 2, 2, 1, 4, 1, 1, 3, 1, 1, 2, 1]
    expected = [date(2026, month, day) for month, day in enumerate(first, start=1)]
    assert days_of(at_eight(Days.FIRST_BUSINESS, "DE"), 2026) == expected


def test_the_last_business_day_of_each_month_in_germany() -> None:
    last = [30, 27, 31, 30, 29, 30, 31, 31, 30, 30, 30, 31]
    expected = [date(2026, month, day) for month, day in enumerate(last, start=1)]
    assert days_of(at_eight(Days.LAST_BUSINESS, "DE"), 2026) == expected


def test_easter_at_the_turn_of_a_month_moves_its_business_days() -> None:
    # 2024: Good Friday was 29 March, Easter Monday 1 April.
    assert date(2024, 3, 28) in days_of(at_eight(Days.LAST_BUSINESS, "DE"), 2024)
    assert date(2024, 4, 2) in days_of(at_eight(Days.FIRST_BUSINESS, "DE"), 2024)


@pytest.mark.parametrize(("country", "zone"), [("SA", "Asia/Riyadh"), ("EG", "Africa/Cairo")])
def test_a_weekend_may_be_friday_and_saturday(country: str, zone: str) -> None:
    days = days_of(at_eight(Days.BUSINESS, country, zone), 2026)
    sunday = date(2026, 7, 5)
    week = [day for day in days if sunday <= day < sunday + timedelta(days=7)]
    assert week == [sunday + timedelta(days=number) for number in range(5)]


def test_the_day_is_that_of_the_schedule_s_zone_not_of_utc() -> None:
    # Monday 08:00 in Tokyo is still Sunday in UTC, and Saturday 08:00 still Friday.
    timing = at_eight(Days.BUSINESS, "JP", "Asia/Tokyo")
    found = timing.after(datetime(2026, 6, 4, 12, tzinfo=UTC))
    assert next(found) == datetime(2026, 6, 4, 23, tzinfo=UTC)
    assert next(found) == datetime(2026, 6, 7, 23, tzinfo=UTC)


def test_an_interval_s_days_are_those_of_its_zone() -> None:
    tokyo = ZoneInfo("Asia/Tokyo")
    anchor = datetime(2026, 6, 5, 23, tzinfo=UTC)  # Saturday 08:00 in Tokyo
    every = Every(interval=timedelta(days=1), anchor=anchor, zone=tokyo)
    found = Limited(timing=every, days=Days.BUSINESS, country="JP").after(BEGIN)
    assert next(found) == datetime(2026, 6, 7, 23, tzinfo=UTC)


def test_every_time_of_a_business_day_is_due() -> None:
    timing = Cron.parse("0 */6 * * *", BERLIN)
    found = Limited(timing=timing, days=Days.LAST_BUSINESS, country="DE").after(
        datetime(2026, 1, 29, tzinfo=UTC)
    )
    hours = [datetime(2026, 1, 30, hour, tzinfo=BERLIN) for hour in (0, 6, 12, 18)]
    assert list(islice(found, 4)) == in_utc(*hours)
    assert next(found) == datetime(2026, 2, 27, tzinfo=BERLIN).astimezone(UTC)


def test_business_days_stay_between_start_and_end() -> None:
    timing = Limited(
        timing=Cron.parse("0 8 * * *", BERLIN),
        start=datetime(2026, 12, 24, 8, tzinfo=BERLIN),
        end=datetime(2026, 12, 29, 8, tzinfo=BERLIN),
        days=Days.BUSINESS,
        country="DE",
    )
    expected = [datetime(2026, 12, day, 8, tzinfo=BERLIN) for day in (24, 28)]
    assert list(timing.after(BEGIN)) == in_utc(*expected)


def test_without_a_choice_of_days_no_country_is_needed() -> None:
    assert len(days_of(at_eight(Days.ALL, ""), 2026)) == 365


def test_a_holiday_that_is_always_the_same_date_is_never_a_business_day() -> None:
    christmas = Cron.parse("0 8 25 12 *", BERLIN)
    begun = time.perf_counter()
    timing = Limited(timing=christmas, days=Days.BUSINESS, country="DE")
    assert next(timing.after(BEGIN), None) is None
    assert time.perf_counter() - begun < 5


@pytest.mark.parametrize("country", ["XX", "DE-XX", "Atlantis", ""])
@pytest.mark.parametrize("days", [Days.BUSINESS, Days.FIRST_BUSINESS, Days.LAST_BUSINESS])
def test_an_unknown_country_is_refused(country: str, days: Days) -> None:
    with pytest.raises(UnknownCountry, match="country"):
        next(at_eight(days, country).after(BEGIN))
