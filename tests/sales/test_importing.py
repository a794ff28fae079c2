"""Importing customers, orders and lines, on the Northwind data and on rows of our own."""

from decimal import Decimal
from pathlib import Path

import pytest
from django.db.models import Count, DecimalField, ExpressionWrapper, F, Sum

from inventory.models import Product, Severity, StockAlert
from inventory.services import check_stock
from sales.models import Customer, Order, OrderLine
from sales.services import issue_invoice
from tenants.models import Tenant
from tests.imports.builders import csv_bytes, refused, run_import
from tests.sales.builders import import_northwind, make_confirmed_order, make_customer, make_order
from tests.tenants.builders import make_tenant

pytestmark = pytest.mark.django_db

CUSTOMER_COLUMNS = [
    "customer_id", "company_name", "contact_name", "contact_title", "address", "city", "region",
    "postal_code", "country", "phone",
]  # fmt: skip
ORDER_COLUMNS = [
    "order_id", "customer_id", "order_date", "required_date", "shipped_date", "carrier", "freight",
    "ship_name", "ship_address", "ship_city", "ship_region", "ship_postal_code", "ship_country",
]  # fmt: skip
LINE_COLUMNS = ["order_id", "product_id", "unit_price", "quantity", "discount"]


@pytest.fixture
def tenant() -> Tenant:
    """A company."""
    return make_tenant()


def test_northwind_imported_twice_is_there_once(tenant: Tenant, northwind: Path) -> None:
    first = import_northwind(tenant, northwind)
    again = import_northwind(tenant, northwind)
    expected = {"products": 77, "customers": 91, "orders": 830, "order_lines": 2155}
    assert {kind: run.created for kind, run in first.items()} == expected
    assert {kind: run.unchanged for kind, run in again.items()} == expected
    assert Product.objects.filter(tenant=tenant).count() == 77
    assert Customer.objects.filter(tenant=tenant).count() == 91
    assert Order.objects.filter(tenant=tenant).count() == 830
    assert OrderLine.objects.filter(order__tenant=tenant).count() == 2155


def test_the_lines_of_northwind_add_up_to_the_cent(tenant: Tenant, northwind: Path) -> None:
    import_northwind(tenant, northwind)
    lines = OrderLine.objects.filter(order__tenant=tenant)
    exact = ExpressionWrapper(
        F("unit_price") * F("quantity") * (1 - F("discount")),
        output_field=DecimalField(max_digits=30, decimal_places=8),
    )
    sums = lines.aggregate(rounded=Sum("amount"), exact=Sum(exact))
    assert sums["rounded"] == Decimal("1265793.29")
    assert sums["exact"] == Decimal("1265793.0395")
    assert sum(line.compute_amount() for line in lines.iterator()) == Decimal("1265793.29")


def test_the_stock_check_on_northwind_alerts_seventeen_products_once(
    tenant: Tenant, northwind: Path
) -> None:
    import_northwind(tenant, northwind)
    assert check_stock(tenant=tenant.slug)["opened"] == 17
    found = StockAlert.objects.values_list("severity").annotate(n=Count("id"))
    assert dict(found) == {Severity.CRITICAL: 7, Severity.HIGH: 9, Severity.MEDIUM: 1}
    again = check_stock(tenant=tenant.slug)
    assert (again["opened"], again["announced"]) == (0, {})


def test_an_imported_order_is_a_draft_with_its_dates(tenant: Tenant, northwind: Path) -> None:
    import_northwind(tenant, northwind)
    order = Order.objects.get(tenant=tenant, number="10248")
    assert (order.state, str(order.shipped_date), order.carrier) == (
        "draft", "1996-07-16", "Federal Shipping",
    )  # fmt: skip
    assert order.ship_address == "59 rue de l'Abbaye"
    assert order.customer.company_name == "Vins et alcools Chevalier"


def line(**cells: str) -> dict[str, str]:
    """Return the cells of an order line."""
    return {"unit_price": "9.80", "quantity": "10", "discount": "0"} | cells


