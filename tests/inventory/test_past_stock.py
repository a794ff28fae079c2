"""A check for a past day says what was low then, and changes nothing; a future one is refused."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from inventory import tasks
from inventory.models import Movement, Product, Stock, StockAlert, Warehouse
from inventory.past_stock import low_stock_on
from inventory.services import check_stock, ensure_default_warehouse
from jobs.errors import DayToCome
from jobs.scheduled_date import date_argument
from jobs.testing import assert_enqueued, enqueued_jobs, run_jobs
from notifications.models import Notification
from tenants.models import Role, Tenant
from tests.inventory.builders import make_stock, move_at
from tests.inventory.test_alerts import severity_by_the_book
from tests.tenants.builders import make_member, make_tenant
from tests.tenants.past import happened

pytestmark = pytest.mark.django_db

DAY = date(2026, 3, 10)
#: What a planner forgoes that takes a full table for an empty one.
_BETTER_THAN_LOOPS = (
    "hashjoin", "mergejoin", "memoize", "material", "indexonlyscan", "bitmapscan",
)  # fmt: skip


def at(text: str, zone: str = "UTC") -> datetime:
    """Return an instant by the clock of a zone."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def low_on(tenant: Tenant, day: date) -> dict[str, int]:
    """Return what a check for the day says was low."""
    return check_stock(tenant=tenant.slug, as_of=day)["low"]


def empty_stock(tenant: Tenant, threshold: int = 10) -> Stock:
    """Return the stock of a new product that has never moved."""
    return make_stock(tenant, 0, threshold)


def test_the_stock_is_that_of_the_beginning_of_the_day() -> None:
    tenant = make_tenant()
    stock = empty_stock(tenant)
    move_at(stock, at("2026-03-09 23:59:59.999999"), 4)
    move_at(stock, at("2026-03-10 00:00:00"), 4)
    move_at(stock, at("2026-03-10 12:00"), 90)

    assert low_on(tenant, DAY - timedelta(days=1)) == {"critical": 1}  # 0
    assert low_on(tenant, DAY) == {"critical": 1}  # 4
    assert low_on(tenant, DAY + timedelta(days=1)) == {}


def test_what_moved_as_the_day_began_is_of_that_day() -> None:
    tenant = make_tenant()
    stock = empty_stock(tenant)
    move_at(stock, at("2026-03-01 12:00"), 50)
    move_at(stock, at("2026-03-10 00:00:00"), -45)

    assert low_on(tenant, DAY) == {}
    assert low_on(tenant, DAY + timedelta(days=1)) == {"critical": 1}


def test_without_an_earlier_movement_the_first_since_says_what_was_there() -> None:
    tenant = make_tenant()
    stock = empty_stock(tenant)
    move_at(empty_stock(tenant), at("2026-03-01 09:00"), 50)
    Stock.objects.filter(pk=stock.pk).update(quantity=9)  # from before it was in the ledger
    move_at(stock, at("2026-03-15 09:00"), 41)
    move_at(stock, at("2026-03-16 09:00"), -45)

    assert low_on(tenant, DAY) == {"medium": 1}  # 9


@pytest.mark.parametrize("day", [date(1, 1, 1), DAY, date(2026, 3, 15)])
def test_before_the_first_movements_the_quantities_are_those_at_the_end_of_their_day(
    day: date,
) -> None:
    """As after an import: else all would have been missing, the day before."""
    tenant = make_tenant(timezone="Pacific/Auckland")
    stock = empty_stock(tenant)
    move_at(stock, at("2026-03-15 09:00", "Pacific/Auckland"), 50)
    move_at(stock, at("2026-03-15 23:59", "Pacific/Auckland"), -42)
    move_at(stock, at("2026-03-16 00:00", "Pacific/Auckland"), 50)

    assert low_on(tenant, day) == {"medium": 1}  # 8


