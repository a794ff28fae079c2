"""What a row of a table in an e-mail holds."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

#: An e-mail lists so many rows; the template says how many more there are.
MOST_LISTED = 50

Text = Annotated[str, Field(max_length=300)]


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
