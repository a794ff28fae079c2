"""Which stock is low, how badly, and when people are told again."""

import random
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from inventory.alerts import refresh_alerts
from inventory.models import Product, Severity, Stock, StockAlert, Warehouse
from inventory.services import ensure_default_warehouse
from tenants.models import Tenant
from tests.inventory.builders import change_to, make_stock
from tests.tenants.builders import make_tenant

pytestmark = pytest.mark.django_db


def severity_by_the_book(quantity: int, threshold: int) -> Severity | None:
    """The rule, naively."""
    if threshold <= 0 or quantity > threshold:
        return None
    missing = Decimal(threshold - quantity) / threshold
    if missing >= Decimal("0.5"):
        return Severity.CRITICAL
    if missing >= Decimal("0.25"):
        return Severity.HIGH
    return Severity.MEDIUM if missing >= Decimal("0.1") else Severity.LOW


@pytest.mark.parametrize(
    ("quantity", "severity"),
    [
        (0, "critical"),
        (50, "critical"),
        (51, "high"),
        (75, "high"),
        (76, "medium"),
        (90, "medium"),
        (91, "low"),
        (100, "low"),
    ],
)
def test_the_severity_is_what_is_missing_of_the_threshold(quantity: int, severity: str) -> None:
    tenant = make_tenant()
    make_stock(tenant, quantity, 100)
    (low,) = refresh_alerts(tenant).announced
    assert low.severity.label == severity


def test_stock_above_its_threshold_or_without_one_is_not_low() -> None:
    tenant = make_tenant()
    make_stock(tenant, 11, 10)
    make_stock(tenant, 0, 0)
    assert refresh_alerts(tenant).opened == 0


def test_a_threshold_of_the_warehouse_replaces_that_of_the_product() -> None:
    tenant = make_tenant()
    make_stock(tenant, 15, 10, override=20)
    make_stock(tenant, 5, 10, override=0)
    (low,) = refresh_alerts(tenant).announced
    assert (low.quantity, low.threshold) == (15, 20)


def test_what_is_not_active_is_never_low_and_its_alert_closes() -> None:
    tenant = make_tenant()
    closed = Warehouse.objects.create(tenant=tenant, code="old", name="Old", is_active=False)
    make_stock(tenant, 1, 10, is_active=False)
    make_stock(tenant, 1, 10, warehouse=closed)
    stock = make_stock(tenant, 1, 10)
    assert refresh_alerts(tenant).opened == 1
    Product.objects.filter(pk=stock.product_id).update(is_active=False)
    assert refresh_alerts(tenant).closed == 1


def test_other_companies_are_left_alone() -> None:
    ours, theirs = make_tenant(), make_tenant()
    make_stock(theirs, 1, 10)
    assert refresh_alerts(ours).opened == 0
    assert refresh_alerts(theirs).opened == 1
    assert refresh_alerts(ours).closed == 0


def test_a_second_check_finds_nothing_new() -> None:
    tenant = make_tenant()
    make_stock(tenant, 1, 10)
    refresh_alerts(tenant)
    again = refresh_alerts(tenant)
    assert (again.opened, again.updated, again.closed, again.announced) == (0, 0, 0, [])


def test_an_open_alert_is_updated_and_announced_again_only_when_it_is_worse_than_ever() -> None:
    tenant = make_tenant()
    stock = make_stock(tenant, 70, 100)
    assert len(refresh_alerts(tenant).announced) == 1  # high

    change_to(stock, 72)
    better = refresh_alerts(tenant)
    assert (better.updated, better.announced) == (1, [])

    change_to(stock, 10)
    (worse,) = refresh_alerts(tenant).announced
    assert worse.severity is Severity.CRITICAL

    change_to(stock, 95)
    refresh_alerts(tenant)
    change_to(stock, 20)
    assert refresh_alerts(tenant).announced == []

    alert = StockAlert.objects.get()
    assert (alert.quantity, alert.severity) == (20, Severity.CRITICAL)


def test_an_alert_closes_when_the_stock_recovers_and_a_new_one_opens_later() -> None:
    tenant = make_tenant()
    stock = make_stock(tenant, 5, 10)
    refresh_alerts(tenant)
    change_to(stock, 50)
    assert refresh_alerts(tenant).closed == 1
    change_to(stock, 5)
    assert len(refresh_alerts(tenant).announced) == 1
    assert [alert.is_open for alert in StockAlert.objects.order_by("id")] == [False, True]


def test_a_check_of_one_warehouse_leaves_the_others_alone() -> None:
    tenant = make_tenant()
    north = Warehouse.objects.create(tenant=tenant, code="north", name="North")
    here, there = make_stock(tenant, 1, 10), make_stock(tenant, 1, 10, warehouse=north)
    refresh_alerts(tenant)
    change_to(here, 50)
    change_to(there, 50)
    assert refresh_alerts(tenant, "north").closed == 1
    assert StockAlert.objects.get(closed_at=None).stock == here


def test_the_worst_comes_first() -> None:
    tenant = make_tenant()
    for quantity in (100, 10, 80, 60):
        make_stock(tenant, quantity, 100)
    found = refresh_alerts(tenant).announced
    assert [low.severity.label for low in found] == ["critical", "high", "medium", "low"]


def test_it_agrees_with_the_rule_on_random_stock() -> None:
    tenant = make_tenant()
    chance = random.Random(42)
    expected = {}
    for _ in range(300):
        quantity, threshold = chance.randint(0, 40), chance.randint(0, 40)
        stock = make_stock(tenant, quantity, threshold)
        if severity := severity_by_the_book(quantity, threshold):
            expected[stock.pk] = severity.value
    refresh_alerts(tenant)
    assert dict(StockAlert.objects.values_list("stock_id", "severity")) == expected


def many_low(tenant: Tenant, number: int) -> None:
    """Give the company that many products that are low."""
    warehouse = ensure_default_warehouse(tenant)
    products = Product.objects.bulk_create(
        Product(tenant=tenant, sku=f"S{at}", name=f"Product {at}", threshold=10)
        for at in range(number)
    )
    Stock.objects.bulk_create(
        Stock(product=product, warehouse=warehouse, quantity=3) for product in products
    )


def test_the_number_of_statements_does_not_grow_with_the_stock() -> None:
    statements = []
    for number in (10, 2_000):
        tenant = make_tenant()
        many_low(tenant, number)
        with CaptureQueriesContext(connection) as captured:
            assert refresh_alerts(tenant).opened == number
        statements.append(len(captured))
    assert statements[0] == statements[1] <= 6
