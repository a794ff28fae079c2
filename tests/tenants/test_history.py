"""What is kept of rows that change, and what they were at an instant."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from inventory.models import Movement, Product, Stock, Warehouse
from inventory.services import move_stock
from tenants.history import past_of, rows_at
from tenants.models import Tenant
from tests.inventory.builders import make_product, make_stock

from .builders import make_tenant
from .past import happened

pytestmark = pytest.mark.django_db

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
PAST: Any = past_of(Product)


def hours(number: float) -> datetime:
    return START + timedelta(hours=number)


def kept() -> list[dict[str, Any]]:
    """What is kept of products, oldest first."""
    return list(PAST._base_manager.order_by("pgh_id").values("sku", "threshold", "pgh_label"))


def products_at(tenant: Tenant, at: datetime, *columns: str) -> list[tuple[Any, ...]]:
    """Return the tenant's products as they were: their id, or what is asked for."""
    source = rows_at(Product, "%(at)s", key="tenant_id", value="%(tenant)s")
    chosen = ", ".join(columns or ("id",))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {chosen} FROM {source} AS product ORDER BY id", {"at": at, "tenant": tenant.pk}
        )
        return list(cursor.fetchall())


def test_a_new_row_says_since_when_it_is_there_and_costs_nothing_more() -> None:
    product = make_product(make_tenant())
    Product.objects.bulk_create(
        Product(tenant=product.tenant, sku=f"S{number}", name="Chai") for number in range(3)
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        (now,) = cursor.fetchone()

    assert set(Product.objects.values_list("recorded_at", flat=True)) == {now}
    assert product.recorded_at == now
    assert kept() == []


def test_what_a_row_was_is_kept_whoever_changes_it() -> None:
    product = make_product(make_tenant(), sku="chai", threshold=1)
    product.threshold = 2
    product.save()
    Product.objects.update(threshold=3)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE inventory_product SET threshold = 4")
    product.delete()

    assert [(row["threshold"], row["pgh_label"]) for row in kept()] == [
        (1, "changed"),
        (2, "changed"),
        (3, "changed"),
        (4, "deleted"),
    ]


def test_what_is_no_fact_for_a_run_is_not_kept() -> None:
    stock = make_stock(make_tenant(), 5, threshold=1)
    Product.objects.update(category="Tea", unit_price=3, threshold=1)
    Product.objects.update(recorded_at=START)
    Warehouse.objects.update(is_active=True)
    Stock.objects.update(on_order=0)
    move_stock(stock=stock, change=3, reason=Movement.Reason.RECEIPT)

    for model in (Product, Warehouse, Stock):
        assert not past_of(model)._base_manager.exists()


def test_saving_a_row_again_does_not_make_it_younger() -> None:
    product = make_product(make_tenant())
    happened(START)
    product.refresh_from_db()
    product.name = "Chai, new"
    product.save()

    assert Product.objects.get().recorded_at == START


def test_a_row_is_what_it_was_at_each_instant() -> None:
    product = make_product(make_tenant(), name="A")
    happened(hours(0))
    for number, name in enumerate("BC", start=1):
        Product.objects.update(name=name)
        happened(hours(number))
    product.delete()
    happened(hours(3))

    def name_at(number: float) -> list[str]:
        return [name for (name,) in products_at(product.tenant, hours(number), "name")]

    assert [name_at(number) for number in (-1, 0.5, 1.5, 2.5, 3.5)] == [[], ["A"], ["B"], ["C"], []]
    # What happened at the instant itself has not happened yet.
    assert [name_at(number) for number in (0, 1, 2, 3)] == [[], ["A"], ["B"], ["C"]]


def test_of_what_one_transaction_changed_twice_the_first_state_counts() -> None:
    product = make_product(make_tenant(), name="A")
    happened(hours(0))
    for name in "BC":
        Product.objects.update(name=name)
    happened(hours(2))

    assert products_at(product.tenant, hours(1), "name") == [("A",)]


def test_a_transaction_that_began_before_another_and_changed_after_it_does_not_hide_it() -> None:
    product = make_product(make_tenant(), name="A")
    happened(hours(0))
    Product.objects.update(name="B")
    happened(hours(3))
    Product.objects.update(name="C")  # it waited for the row from hour 2 on, and found B
    happened(hours(2))

    assert products_at(product.tenant, hours(1), "name") == [("A",)]
    assert products_at(product.tenant, hours(2.5), "name") == [("A",)]
    assert products_at(product.tenant, hours(4), "name") == [("C",)]


def test_a_row_that_was_deleted_and_put_back_under_its_number_is_two() -> None:
    product = make_product(make_tenant(), name="A")
    pk, tenant = product.pk, product.tenant
    happened(hours(0))
    product.delete()
    happened(hours(1))
    Product.objects.create(pk=pk, tenant=tenant, sku="again", name="B")
    happened(hours(2))

    found = [products_at(tenant, hours(number), "name") for number in (0.5, 1.5, 2.5)]
    assert found == [[("A",)], [], [("B",)]]


def test_a_row_that_moved_is_found_where_it_was() -> None:
    product = make_product(make_tenant())
    before, after = product.tenant, make_tenant()
    happened(hours(0))
    Product.objects.update(tenant=after)
    happened(hours(1))

    for number, there, elsewhere in ((0.5, before, after), (1.5, after, before)):
        assert products_at(there, hours(number)) == [(product.pk,)]
        assert products_at(elsewhere, hours(number)) == []


def test_many_rows_changed_at_once_are_kept_in_little_time() -> None:
    tenant = make_tenant()
    Product.objects.bulk_create(
        Product(tenant=tenant, sku=f"S{number}", name="Chai") for number in range(10_000)
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "SET LOCAL statement_timeout = '5s'"
        )  # a quarter of a second, not its square
        cursor.execute("UPDATE inventory_product SET threshold = 1")

    assert PAST._base_manager.count() == 10_000


@pytest.mark.parametrize("seed", range(5))
def test_it_agrees_with_a_picture_taken_at_the_time(seed: int) -> None:
    dice = random.Random(seed)
    tenants = [make_tenant(), make_tenant()]
    pictures: dict[datetime, list[list[tuple[Any, ...]]]] = {}
    columns = ("id", "tenant_id", "sku", "threshold", "is_active")
    for step in range(40):
        now = Product.objects.order_by("id")
        pictures[hours(step)] = [
            list(now.filter(tenant=tenant).values_list(*columns)) for tenant in tenants
        ]
        for _ in range(dice.randint(0, 3)):
            product = dice.choice([None, *now.all()])
            match dice.choice(["add", "add", "change", "change", "move", "delete"]):
                case "add":
                    make_product(dice.choice(tenants), threshold=dice.randint(0, 3))
                case "change" if product:
                    product.threshold = dice.randint(0, 3)
                    product.is_active = dice.random() < 0.7
                    product.save()
                case "move" if product:
                    Product.objects.filter(pk=product.pk).update(tenant=dice.choice(tenants))
                case "delete" if product:
                    product.delete()
        happened(hours(step + dice.choice([0, 0.5])))

    for at, picture in pictures.items():
        assert [products_at(tenant, at, *columns) for tenant in tenants] == picture
