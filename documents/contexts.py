"""What a document says, as plain data: its template reads this and nothing else.

Amounts are in the document's currency, already rounded to its smallest unit. They are the caller's;
a document whose figures do not add up is refused here, before anybody gets it.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from documents.errors import FiguresDisagree, TooLong

#: About 60 pages, which take 15 seconds to render.
MOST_LINES = 2_000


@dataclass(frozen=True, kw_only=True)
class Party:
    """A company or a person on a document."""

    name: str
    #: Street, city and so on, one per line.
    address: str = ""
    #: A person at the company.
    contact: str = ""
    #: The number by which the seller knows it.
    reference: str = ""

    @property
    def address_lines(self) -> list[str]:
        """The lines of the address that say something, the first ten."""
        return [line.strip() for line in self.address.splitlines() if line.strip()][:10]


@dataclass(frozen=True, kw_only=True)
class InvoiceLine:
    """One line of an invoice."""

    description: str
    quantity: Decimal
    unit_price: Decimal
    #: Of the whole line, after its discount.
    amount: Decimal
    #: A share of one: ``0.15`` is 15 %.
    discount: Decimal = Decimal(0)
    #: The product's number.
    sku: str = ""


@dataclass(frozen=True, kw_only=True)
class InvoiceContext:
    """An invoice."""

    number: str
    order_number: str
    issued_on: date
    due_on: date
    ordered_on: date
    seller: Party
    buyer: Party
    lines: list[InvoiceLine]
    total: Decimal
    currency: str
    freight: Decimal = Decimal(0)
    #: Where the goods go, when that is not the buyer's address.
    ship_to: Party | None = None
    #: How to pay, and anything else below the total.
    payment_note: str = ""

    def __post_init__(self) -> None:
        """Raises ``FiguresDisagree`` and ``TooLong``."""
        _check_length(self.lines)
        if self.subtotal + self.freight != self.total:
            raise FiguresDisagree(
                f"Invoice {self.number}: lines {self.subtotal} and freight {self.freight} "
                f"are not the total {self.total}."
            )

    @property
    def subtotal(self) -> Decimal:
        """The sum of the lines."""
        return sum((line.amount for line in self.lines), Decimal(0))

    @property
    def has_discount(self) -> bool:
        """Whether the column of discounts says anything."""
        return any(line.discount for line in self.lines)

    @property
    def has_sku(self) -> bool:
        """Whether the column of product numbers says anything."""
        return any(line.sku for line in self.lines)


@dataclass(frozen=True, kw_only=True)
class OrderSheetLine:
    """One line to pick and pack."""

    description: str
    quantity: Decimal
    sku: str = ""
    #: Where it lies: a warehouse, a shelf.
    location: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class OrderSheetContext:
    """The sheet by which an order is picked and packed; it names no price."""

    order_number: str
    ordered_on: date
    seller: Party
    buyer: Party
    ship_to: Party
    lines: list[OrderSheetLine]
    required_on: date | None = None
    ship_via: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        """Raises ``TooLong``."""
        _check_length(self.lines)

    @property
    def total_quantity(self) -> Decimal:
        """How many pieces, all lines together."""
        return sum((line.quantity for line in self.lines), Decimal(0))

    @property
    def has_sku(self) -> bool:
        """Whether the column of product numbers says anything."""
        return any(line.sku for line in self.lines)

    @property
    def has_location(self) -> bool:
        """Whether the column of places says anything."""
        return any(line.location for line in self.lines)


def _check_length(lines: list[InvoiceLine] | list[OrderSheetLine]) -> None:
    if len(lines) > MOST_LINES:
        raise TooLong(f"{len(lines)} lines; one document may have {MOST_LINES}.")
