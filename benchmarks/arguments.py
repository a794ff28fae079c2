"""Types of arguments, for argparse; each raises ``ArgumentTypeError`` with what was expected."""

import math
from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def count(text: str) -> int:
    """Read a whole number above 0."""
    try:
        found = int(text)
    except ValueError:
        found = 0
    if found < 1:
        raise ArgumentTypeError(f"expected a whole number from 1, not {text!r}")
    return found


def seconds(text: str) -> float:
    """Read a finite number above 0."""
    found = _number(text)
    if not 0 < found < math.inf:
        raise ArgumentTypeError(f"expected a number of seconds above 0, not {text!r}")
    return found


def seconds_or_none(text: str) -> float:
    """Read a finite number from 0."""
    found = _number(text)
    if not 0 <= found < math.inf:
        raise ArgumentTypeError(f"expected a number of seconds from 0, not {text!r}")
    return found


def several(one: Callable[[str], T]) -> Callable[[str], list[T]]:
    """Return a type that reads one or more, with commas between them."""
    return lambda text: [one(part.strip()) for part in text.split(",")]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
