"""Why a row is refused, in words for people."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imports.rows import RefusedRow, check_row
from inventory.importing import ProductRow
from sales.importing import CustomerRow, OrderLineRow, OrderRow
from tests.imports.builders import product

ORDER = {"order_id": "1", "customer_id": "ALFKI", "order_date": "2026-02-28"}
LINE = {"order_id": "1", "product_id": "1", "unit_price": "1", "quantity": "1"}


def problems(model: type, cells: dict[str, str]) -> dict[str, str]:
    """Return what is wrong with the cells."""
    try:
        check_row(model, cells)
    except RefusedRow as refused:
        return refused.problems
    return {}


@pytest.mark.parametrize(
    ("cells", "field", "reason"),
    [
        ({"product_id": " "}, "product_id", "is empty"),
        ({"product_name": ""}, "product_name", "is empty"),
        ({"product_name": "x" * 201}, "product_name", "is longer than 200 characters"),
        ({"unit_price": "18.005"}, "unit_price", "has more than 2 decimal places"),
        ({"unit_price": "18,00"}, "unit_price", "is not a number such as 12.50"),
        ({"unit_price": "NaN"}, "unit_price", "is not a number"),
        ({"unit_price": "1e3"}, "unit_price", "is not a number"),
        ({"unit_price": "-1"}, "unit_price", "is less than 0"),
        ({"unit_price": "99999999999.00"}, "unit_price", "digits"),
        ({"units_in_stock": "-1"}, "units_in_stock", "is less than 0"),
        ({"units_in_stock": "1.5"}, "units_in_stock", "is not a whole number"),
        ({"units_in_stock": "1_000"}, "units_in_stock", "is not a whole number"),
        ({"units_in_stock": "١٢"}, "units_in_stock", "is not a whole number"),
        ({"units_in_stock": "3000000000"}, "units_in_stock", "is more than 2147483647"),
        ({"discontinued": "maybe"}, "discontinued", "is neither 0 nor 1"),
        ({"product_name": "a\0b"}, "product_name", "contains a NUL character"),
        ({"product_name": "a\nb"}, "product_name", "contains a line break"),
        ({"product_name": "a\x1bb"}, "product_name", "control character (U+001B)"),
    ],
)
def test_a_bad_product_names_the_column_and_the_reason(
    cells: dict[str, str], field: str, reason: str
) -> None:
    found = problems(ProductRow, product(1, **cells))
    assert list(found) == [field]
    assert reason in found[field]


@pytest.mark.parametrize(
    ("day", "reason"),
    [
        ("2026-02-29", "is a day that does not exist"),
        ("28.02.2026", "is not a date such as 2026-11-21"),
        ("20260228", "is not a date"),
        ("2026-02-28 09:30:00", "is not a date"),
    ],
)
def test_a_bad_date_is_refused(day: str, reason: str) -> None:
    assert reason in problems(OrderRow, ORDER | {"order_date": day})["order_date"]


@pytest.mark.parametrize(
    ("cells", "field"),
    [
        ({"quantity": "0"}, "quantity"),
        ({"discount": "1.01"}, "discount"),
        ({"discount": "-0.1"}, "discount"),
        ({"discount": "0.12345"}, "discount"),
        ({"unit_price": ""}, "unit_price"),
    ],
)
def test_a_bad_order_line_names_the_column(cells: dict[str, str], field: str) -> None:
    assert list(problems(OrderLineRow, LINE | cells)) == [field]


def test_every_bad_column_of_a_row_is_named() -> None:
    found = problems(ProductRow, product(1, unit_price="x", units_in_stock="y"))
    assert list(found) == ["unit_price", "units_in_stock"]


def test_a_malformed_address_is_refused_and_a_good_one_kept() -> None:
    customer = {"customer_id": "A", "company_name": "A"}
    assert "email" in problems(CustomerRow, customer | {"email": "ann@"})
    row = check_row(CustomerRow, customer | {"email": "ann@acme.example"})
    assert isinstance(row, CustomerRow)
    assert row.email == "ann@acme.example"


def test_blanks_around_a_cell_do_not_count_and_an_empty_one_is_the_default() -> None:
    row = check_row(ProductRow, product(1, product_name="  Chai ", supplier=" ", unit_price=""))
    assert isinstance(row, ProductRow)
    assert (row.product_name, row.supplier, row.unit_price) == ("Chai", "", Decimal(0))


def test_a_long_cell_is_cut_in_the_reason() -> None:
    assert len(problems(ProductRow, product(1, unit_price="x" * 500))["unit_price"]) < 100


@given(st.dictionaries(st.sampled_from(list(ProductRow.model_fields)), st.text(), max_size=10))
def test_whatever_the_cells_hold_a_row_is_taken_or_refused(cells: dict[str, str]) -> None:
    for reason in problems(ProductRow, product(1, **cells)).values():
        assert reason
