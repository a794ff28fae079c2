"""A check for a past day gives what it would have given as the day began; a future one is refused.

It tells people what they were not told since, and changes no alert.
"""

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from inventory import tasks
from inventory.alerts import refresh_alerts
from inventory.errors import UnknownWarehouse
from inventory.models import Movement, Product, Severity, Stock, StockAlert, Warehouse
from inventory.past_stock import check_as_of
from inventory.services import CheckResult, check_stock, ensure_default_warehouse
from jobs.dry_run import try_out
from jobs.errors import DayToCome
from jobs.scheduled_date import date_argument
from jobs.testing import assert_enqueued, enqueued_jobs, run_jobs
from notifications.inbox import set_preference
from notifications.kinds import Channel, Choice, Kind
from notifications.models import Notification
from tenants.history import past_of
from tenants.models import Role, Tenant, User
from tests.conftest import Mailbox
from tests.inventory.builders import change_to, make_stock, move_at
from tests.inventory.test_alerts import severity_by_the_book
from tests.inventory.test_check_stock import EMAIL, addressees
from tests.notifications.test_email import body
from tests.tenants.builders import make_member, make_tenant
from tests.tenants.past import happened

pytestmark = pytest.mark.django_db

DAY, NEXT, LATER = date(2026, 3, 10), date(2026, 3, 11), date(2026, 3, 13)
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


@pytest.mark.parametrize("day", [None, DAY])
def test_a_company_that_is_not_active_is_only_counted(company: Tenant, day: date | None) -> None:
    stock_of(company, 3)
    Tenant.objects.update(is_active=False)

    result = check_stock(tenant=company.slug, as_of=day)

    assert gave(result) == (1, 0, 0, {"critical": 1})
    assert result["people_emailed"] == 0
    assert enqueued_jobs() == []
    assert not Notification.objects.exists()
    assert not StockAlert.objects.exists()
    # Back at work, its people hear of it.
    Tenant.objects.update(is_active=True)
    assert check_stock(tenant=company.slug, as_of=day)["people_emailed"] == 2


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
    refresh_alerts(tenant)
    with CaptureQueriesContext(connection) as queries:
        found = check_as_of(tenant, DAY)

    assert found.low == {Severity.CRITICAL: 2_000}
    assert (found.opened, len(found.announced)) == (2_000, 2_000)
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
        assert sum(check_as_of(tenant, day, "north").low.values()) == expected


def test_a_code_that_no_warehouse_had_then_is_refused(company: Tenant) -> None:
    Warehouse.objects.update(code="cold")
    happened(at("2026-03-10 12:00"))
    Warehouse.objects.all().delete()
    happened(at("2026-03-12 12:00"))

    for day, code, near in ((DAY, "main", "mian"), (NEXT, "cold", "clod")):
        assert check_stock(tenant=company.slug, warehouse=code, as_of=day)["low"] == {}
        with pytest.raises(UnknownWarehouse, match=f"Did you mean '{code}'"):
            check_stock(tenant=company.slug, warehouse=near, as_of=day)
    with pytest.raises(UnknownWarehouse, match="There is no warehouse 'main'"):
        check_stock(tenant=company.slug, warehouse="main", as_of=NEXT)
    with pytest.raises(UnknownWarehouse):
        check_stock(tenant=company.slug, warehouse="cold", as_of=LATER)


def test_on_the_day_of_an_import_yesterday_is_seen_with_the_thresholds_of_today() -> None:
    tenant = make_tenant()
    make_stock(tenant, 8, 10)
    Product.objects.update(threshold=0)
    make_stock(tenant, 8, 10)
    yesterday = datetime.now(UTC).date() - timedelta(days=1)

    assert sum(low_on(tenant, yesterday).values()) == 1


# --- what it would have announced -----------------------------------------------------------------

Told = dict[str, list[tuple[str, str]]]


