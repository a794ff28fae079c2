"""What a row of a table in an e-mail holds."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

#: An e-mail lists so many rows; the template says how many more there are.
MOST_LISTED = 50

Text = Annotated[str, Field(max_length=300)]


def in_days(days: int) -> str:
    """Return how far off a day is: ``today``, ``tomorrow``, ``in 3 days``, ``3 days ago``."""
    if days < 0:
        return "yesterday" if days == -1 else f"{-days} days ago"
    return ("today", "tomorrow")[days] if days < 2 else f"in {days} days"


class OrderLine(BaseModel):
    """A line of an order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: Text
    quantity: Decimal
    #: Of the line after its discount, in the order's currency, rounded to cents.
    amount: Decimal


class LowStockItem(BaseModel):
    """A product that is low in one warehouse."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    product: Text
    sku: Text
    warehouse: Text
    quantity: Decimal
    threshold: Decimal
    severity: Literal["low", "medium", "high", "critical"]


class ExpiringDocument(BaseModel):
    """A client's document that expires soon."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    client: Text
    client_code: Text
    document: Text
    #: Its last good day.
    expires_on: date
    #: From the day that the e-mail is about.
    days_left: int

    @property
    def when(self) -> str:
        """Such as ``in 3 days``."""
        return in_days(self.days_left)


class DueFiling(BaseModel):
    """A client's filing that has yet to be handed in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    client: Text
    client_code: Text
    filing: Text
    authority: Text
    period_end: date
    #: The last day on which it is in time.
    due_on: date
    #: From the day that the e-mail is about; below zero, it is overdue.
    days_left: int

    @property
    def is_overdue(self) -> bool:
        """Whether it is late."""
        return self.days_left < 0

    @property
    def when(self) -> str:
        """Such as ``due in 3 days`` or ``3 days overdue``."""
        late = -self.days_left
        if late > 0:
            return f"{late} day{'' if late == 1 else 's'} overdue"
        return f"due {in_days(self.days_left)}"
