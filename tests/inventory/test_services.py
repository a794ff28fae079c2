"""Stock and its ledger change together, or not at all."""

import random
from collections.abc import Callable

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Sum

from inventory.errors import InsufficientStock
from inventory.models import Movement, Stock
from inventory.services import ensure_default_warehouse, ensure_stock, move_stock, set_stock
from jobs.context import job_context
from tests.inventory.builders import make_product, make_stock
from tests.tenants.builders import make_tenant

pytestmark = pytest.mark.django_db
SHIPMENT = Movement.Reason.SHIPMENT


def test_a_movement_changes_the_stock_and_is_in_the_ledger() -> None:
    stock = make_stock(make_tenant(), 10)
    with job_context(actor="user:ann"):
        left = move_stock(stock=stock, change=-4, reason=SHIPMENT, reference="order:7")
    stock.refresh_from_db()
    entry = stock.movements.first()
    assert entry is not None
    assert left == stock.quantity == 6
    assert (entry.change, entry.quantity, entry.reason) == (-4, 6, "shipment")
    assert (entry.reference, entry.actor) == ("order:7", "user:ann")


def test_more_than_there_is_cannot_go_and_nothing_changes() -> None:
    stock = make_stock(make_tenant(), 3)
    with pytest.raises(InsufficientStock, match="fewer than 4 units"):
        move_stock(stock=stock, change=-4, reason=SHIPMENT)
    stock.refresh_from_db()
    assert stock.quantity == 3
    assert stock.movements.count() == 1


def test_a_movement_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        move_stock(stock=make_stock(make_tenant(), 3), change=0, reason=SHIPMENT)


def test_the_stock_is_always_the_sum_of_its_ledger() -> None:
    stock = make_stock(make_tenant(), 20)
    chance = random.Random(7)
    for _ in range(50):
        try:
            change = chance.choice([-9, -5, -1, 2, 6])
            move_stock(stock=stock, change=change, reason=SHIPMENT)
        except InsufficientStock:
            continue
    set_stock(stock=stock, quantity=17)
    stock.refresh_from_db()
    entries = stock.movements.aggregate(total=Sum("change"))
    assert stock.quantity == entries["total"] == 17


def test_counting_what_is_there_already_writes_nothing() -> None:
    stock = make_stock(make_tenant(), 5)
    assert set_stock(stock=stock, quantity=5) == 0
    assert stock.movements.count() == 1


@pytest.mark.parametrize(
    "act",
    [
        lambda: Movement.objects.update(change=99),
        lambda: Movement.objects.all().delete(),
        lambda: connection.cursor().execute(
            "SET CONSTRAINTS ALL IMMEDIATE; TRUNCATE inventory_movement"
        ),
    ],
    ids=["update", "delete", "truncate"],
)
def test_the_ledger_refuses_to_be_changed(act: Callable[[], object]) -> None:
    make_stock(make_tenant(), 5)
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        act()


def test_the_database_refuses_a_stock_below_zero() -> None:
    stock = make_stock(make_tenant(), 5)
    with pytest.raises(IntegrityError, match="inventory_stock_not_negative"), transaction.atomic():
        Stock.objects.filter(pk=stock.pk).update(quantity=-1)


def test_product_and_warehouse_must_belong_to_one_company() -> None:
    product = make_product(make_tenant())
    with pytest.raises(ValueError, match="different tenants"):
        ensure_stock(product, ensure_default_warehouse(make_tenant()))


def test_the_default_warehouse_is_made_once() -> None:
    tenant = make_tenant()
    assert ensure_default_warehouse(tenant) == ensure_default_warehouse(tenant)