def tried(
    tenant: Tenant, as_of: date | None = None, warehouse: str | None = None
) -> tuple[CheckResult, Told]:
    """Return what a check gives, and what it writes to whom, product and severity; undo it all."""
    before = {job.id for job in enqueued_jobs(EMAIL)}
    with transaction.atomic():
        result = check_stock(tenant=tenant.slug, warehouse=warehouse, as_of=as_of)
        told = {
            job.payload["to"]: [(item["sku"], item["severity"]) for item in job.payload["items"]]
            for job in enqueued_jobs(EMAIL)
            if job.id not in before
        }
        transaction.set_rollback(True)
    return result, told


def checked(tenant: Tenant, when: str) -> CheckResult:
    """Check the stock, and say that this, and what was changed before it, happened then."""
    result = check_stock(tenant=tenant.slug)
    happened(at(when, tenant.timezone))
    return result


def changed(stock: Stock, when: str, quantity: int) -> None:
    """Bring the stock to a quantity by a movement of then."""
    stock.refresh_from_db()
    move_at(stock, at(when, stock.product.tenant.timezone), quantity - stock.quantity)


@pytest.fixture
def company() -> Tenant:
    """A company with two people to tell and one who only reads, on record since February."""
    company = make_tenant(timezone="America/Los_Angeles")
    for role in (Role.OWNER, Role.WAREHOUSE, Role.VIEWER):
        make_member(company, role, username=role.value, email=f"{role.value}@acme.example")
    ensure_default_warehouse(company)
    happened(at("2026-02-01 12:00"))
    return company


def stock_of(company: Tenant, quantity: int, **product: Any) -> Stock:
    """Return stock that has been there for a month as the day begins."""
    stock = make_stock(company, 0, 10, **product)
    changed(stock, "2026-02-02 12:00", quantity)
    happened(at("2026-02-02 12:00"))
    return stock


def gave(result: CheckResult) -> tuple[int, int, int, dict[str, int]]:
    """Return what became of alerts, and what was announced."""
    return result["opened"], result["updated"], result["closed"], result["announced"]


def test_a_missed_day_is_told_late_by_its_date_though_the_stock_has_recovered(
    company: Tenant, mailbox: Mailbox
) -> None:
    stock = stock_of(company, 3, name="Chai", sku="chai")
    Stock.objects.update(on_order=7)
    happened(at("2026-03-01 12:00"))
    changed(stock, "2026-03-10 09:00", 90)
    Stock.objects.update(on_order=0)
    Product.objects.update(name="Tea")
    Warehouse.objects.update(name="South")
    checked(company, "2026-03-12 01:00")

    result = check_stock(tenant=company.slug, as_of=DAY)
    run_jobs()

    assert result == {
        "low": {"critical": 1}, "opened": 1, "updated": 0, "closed": 0,
        "announced": {"critical": 1}, "told_since": 0, "people_emailed": 2,
    }  # fmt: skip
    assert not StockAlert.objects.exists()
    notices = list(Notification.objects.order_by("user__username"))
    assert [(notice.user.username, notice.day) for notice in notices] == [
        ("owner", DAY),
        ("warehouse", DAY),
    ]
    assert notices[0].title == "Chai: 3 left on 10 March 2026"
    assert notices[0].body == (
        "Main warehouse: as 10 March 2026 began, 3 of chai were left, and the threshold was 10. "
        "On order then: 7."
    )
    messages = mailbox.messages()
    assert addressees(messages) == ["owner@acme.example", "warehouse@acme.example"]
    assert messages[0]["Subject"] == "1 product low on stock on 10 March 2026, 1 critical"
    for part in ("plain", "html"):
        words = body(messages[0], part)
        assert "as 10 March 2026 began" in words
        assert "This e-mail is late" in words
        assert "Chai" in words
        assert " are at or below" not in words
        assert " is at or below" not in words


def test_asked_twice_nobody_is_told_twice(company: Tenant) -> None:
    stock_of(company, 3)
    first = check_stock(tenant=company.slug, as_of=DAY)
    again = check_stock(tenant=company.slug, as_of=DAY)

    assert (first["people_emailed"], again["people_emailed"]) == (2, 0)
    assert again == first | {"people_emailed": 0}
    assert len(enqueued_jobs(EMAIL)) == 2
    assert Notification.objects.count() == 2
    # Another day is another one.
    assert check_stock(tenant=company.slug, as_of=NEXT)["people_emailed"] == 2
    assert Notification.objects.count() == 4


