"""What all rows have in common, and how ids and times are written."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, PlainSerializer

Id = Annotated[UUID, PlainSerializer(str, return_type=str)]
Time = Annotated[datetime, PlainSerializer(lambda at: at.isoformat(), return_type=str)]


class Row(BaseModel):
    """Something as JSON; it is read from the attributes of what a selector returned."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


def fields_of(row: BaseModel) -> dict[str, Any]:
    """Return the row's own values, to make a longer row of them."""
    return {name: getattr(row, name) for name in type(row).model_fields}