def test_a_stock_that_never_moved_was_always_what_it_is() -> None:
    tenant = make_tenant()
    stock = empty_stock(tenant)
    Stock.objects.filter(pk=stock.pk).update(quantity=8)

    assert low_on(tenant, DAY) == {"medium": 1}


def test_a_movement_of_a_long_transaction_does_not_hide_those_before_it() -> None:
    tenant = make_tenant()
    stock = empty_stock(tenant)
    move_at(stock, at("2026-03-10 00:00:01"), 30)
    # Its transaction began before midnight, waited for the row, and found those 30.
    move_at(stock, at("2026-03-09 23:59:59"), -22)

    assert low_on(tenant, DAY) == {"medium": 1}  # 8, never below zero


@pytest.mark.parametrize(
    ("zone", "begins"),
    [
        ("Pacific/Auckland", "2026-03-09 11:00"),  # +13
        ("America/Los_Angeles", "2026-03-10 07:00"),  # -7, clocks went forward on the 8th
        ("UTC", "2026-03-10 00:00"),
    ],
)
def test_a_day_begins_where_the_company_is(zone: str, begins: str) -> None:
    tenant = make_tenant(timezone=zone)
    before, after = empty_stock(tenant), empty_stock(tenant)
    for stock in (before, after):
        move_at(stock, at("2026-01-01 12:00"), 5)
    move_at(before, at(begins) - timedelta(seconds=1), 50)
    move_at(after, at(begins), 50)

    assert low_on(tenant, DAY) == {"critical": 1}
    assert low_on(tenant, DAY + timedelta(days=1)) == {}


@pytest.mark.parametrize(
    ("zone", "day", "begins"),
    [
        # Clocks jump from midnight to one o'clock: the day begins with the jump.
        ("Africa/Cairo", date(2024, 4, 26), "2024-04-25 22:00"),
        # The day after the hour that happens twice.
        ("Europe/Athens", date(2025, 10, 27), "2025-10-26 22:00"),
        ("Europe/Athens", date(2025, 10, 26), "2025-10-25 21:00"),
    ],
)
def test_a_day_begins_once_though_clocks_change(zone: str, day: date, begins: str) -> None:
    tenant = make_tenant(timezone=zone)
    before, after = empty_stock(tenant), empty_stock(tenant)
    for stock in (before, after):
        move_at(stock, at("2020-01-01 12:00"), 5)
    move_at(before, at(begins) - timedelta(seconds=1), 50)
    move_at(after, at(begins), 50)

    assert low_on(tenant, day) == {"critical": 1}


def test_a_past_day_changes_no_alert_and_tells_nobody() -> None:
    tenant = make_tenant()
    make_member(tenant, Role.OWNER)
    stock = empty_stock(tenant)
    move_at(stock, at("2026-03-01 12:00"), 2)
    recovered = make_stock(tenant, 3, 10)
    check_stock(tenant=tenant.slug)
    before = list(StockAlert.objects.order_by("id").values())
    notices, waiting = Notification.objects.count(), len(enqueued_jobs())
    move_at(recovered, at("2026-03-20 12:00"), 90)

    result = check_stock(tenant=tenant.slug, as_of=DAY)

    assert result["low"] == {"critical": 2}
    assert (result["opened"], result["updated"], result["closed"]) == (0, 0, 0)
    assert (result["announced"], result["people_emailed"]) == ({}, 0)
    assert list(StockAlert.objects.order_by("id").values()) == before
    assert (Notification.objects.count(), len(enqueued_jobs())) == (notices, waiting)


@pytest.mark.parametrize("given", [None, date(2026, 3, 10)])
def test_today_and_no_day_are_a_check_of_now(given: date | None) -> None:
    tenant = make_tenant(timezone="Pacific/Auckland")
    for quantity in (1, 2, 9, 50):
        make_stock(tenant, quantity, 10)
    # In Auckland it is the 10th already.
    with time_machine.travel(datetime(2026, 3, 9, 11, 30, tzinfo=UTC), tick=False):
        result = check_stock(tenant=tenant.slug, as_of=given)
        again = check_stock(tenant=tenant.slug, as_of=given)

    assert (result["opened"], result["low"]) == (3, {"critical": 2, "medium": 1})
    assert list(result["low"]) == ["critical", "medium"]
    assert (again["opened"], again["announced"], again["low"]) == (0, {}, result["low"])