def test_what_was_told_since_is_not_told_again_but_counted(company: Tenant) -> None:
    told, worse_then = stock_of(company, 3, sku="told"), stock_of(company, 3, sku="worse then")
    changed(worse_then, "2026-03-10 09:00", 9)
    checked(company, "2026-03-11 01:00")
    for stock in (told, worse_then):
        changed(stock, "2026-03-12 09:00", 90)
    checked(company, "2026-03-13 01:00")
    assert not StockAlert.objects.filter(closed_at=None).exists()

    result, mails = tried(company, DAY)
    assert gave(result) == (2, 0, 0, {"critical": 2})
    assert (result["told_since"], result["people_emailed"]) == (1, 2)
    # The other is known to be low since, but not that it was critical.
    assert set(map(tuple, mails.values())) == {(("worse then", "critical"),)}

    result, mails = tried(company, NEXT)
    assert gave(result) == (2, 0, 0, {"critical": 1, "medium": 1})
    assert (result["told_since"], result["people_emailed"], mails) == (2, 0, {})


def test_what_was_told_before_is_told_again_only_when_it_had_become_worse(company: Tenant) -> None:
    same, worse, better, recovered = (stock_of(company, 7, sku=f"P{n}") for n in range(4))
    assert checked(company, "2026-03-01 01:00")["announced"] == {"high": 4}
    for stock, quantity in ((worse, 2), (better, 9), (recovered, 90)):
        changed(stock, "2026-03-09 09:00", quantity)
    at_the_time = tried(company)
    for stock in (same, worse, better):
        changed(stock, "2026-03-10 00:00", 50)
    changed(recovered, "2026-03-10 00:00", 1)
    checked(company, "2026-03-10 01:00")

    result, mails = tried(company, DAY)
    assert gave(result) == (0, 2, 1, {"critical": 1})
    assert (result, mails) == at_the_time
    assert mails["owner@acme.example"] == [(worse.product.sku, "critical")]


def test_an_alert_that_closed_and_opened_anew_is_new_again(company: Tenant) -> None:
    stock = stock_of(company, 3)
    checked(company, "2026-03-01 01:00")
    changed(stock, "2026-03-05 09:00", 50)
    checked(company, "2026-03-06 01:00")
    changed(stock, "2026-03-08 09:00", 3)
    assert tried(company, DAY)[0]["people_emailed"] == 2  # told before is not told since
    checked(company, "2026-03-11 01:00")
    assert tried(company, DAY)[0]["people_emailed"] == 0

    assert gave(tried(company, date(2026, 3, 1))[0]) == (1, 0, 0, {"critical": 1})
    assert gave(tried(company, date(2026, 3, 2))[0]) == (0, 0, 0, {})
    assert gave(tried(company, date(2026, 3, 6))[0]) == (0, 0, 1, {})
    assert gave(tried(company, date(2026, 3, 7))[0]) == (0, 0, 0, {})
    assert gave(tried(company, DAY)[0]) == (1, 0, 0, {"critical": 1})
    assert gave(tried(company, date(2026, 3, 12))[0]) == (0, 0, 0, {})


def test_the_worst_it_was_ever_called_is_that_of_then(company: Tenant) -> None:
    stock = stock_of(company, 9)
    checked(company, "2026-03-01 01:00")
    changed(stock, "2026-03-09 09:00", 7)
    checked(company, "2026-03-11 01:00")  # told that it is high: after the day
    changed(stock, "2026-03-12 09:00", 1)
    checked(company, "2026-03-13 01:00")

    announced = {date(2026, 3, 1): {"medium": 1}, DAY: {"high": 1}, date(2026, 3, 12): {}}
    for day, expected in announced.items():
        result, mails = tried(company, day)
        assert (result["announced"], mails) == (expected, {})
    assert gave(tried(company, date(2026, 3, 13))[0]) == (0, 1, 0, {"critical": 1})


