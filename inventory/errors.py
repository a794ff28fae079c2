"""What can go wrong with stock. The docstring is the message."""

import difflib
from collections.abc import Iterable

from jobs.errors import PermanentError


class InventoryError(Exception):
    """Something went wrong with the inventory."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (self.__doc__ or "").strip().splitlines()[0])


class InsufficientStock(InventoryError):
    """There is less in stock than should go."""


class UnknownWarehouse(InventoryError, PermanentError):
    """The company has no such warehouse; a job that names it cannot succeed by trying again."""

    def __init__(self, code: str, known: Iterable[str]) -> None:
        close = difflib.get_close_matches(code, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        super().__init__(f"There is no warehouse {code!r}.{hint}")
