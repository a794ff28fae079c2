"""What a line costs. Money is Decimal, rounded half-up to cents once per line, never later."""

from decimal import ROUND_HALF_UP, Decimal

CENT = Decimal("0.01")


def line_amount(unit_price: Decimal, quantity: int, discount: Decimal) -> Decimal:
    """Return what a line costs, in the unit of ``unit_price``.

    Args:
        unit_price: For one unit.
        quantity: Units.
        discount: The part that is not paid, from 0 to 1.
    """
    # PostgreSQL's round(numeric, 2), which OrderLine.amount uses, goes half away from zero: the
    # same as half-up, since nothing here is below zero.
    exact = unit_price * quantity * (1 - discount)
    return exact.quantize(CENT, rounding=ROUND_HALF_UP)