def test_two_alerts_that_overlap_are_one(company: Tenant) -> None:
    """A check began first, waited for another, and opened what that had closed."""
    stock = stock_of(company, 3)
    checked(company, "2026-03-01 01:00")
    change_to(stock, 50)
    refresh_alerts(company)
    happened(at("2026-03-10 01:00", company.timezone))
    change_to(stock, 3)
    checked(company, "2026-03-09 23:00")

    result, _ = tried(company, DAY)
    assert (result["low"], gave(result)) == ({"critical": 1}, (0, 0, 0, {}))


def test_alerts_from_before_their_history_are_known_by_their_own_dates(company: Tenant) -> None:
    stock = stock_of(company, 3)
    opened, closed = at("2026-03-01 12:00"), at("2026-03-12 12:00")
    StockAlert.objects.create(
        stock=stock, severity=4, quantity=3, threshold=10, announced_severity=4,
        opened_at=opened, recorded_at=opened, announced_at=opened, closed_at=closed,
    )  # fmt: skip

    for day, opens in ((date(2026, 3, 1), 1), (DAY, 0), (date(2026, 3, 12), 0), (LATER, 1)):
        assert tried(company, day)[0]["opened"] == opens


def test_before_the_first_records_no_alert_was_open(company: Tenant) -> None:
    new = make_tenant()
    make_member(new, Role.OWNER)
    make_stock(new, 3, 10)
    first = check_stock(tenant=new.slug)
    yesterday = datetime.now(UTC).date() - timedelta(days=1)

    # As today, and people know.
    assert tried(new, yesterday) == (first | {"told_since": 1, "people_emailed": 0}, {})


def test_alerts_of_stock_that_is_gone_are_known(company: Tenant) -> None:
    stock = make_stock(company, 0, 10)
    happened(at("2026-03-01 12:00"))
    checked(company, "2026-03-05 01:00")
    stock.delete()
    happened(at("2026-03-20 12:00"))

    assert tried(company, date(2026, 3, 5)) == (
        {
            "low": {"critical": 1}, "opened": 1, "updated": 0, "closed": 0,
            "announced": {"critical": 1}, "told_since": 1, "people_emailed": 0,
        },
        {},
    )  # fmt: skip
    assert gave(tried(company, DAY)[0]) == (0, 0, 0, {})


def test_warehouses_and_other_companies_are_told_by_themselves(company: Tenant) -> None:
    north = Warehouse.objects.create(tenant=company, code="north", name="North")
    other = make_tenant()
    stock_of(company, 3, sku="here")
    for tenant, place in ((company, north), (other, None)):
        changed(make_stock(tenant, 0, 10, warehouse=place), "2026-02-03 12:00", 3)
    happened(at("2026-02-03 12:00"))
    checked(other, "2026-03-20 01:00")

    there = check_stock(tenant=company.slug, warehouse="north", as_of=DAY)
    again = check_stock(tenant=company.slug, warehouse="north", as_of=DAY)
    here = check_stock(tenant=company.slug, warehouse="main", as_of=DAY)

    assert [one["announced"] for one in (there, again, here)] == [{"critical": 1}] * 3
    assert [one["people_emailed"] for one in (there, again, here)] == [2, 0, 2]
    told = [[item["warehouse"] for item in job.payload["items"]] for job in enqueued_jobs(EMAIL)]
    assert told[-4:] == [["North"], ["North"], ["Main warehouse"], ["Main warehouse"]]
    assert Notification.objects.filter(tenant=company).count() == 4
    assert StockAlert.objects.count() == 1


