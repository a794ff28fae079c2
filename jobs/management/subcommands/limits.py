"""``limits`` and ``limit``: what may run how often, and how much at a time."""

from argparse import ArgumentTypeError
from typing import Any

from jobs import operations
from jobs.command_line import shell_actor
from jobs.management.subcommands.terminal import Add, Terminal
from jobs.queues import QUEUES
from jobs.representation import LimitRow
from jobs.selectors import get_limit, list_limits

#: What is said instead of a number.
OFF, DEFAULT = "off", "default"
_COLUMNS = [
    "name",
    "in_words",
    "declared",
    "source",
    "changed_by",
    "changed_at",
    "used",
    "keys",
    "waiting",
]


def add_to(add: Add) -> None:
    """Define the subcommands."""
    listing = add("limits", "Show every limit: its value, who set it, what waits.", limits)
    listing.add_argument("--queue", default="", choices=["", *QUEUES], metavar="QUEUE")
    text = "Change a limit for all workers, within a second."
    changing = add("limit", text, limit)
    changing.add_argument("name", help="such as email/rate")
    changing.add_argument(
        "value",
        type=_value,
        help="a number; off: no limit (null in the API); default: as it is declared",
    )


def limits(terminal: Terminal, options: dict[str, Any]) -> None:
    """Print the limits."""
    terminal.rows(list_limits(queue=options["queue"]), _COLUMNS)


def limit(terminal: Terminal, options: dict[str, Any]) -> None:
    """Change a limit, or take the change back."""
    name, value = options["name"], options["value"]
    if value == DEFAULT:
        operations.reset_limit(name, actor=shell_actor())
    else:
        operations.set_limit(name, value, actor=shell_actor())
    row = LimitRow.of(get_limit(name))
    if terminal.as_json:
        terminal.json(row.model_dump(mode="json"))
    else:
        terminal.say(f"{row.name}: {row.in_words} ({row.source})")


def _value(text: str) -> int | str | None:
    """Read a value, for argparse; raises ``ArgumentTypeError`` saying what was expected."""
    if text == OFF:
        return None
    if text == DEFAULT:
        return DEFAULT
    if not (text.isascii() and text.isdigit()) or int(text) > operations.HIGHEST_LIMIT:
        raise ArgumentTypeError(
            f"expected a number from 0 to {operations.HIGHEST_LIMIT}, off or default, not {text!r}"
        )
    return int(text)