def test_a_day_to_come_is_refused_by_the_date_of_the_company() -> None:
    auckland = make_tenant(timezone="Pacific/Auckland")
    los_angeles = make_tenant(timezone="America/Los_Angeles")
    with time_machine.travel(datetime(2026, 3, 9, 11, 30, tzinfo=UTC), tick=False):
        check_stock(tenant=auckland.slug, as_of=DAY)
        with pytest.raises(DayToCome, match="as_of: 2026-03-10 is still to come, it is 2026-03-09"):
            check_stock(tenant=los_angeles.slug, as_of=DAY)
        with pytest.raises(DayToCome, match="as_of"):
            tasks.check_stock_of_zone(zone="America/Los_Angeles", as_of=DAY)
    assert enqueued_jobs() == []


def test_a_job_for_a_day_to_come_is_a_dead_letter_at_once() -> None:
    tasks.check_stock.enqueue(tenant=make_tenant().slug, as_of=date(9999, 12, 31))

    (job,) = run_jobs()

    assert (job.state, job.attempt, job.error_type) == ("dead", 1, "DayToCome")


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Los_Angeles"])
def test_the_first_day_of_the_calendar_is_a_day(zone: str) -> None:
    tenant = make_tenant(timezone=zone)
    make_stock(tenant, 8, 10)
    assert low_on(tenant, date.min) == {"medium": 1}  # as the day of its first movement ends


def test_a_zone_passes_its_day_on_to_the_job_of_each_company() -> None:
    here, other = (make_tenant(timezone="Asia/Tokyo") for _ in range(2))
    make_tenant(timezone="Asia/Seoul")
    make_stock(here, 1, 10)

    tasks.check_stock_of_zone.enqueue(zone="Asia/Tokyo", as_of=DAY)
    zone, *each = run_jobs()

    assert zone.result == sorted([here.slug, other.slug])
    assert [job.payload["as_of"] for job in each] == ["2026-03-10"] * 2
    assert [job.state for job in each] == ["succeeded"] * 2
    assert not StockAlert.objects.exists()


def test_a_zone_without_a_day_leaves_it_to_each_company() -> None:
    tenant = make_tenant(timezone="Asia/Tokyo")
    tasks.check_stock_of_zone(zone="Asia/Tokyo")
    assert assert_enqueued(tasks.check_stock, tenant=tenant.slug).payload["as_of"] is None


def test_the_day_is_what_a_schedule_gives() -> None:
    for task in (tasks.check_stock, tasks.check_stock_of_zone):
        assert date_argument(task.definition.arguments) == "as_of"


def test_a_company_that_is_not_active_is_passed_over_though_it_is_named() -> None:
    tenant = make_tenant()
    Tenant.objects.update(is_active=False)

    assert tasks.check_stock_of_zone(tenant=tenant.slug) == []
    assert enqueued_jobs() == []


def test_one_warehouse_and_other_companies_are_told_apart() -> None:
    tenant, theirs = make_tenant(), make_tenant()
    north = Warehouse.objects.create(tenant=tenant, code="north", name="North")
    closed = Warehouse.objects.create(tenant=tenant, code="old", name="Old", is_active=False)
    make_stock(tenant, 1, 10)
    make_stock(tenant, 8, 10, warehouse=north)
    make_stock(tenant, 8, 10, warehouse=closed)
    make_stock(tenant, 1, 10, is_active=False)
    make_stock(theirs, 1, 10)
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    with time_machine.travel(datetime.now(UTC) + timedelta(days=2)):
        assert low_on(tenant, tomorrow) == {"critical": 1, "medium": 1}
        there = check_stock(tenant=tenant.slug, warehouse="north", as_of=tomorrow)
    assert there["low"] == {"medium": 1}