def test_many_stocks_are_one_email_and_few_notices_a_day(company: Tenant) -> None:
    place = ensure_default_warehouse(company)
    products = Product.objects.bulk_create(
        Product(tenant=company, sku=f"S{number}", name="Chai", threshold=10)
        for number in range(300)
    )
    Stock.objects.bulk_create(
        Stock(product=product, warehouse=place, quantity=1) for product in products
    )
    happened(at("2026-03-01 12:00"))
    for _ in range(2):
        assert check_stock(tenant=company.slug, as_of=DAY)["announced"] == {"critical": 300}

    assert [job.payload["more_items"] for job in enqueued_jobs(EMAIL)] == [250] * 2
    assert Notification.objects.count() == 2 * 51
    assert Notification.objects.filter(title="250 more stocks were low on 10 March 2026").exists()


def many_stocks(company: Tenant, count: int) -> list[Stock]:
    """Return stocks that are low since February, the lowest first."""
    stocks = [make_stock(company, 0, 1_000, sku=f"S{number:03}") for number in range(count)]
    for number, stock in enumerate(stocks):
        move_at(stock, at("2026-02-02 12:00"), number + 1)
    happened(at("2026-02-02 12:00"))
    return stocks


def recover(stocks: list[Stock]) -> None:
    for stock in stocks:
        move_at(stock, datetime.now(UTC), 5_000)


def test_asked_again_it_brings_no_notice_though_some_were_told_of_since(company: Tenant) -> None:
    stocks = many_stocks(company, 60)
    check_stock(tenant=company.slug, as_of=DAY)
    late = Notification.objects.filter(day=DAY)
    assert late.count() == 2 * 51
    recover(stocks[10:])
    assert check_stock(tenant=company.slug)["announced"] == {"critical": 10}

    again = check_stock(tenant=company.slug, as_of=DAY)

    assert (again["told_since"], again["people_emailed"]) == (10, 0)
    assert late.count() == 2 * 51


def test_who_gets_a_notice_of_its_own_does_not_depend_on_what_was_told_since(
    company: Tenant,
) -> None:
    stocks = many_stocks(company, 51)
    recover(stocks[10:])
    check_stock(tenant=company.slug)

    check_stock(tenant=company.slug, as_of=DAY)

    late = Notification.objects.filter(day=DAY)
    assert late.count() == 2 * 41
    assert late.filter(title="1 more stock was low on 10 March 2026").count() == 2


@pytest.mark.parametrize("first", [None, "north"])
def test_of_a_stock_of_a_day_a_person_is_told_once_whatever_the_warehouse(
    company: Tenant, first: str | None
) -> None:
    north = Warehouse.objects.create(tenant=company, code="north", name="North")
    happened(at("2026-02-01 12:00"))
    stock_of(company, 3, sku="here")
    stock_of(company, 3, sku="there", warehouse=north)
    asked: list[str | None] = [first, *({None, "north", "main"} - {first})]

    for warehouse in asked:
        check_stock(tenant=company.slug, warehouse=warehouse, as_of=DAY)

    told = [
        (job.payload["to"], item["sku"])
        for job in enqueued_jobs(EMAIL)
        for item in job.payload["items"]
    ]
    people = ("owner@acme.example", "warehouse@acme.example")
    assert sorted(told) == [(to, sku) for to in people for sku in ("here", "there")]
    assert Notification.objects.count() == 4


def test_stocks_that_share_a_notice_are_in_one_whatever_the_warehouse(company: Tenant) -> None:
    many_stocks(company, 53)
    for warehouse in ("main", None):
        check_stock(tenant=company.slug, warehouse=warehouse, as_of=DAY)
    assert Notification.objects.count() == 2 * 51


def test_news_of_a_day_that_was_told_is_told_alone_and_to_each_what_he_has_not_heard(
    company: Tenant,
) -> None:
    stock_of(company, 3, sku="known")
    check_stock(tenant=company.slug, as_of=DAY)
    stock_of(company, 2, sku="late")  # a transaction that began before the day, and took long
    make_member(company, Role.MANAGER, username="new", email="new@acme.example")

    assert check_stock(tenant=company.slug, as_of=DAY)["people_emailed"] == 3

    mails = [(job.payload["to"], job.payload["items"]) for job in enqueued_jobs(EMAIL)][2:]
    assert {to: [item["sku"] for item in items] for to, items in mails} == {
        "owner@acme.example": ["late"],
        "warehouse@acme.example": ["late"],
        "new@acme.example": ["late", "known"],
    }
    assert Notification.objects.count() == 6


