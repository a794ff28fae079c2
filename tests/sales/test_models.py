"""What the database itself guarantees about orders, and that both ways of rounding agree."""

from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from sales.models import Order, OrderLine
from sales.money import line_amount
from tests.sales.builders import add_line, make_order
from tests.tenants.builders import make_tenant


@pytest.mark.parametrize(
    ("unit_price", "quantity", "discount", "amount"),
    [
        ("14.00", 12, "0", "168.00"),
        ("0.15", 1, "0.5", "0.08"),  # 0.075
        ("0.05", 1, "0.5", "0.03"),  # 0.025: half-even would give 0.02
        ("18.40", 27, "0.05", "471.96"),
        ("10.00", 3, "1", "0.00"),
    ],
)
@pytest.mark.django_db
def test_a_line_is_rounded_half_up_in_python_and_in_the_database(
    unit_price: str, quantity: int, discount: str, amount: str
) -> None:
    line = add_line(make_order(make_tenant()), unit_price, quantity, discount)
    assert line.amount == line.compute_amount() == Decimal(amount)


@pytest.mark.django_db
def test_both_ways_agree_on_any_line() -> None:
    # One statement for each example, on the database's own arithmetic, not on rows.
    expression = "round(%s::numeric(12,2) * %s::integer * (1::numeric - %s::numeric(5,4)), 2)"

    @given(st.decimals(0, 10**8, places=2), st.integers(1, 10**6), st.decimals(0, 1, places=4))
    def agree(unit_price: Decimal, quantity: int, discount: Decimal) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {expression}", [unit_price, quantity, discount])
            assert cursor.fetchone()[0] == line_amount(unit_price, quantity, discount)

    agree()


@pytest.mark.django_db
def test_the_database_computes_the_amount_with_that_very_expression() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT generation_expression FROM information_schema.columns "
            "WHERE table_name = 'sales_orderline' AND column_name = 'amount'"
        )
        (expression,) = cursor.fetchone()
    assert expression.startswith("round(")
    assert expression.endswith(", 2)")
    assert "double precision" not in expression


@pytest.mark.parametrize(
    "change",
    [
        {"quantity": 0}, {"unit_price": "-0.01"}, {"discount": "1.01"}, {"discount": "-0.01"},
    ],
)  # fmt: skip
@pytest.mark.django_db
def test_the_database_refuses_lines_that_make_no_sense(change: dict[str, object]) -> None:
    line = add_line(make_order(make_tenant()), "1.00", 1)
    with pytest.raises(IntegrityError), transaction.atomic():
        OrderLine.objects.filter(pk=line.pk).update(**change)


@pytest.mark.django_db
def test_a_product_stands_once_in_an_order_and_a_number_once_in_a_company() -> None:
    order = make_order(make_tenant())
    line = order.lines.first()
    assert line is not None
    with pytest.raises(IntegrityError, match="sales_orderline_product"), transaction.atomic():
        OrderLine.objects.create(order=order, product=line.product, unit_price=1, quantity=1)
    with pytest.raises(IntegrityError, match="sales_order_number"), transaction.atomic():
        make_order(order.tenant, number=order.number)
    make_order(make_tenant(), number=order.number)


@pytest.mark.django_db
def test_an_order_cannot_be_confirmed_without_its_time() -> None:
    order = make_order(make_tenant())
    with pytest.raises(IntegrityError, match="confirmed_has_time"), transaction.atomic():
        Order.objects.filter(pk=order.pk).update(state="confirmed")