def test_it_agrees_with_a_walk_through_the_ledger() -> None:
    dice = random.Random(7)
    tenant = make_tenant(timezone="America/Los_Angeles")
    moments = sorted(
        at("2026-03-01 00:00") + timedelta(hours=dice.randint(0, 700)) for _ in range(300)
    )
    stocks = [make_stock(tenant, 0, dice.randint(0, 40)) for _ in range(40)]
    for moment in moments:
        stock = dice.choice(stocks)
        stock.refresh_from_db()
        if change := dice.randint(-stock.quantity, 25):
            move_at(stock, moment, change)

    for number in range(0, 32, 3):
        day = date(2026, 2, 27) + timedelta(days=number)
        begins = at(f"{day} 00:00", "America/Los_Angeles")
        if begins <= moments[0]:
            continue  # there was no ledger
        expected: Counter[str] = Counter()
        for stock in stocks:
            changes = Movement.objects.filter(stock=stock, at__lt=begins)
            quantity = sum(changes.values_list("change", flat=True))
            if severity := severity_by_the_book(quantity, stock.product.threshold):
                expected[severity.label] += 1
        assert low_on(tenant, day) == expected


def test_thousands_of_stocks_take_a_few_statements_and_little_time_on_a_poor_plan() -> None:
    tenant = make_tenant()
    warehouse = ensure_default_warehouse(tenant)
    products = Product.objects.bulk_create(
        Product(tenant=tenant, sku=f"S{number}", name="Chai", threshold=10)
        for number in range(2_000)
    )
    stocks = Stock.objects.bulk_create(
        Stock(product=product, warehouse=warehouse, quantity=9) for product in products
    )
    for month, quantity in ((2, 3), (3, 9)):
        Movement.objects.bulk_create(
            Movement(
                stock=stock,
                change=quantity,
                quantity=quantity,
                reason="receipt",
                actor="test",
                at=at(f"2026-0{month}-20 12:00"),
            )
            for stock in stocks
        )
    with connection.cursor() as cursor:
        for method in _BETTER_THAN_LOOPS:
            cursor.execute(f"SET LOCAL enable_{method} = off")
        cursor.execute("SET LOCAL statement_timeout = '20s'")
    with CaptureQueriesContext(connection) as queries:
        low = low_stock_on(tenant, DAY)

    assert {severity.label: count for severity, count in low.items()} == {"critical": 2_000}
    assert len(queries) == 3


@pytest.fixture
def known() -> Stock:
    """A stock that is low, on record for a month as the day begins."""
    stock = empty_stock(make_tenant(timezone="America/Los_Angeles"))
    move_at(stock, at("2026-02-01 12:00"), 8)
    happened(at("2026-02-01 12:00"))
    return stock