def test_what_was_worse_than_it_was_called_is_told_again(company: Tenant) -> None:
    stock = stock_of(company, 9)
    check_stock(tenant=company.slug, as_of=DAY)
    changed(stock, "2026-03-09 23:59:59", 1)
    for emailed in (2, 0):
        result = check_stock(tenant=company.slug, as_of=DAY)
        assert (result["announced"], result["people_emailed"]) == ({"critical": 1}, emailed)
    assert Notification.objects.count() == 4


def test_who_wants_no_email_has_the_notice_and_the_other_way_round(company: Tenant) -> None:
    stock_of(company, 3)
    owner, keeper = User.objects.get(username="owner"), User.objects.get(username="warehouse")
    for person, channel in ((owner, Channel.EMAIL), (keeper, Channel.IN_APP)):
        set_preference(user_id=person.pk, kind=Kind.LOW_STOCK, channel=channel, choice=Choice.OFF)
    for emailed in (1, 0):
        assert check_stock(tenant=company.slug, as_of=DAY)["people_emailed"] == emailed
    assert [job.payload["to"] for job in enqueued_jobs(EMAIL)] == [keeper.email]
    assert [notice.user for notice in Notification.objects.all()] == [owner]


@pytest.mark.parametrize(
    ("day", "emailed"), [(date(1, 1, 1), 0), (date(2026, 1, 31), 0), (date(2026, 2, 1), 2)]
)
def test_of_days_before_the_first_records_nobody_is_told(
    company: Tenant, day: date, emailed: int
) -> None:
    stock = make_stock(company, 0, 10)
    changed(stock, "2026-02-01 12:00", 3)
    happened(at("2026-02-01 12:00"))

    result = check_stock(tenant=company.slug, as_of=day)

    assert gave(result) == (1, 0, 0, {"critical": 1})
    assert result["people_emailed"] == emailed
    assert len(enqueued_jobs(EMAIL)) == Notification.objects.count() == emailed


@pytest.mark.parametrize("day", [None, DAY])
def test_a_check_waits_for_one_that_is_under_way_before_it_reads(
    company: Tenant, day: date | None
) -> None:
    with CaptureQueriesContext(connection) as queries:
        check_stock(tenant=company.slug, as_of=day)
    said = [query["sql"] for query in queries]
    (waits,) = (at for at, sql in enumerate(said) if "pg_advisory_xact_lock" in sql)
    assert waits < min(at for at, sql in enumerate(said) if "inventory_stock" in sql)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND pid = pg_backend_pid()"
            " AND classid::bigint = hashtext('inventory.refresh_alerts') & 4294967295"
            " AND objid = %s",
            [company.pk],
        )
        assert cursor.fetchone() == (1,)


def test_a_dry_run_names_people_and_what_they_would_find_and_tells_nobody(company: Tenant) -> None:
    stock_of(company, 3, name="Chai", sku="chai")
    history: Any = past_of(StockAlert)._base_manager

    told = try_out(tasks.check_stock, {"tenant": company.slug, "as_of": DAY}, tenant=company.slug)

    assert told[0].detail["result"]["people_emailed"] == 2
    notices = [(one.to, one.detail["title"]) for one in told if one.what == "notice"]
    assert notices == [
        ("owner", "Chai: 3 left on 10 March 2026"),
        ("warehouse", "Chai: 3 left on 10 March 2026"),
    ]
    mails = [one for one in told if one.what == EMAIL]
    assert [one.to for one in mails] == ["owner@acme.example", "warehouse@acme.example"]
    assert mails[0].detail["day"] == "2026-03-10"
    assert [item["sku"] for item in mails[0].detail["items"]] == ["chai"]
    assert (enqueued_jobs(), Notification.objects.count(), history.count()) == ([], 0, 0)
    # Asked again for earnest, it is what is done.
    assert check_stock(tenant=company.slug, as_of=DAY) == told[0].detail["result"]


