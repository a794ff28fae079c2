"""What commands for people share: types of arguments, who is at the terminal, table cells."""

import json
import re
from argparse import ArgumentTypeError
from datetime import datetime
from getpass import getuser
from typing import Any

from jobs.definition import LONGEST_WAIT
from jobs.errors import InvalidPayload

MOST_ROWS = 10_000
LONGEST_SECONDS = int(LONGEST_WAIT.total_seconds())
_LONGEST_CELL = 120
#: What would steer a terminal, or hide what stands before it.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def rows_wanted(text: str) -> int:
    """Read a number of rows, for argparse; raises ``ArgumentTypeError`` with what was expected."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MOST_ROWS):
        raise ArgumentTypeError(f"expected a number from 1 to {MOST_ROWS}, not {text!r}")
    return int(text)


def seconds(text: str) -> float:
    """Read a duration, for argparse; raises ``ArgumentTypeError`` saying what was expected."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= LONGEST_SECONDS:
        raise ArgumentTypeError(f"expected seconds from 0 to {LONGEST_SECONDS}, not {text!r}")
    return number


def moment(text: str) -> datetime:
    """Read an instant, for argparse; raises ``ArgumentTypeError`` saying what was expected."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ArgumentTypeError(
            f"expected a time with its zone, such as 2026-11-21T09:30:00+01:00, not {text!r}"
        )
    return at


def payload_of(task: str, text: str) -> dict[str, Any]:
    """Read the arguments of a job; raises :class:`InvalidPayload` naming ``--payload``."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise InvalidPayload(task, {"--payload": "nested too deeply"}) from None
    except json.JSONDecodeError as error:
        raise InvalidPayload(task, {"--payload": f"expected JSON; {error}"}) from None
    if not isinstance(value, dict):
        raise InvalidPayload(task, {"--payload": 'expected a JSON object, such as {"label": "x"}'})
    return value


def shell_actor() -> str:
    """Return who works at this terminal, for the audit log: ``shell:<name>``."""
    try:
        return f"shell:{getuser()}"
    except (KeyError, OSError):
        return "shell"


def cell(value: Any, *, is_cut: bool = True) -> str:
    """Return a value as one line of a table; a long text ``is_cut``."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, dict | list):
        return _CONTROL.sub("�", json.dumps(value, ensure_ascii=False))
    text = str(value)[:_LONGEST_CELL] if is_cut else str(value)
    return _CONTROL.sub("�", text.replace("\n", " "))