CHANGES: dict[str, Callable[[Stock], object]] = {
    "the product's threshold": lambda its: Product.objects.update(threshold=100),
    "a threshold here": lambda its: Stock.objects.update(threshold=0),
    "the product is not sold any more": lambda its: Product.objects.update(is_active=False),
    "the warehouse is closed": lambda its: Warehouse.objects.update(is_active=False),
    "the warehouse gets another code": lambda its: Warehouse.objects.update(code="north"),
    "a product more": lambda its: make_stock(its.product.tenant, 0, 10),
    "a warehouse more": lambda its: Stock.objects.create(
        product=its.product,
        warehouse=Warehouse.objects.create(tenant=its.product.tenant, code="north", name="North"),
    ),
    "it is elsewhere": lambda its: Stock.objects.update(
        warehouse=Warehouse.objects.create(tenant=make_tenant(), code="main", name="Main")
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_changed_since_does_not_count(what: str, known: Stock) -> None:
    tenant = known.product.tenant
    CHANGES[what](known)
    happened(at("2026-03-10 00:00", tenant.timezone))

    there = check_stock(tenant=tenant.slug, as_of=DAY)
    assert there["low"] == {"medium": 1}
    assert low_on(tenant, DAY + timedelta(days=1)) != {"medium": 1} or what.endswith("code")


@pytest.mark.parametrize("what", CHANGES)
def test_what_had_changed_before_does_count(what: str, known: Stock) -> None:
    tenant = known.product.tenant
    CHANGES[what](known)
    happened(at("2026-03-09 23:59:59", tenant.timezone))
    with transaction.atomic():
        now = check_stock(tenant=tenant.slug)["low"]
        transaction.set_rollback(True)

    assert low_on(tenant, DAY) == now


def test_stock_that_is_gone_was_there_as_it_was() -> None:
    stock = empty_stock(make_tenant())
    Stock.objects.update(quantity=8)  # it never moved: no ledger keeps it
    happened(at("2026-02-01 12:00"))
    tenant = stock.product.tenant
    stock.delete()
    stock.product.delete()
    stock.warehouse.delete()
    happened(at("2026-03-10 12:00"))

    assert low_on(tenant, DAY) == {"medium": 1}
    assert low_on(tenant, DAY + timedelta(days=1)) == {}


def test_a_code_is_that_of_then() -> None:
    tenant = make_tenant()
    north = Warehouse.objects.create(tenant=tenant, code="north", name="North")
    make_stock(tenant, 8, 10, warehouse=north)
    happened(at("2026-02-01 12:00"))
    Warehouse.objects.filter(pk=north.pk).update(code="cold")
    Warehouse.objects.create(tenant=tenant, code="north", name="Another")
    happened(at("2026-03-10 12:00"))

    for day, expected in ((DAY, 1), (DAY + timedelta(days=1), 0)):
        assert sum(low_stock_on(tenant, day, "north").values()) == expected


def test_on_the_day_of_an_import_yesterday_is_seen_with_the_thresholds_of_today() -> None:
    tenant = make_tenant()
    make_stock(tenant, 8, 10)
    Product.objects.update(threshold=0)
    make_stock(tenant, 8, 10)
    yesterday = datetime.now(UTC).date() - timedelta(days=1)

    assert sum(low_on(tenant, yesterday).values()) == 1


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_afterwards_a_day_stays_what_it_was(seed: int) -> None:
    dice = random.Random(seed)
    tenant = make_tenant(timezone="Pacific/Apia")
    places = [
        Warehouse.objects.create(tenant=tenant, code=str(number), name="W") for number in range(3)
    ]
    stocks = [
        make_stock(tenant, 0, dice.randint(1, 20), warehouse=dice.choice(places)) for _ in range(20)
    ]
    happened(at("2026-02-01 12:00"))
    as_it_was: dict[date, dict[str, int]] = {}
    for number in range(8):
        day = DAY + timedelta(days=number)
        with transaction.atomic():
            as_it_was[day] = check_stock(tenant=tenant.slug)["low"]
            transaction.set_rollback(True)
        begins = at(f"{day} 00:00", tenant.timezone)
        for _ in range(8):
            stock = dice.choice(stocks)
            some = Stock.objects.filter(pk=stock.pk)
            match dice.randint(0, 5):
                case 0:
                    Product.objects.filter(stock=stock).update(threshold=dice.randint(0, 20))
                case 1:
                    Product.objects.filter(stock=stock).update(is_active=dice.random() < 0.5)
                case 2:
                    some.update(threshold=dice.choice([None, dice.randint(0, 20)]))
                case 3:
                    Warehouse.objects.filter(stock=stock).update(is_active=dice.random() < 0.7)
                case 4:
                    stocks.append(make_stock(tenant, 0, 15, warehouse=dice.choice(places)))
                case _:
                    stock.refresh_from_db()
                    if change := dice.randint(-stock.quantity, 15):
                        move_at(stock, begins + timedelta(hours=dice.randint(0, 23)), change)
        happened(begins)

    for day, expected in as_it_was.items():
        assert low_on(tenant, day) == expected