def test_records_that_do_not_exist_refuse_the_row_and_name_every_column(tenant: Tenant) -> None:
    order = make_order(tenant)
    product = Product.objects.filter(tenant=tenant).first()
    assert product is not None
    foreign = make_order(make_tenant(), number="theirs")
    rows = [
        line(order_id=order.number, product_id=product.sku),
        line(order_id="nope", product_id=product.sku),
        line(order_id="nope", product_id="neither"),
        line(order_id=foreign.number, product_id=product.sku),
    ]
    run = run_import(tenant, csv_bytes(rows, LINE_COLUMNS), kind="order_lines")
    assert refused(run) == {
        3: ("order_id", "order_id “nope” does not exist"),
        4: (
            "order_id, product_id",
            "order_id “nope” does not exist; product_id “neither” does not exist",
        ),
        5: ("order_id", "order_id “theirs” does not exist"),
    }
    assert run.updated == 1


def test_an_order_of_an_unknown_customer_is_refused(tenant: Tenant) -> None:
    rows = [{"order_id": "1", "customer_id": "WHO", "order_date": "2026-01-01"}]
    run = run_import(tenant, csv_bytes(rows, ORDER_COLUMNS), kind="orders")
    assert refused(run)[2] == ("customer_id", "customer_id “WHO” does not exist")


def test_addresses_are_taken_from_their_column_and_kept_without_it(tenant: Tenant) -> None:
    row = {"customer_id": "A", "company_name": "A", "email": "ann@acme.example"}
    columns = [*CUSTOMER_COLUMNS, "email"]
    run_import(tenant, csv_bytes([row], columns), kind="customers")
    run = run_import(tenant, csv_bytes([row], CUSTOMER_COLUMNS), kind="customers")
    assert (run.unchanged, Customer.objects.get().email) == (1, "ann@acme.example")
    run = run_import(tenant, csv_bytes([row | {"email": ""}], columns), kind="customers")
    assert (run.updated, Customer.objects.get().email) == (1, "")


def test_a_customer_without_an_address_is_imported_unchanged_twice(tenant: Tenant) -> None:
    row = {"customer_id": "A", "company_name": "A", "email": ""}
    for _ in range(2):
        run = run_import(tenant, csv_bytes([row], [*CUSTOMER_COLUMNS, "email"]), kind="customers")
    assert run.unchanged == 1


def cells_of(order: Order, **cells: str) -> dict[str, str]:
    """Return the row that says what the order is already, changed by ``cells``."""
    same = {
        "order_id": order.number,
        "customer_id": order.customer.code,
        "order_date": str(order.order_date),
        "freight": str(order.freight),
    }
    return same | cells


def test_an_import_never_changes_the_state_of_an_order(tenant: Tenant) -> None:
    order = make_confirmed_order(tenant)
    rows = [cells_of(order, freight="9.99")]
    assert run_import(tenant, csv_bytes(rows, ORDER_COLUMNS), kind="orders").updated == 1
    order.refresh_from_db()
    assert (order.state, order.freight) == ("confirmed", Decimal("9.99"))


def test_an_order_that_is_invoiced_does_not_change_but_may_come_again(tenant: Tenant) -> None:
    order = make_confirmed_order(tenant)
    issue_invoice(order.pk)
    known = order.lines.order_by("id").first()
    assert known is not None
    same = line(
        order_id=order.number, product_id=known.product.sku, unit_price="10.00", quantity="2"
    )
    new = line(order_id=order.number, product_id=known.product.sku + "x")
    Product.objects.create(tenant=tenant, sku=known.product.sku + "x", name="X")

    run = run_import(tenant, csv_bytes([same, new], LINE_COLUMNS), kind="order_lines")
    assert run.unchanged == 1
    assert "is invoiced" in refused(run)[3][1]
    run = run_import(
        tenant, csv_bytes([same | {"quantity": "3"}], LINE_COLUMNS), kind="order_lines"
    )
    assert list(refused(run)) == [2]

    run = run_import(tenant, csv_bytes([cells_of(order)], ORDER_COLUMNS), kind="orders")
    assert run.unchanged == 1
    rows = [cells_of(order, freight="0")]
    run = run_import(tenant, csv_bytes(rows, ORDER_COLUMNS), kind="orders")
    assert refused(run)[2] == ("order_id", "order_id is invoiced and cannot change any more")


def test_a_customer_is_updated_and_others_stay(tenant: Tenant) -> None:
    other = make_customer(tenant, city="Brno")
    rows = [{"customer_id": "A", "company_name": "A", "city": city} for city in ("Praha", "Plzeň")]
    for row in rows:
        run = run_import(tenant, csv_bytes([row], CUSTOMER_COLUMNS), kind="customers")
    assert (run.created, run.updated) == (0, 1)
    other.refresh_from_db()
    assert (Customer.objects.get(code="A").city, other.city) == ("Plzeň", "Brno")