def test_a_new_alert_leaves_no_history_and_a_check_that_finds_nothing_new_neither() -> None:
    tenant = make_tenant()
    stock = make_stock(tenant, 3, 10)
    history: Any = past_of(StockAlert)._base_manager
    for _ in range(2):
        check_stock(tenant=tenant.slug)
    assert not history.exists()
    change_to(stock, 2)
    check_stock(tenant=tenant.slug)
    change_to(stock, 50)
    check_stock(tenant=tenant.slug)
    assert list(history.order_by("pgh_id").values_list("quantity", "closed_at")) == [
        (3, None),
        (2, None),
    ]


class Life:
    """What happens to a company's stock, day by day, as the dice fall."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.tenant = make_tenant(timezone="Pacific/Apia")
        self.people = [
            make_member(self.tenant, Role.OWNER, email=f"{number}@acme.example")
            for number in range(2)
        ]
        self.places = [
            Warehouse.objects.create(tenant=self.tenant, code=str(number), name="W")
            for number in range(3)
        ]
        self.stocks = [self.another(dice.randint(1, 20)) for _ in range(20)]
        #: Which day, product and severity people were told of by checks in earnest.
        self.said: list[tuple[date, str, str]] = []

    def another(self, threshold: int) -> Stock:
        return make_stock(self.tenant, 0, threshold, warehouse=self.dice.choice(self.places))

    def go_on(self, day: date) -> None:
        """Live through a day; all but the ledger is written down as it begins."""
        begins = at(f"{day} 00:00", self.tenant.timezone)
        for _ in range(8):
            self.change_something(begins)
            if self.dice.random() < 0.07:
                self.check(day)
        happened(begins)

    def change_something(self, begins: datetime) -> None:
        dice, stock = self.dice, self.dice.choice(self.stocks)
        some, product = Stock.objects.filter(pk=stock.pk), Product.objects.filter(stock=stock)
        match dice.randint(0, 7):
            case 0:
                product.update(threshold=dice.randint(0, 20))
            case 1:
                product.update(is_active=dice.random() < 0.5)
            case 2:
                some.update(threshold=dice.choice([None, dice.randint(0, 20)]))
            case 3:
                Warehouse.objects.filter(stock=stock).update(is_active=dice.random() < 0.7)
            case 4:
                self.stocks.append(self.another(15))
            case 5 if not stock.movements.exists():
                self.stocks.remove(stock)
                stock.delete()
            case _:
                stock.refresh_from_db()
                if change := dice.randint(-stock.quantity, 15):
                    move_at(stock, begins + timedelta(hours=dice.randint(0, 23)), change)

    def check(self, day: date) -> None:
        """Check in earnest, and note what people were told."""
        before = {job.id for job in enqueued_jobs(EMAIL)}
        check_stock(tenant=self.tenant.slug)
        for job in enqueued_jobs(EMAIL):
            if job.id not in before:
                items = job.payload["items"]
                self.said += [(day, item["sku"], item["severity"]) for item in items]

    def was_told_since(self, day: date, product: str, severity: str) -> bool:
        return any(
            since >= day
            and told == product
            and Severity[as_bad.upper()] >= Severity[severity.upper()]
            for since, told, as_bad in self.said
        )


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_afterwards_a_day_gives_what_it_would_have_given(seed: int) -> None:
    life = Life(random.Random(seed))
    happened(at("2026-02-01 12:00"))
    as_it_was: dict[date, tuple[CheckResult, Told]] = {}
    for number in range(10):
        day = DAY + timedelta(days=number)
        as_it_was[day] = tried(life.tenant)
        life.go_on(day)

    assert life.said
    for day, (result, told) in as_it_was.items():
        then = told.get(life.people[0].email, [])
        news = [one for one in then if not life.was_told_since(day, *one)]
        expected = {person.email: news for person in life.people} if news else {}
        counts = {"told_since": len(then) - len(news), "people_emailed": len(expected)}
        assert tried(life.tenant, day) == (result | counts, expected)
