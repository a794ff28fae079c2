"""The tables of the commands: ``manage.py``'s and ``make``'s."""

import re
from typing import Any

from django.apps import apps
from django.core.management import get_commands, load_command_class

from scripts.reference.markdown import ROOT, table


def commands() -> dict[str, Any]:
    """Return the parser of each ``manage.py`` command of the project, by its name."""
    ours = {config.name for config in apps.get_app_configs() if (ROOT / config.name).is_dir()}
    return {
        name: load_command_class(str(app), name).create_parser("manage.py", name)
        for name, app in sorted(get_commands().items())
        if app in ours
    }


def subcommands(parser: Any) -> dict[str, Any]:
    """Return the parsers below a command's parser, by name."""
    choices = [
        action.choices
        for action in parser._actions
        if action.__class__.__name__ == "_SubParsersAction"
    ]
    return dict(choices[0]) if choices else {}


def command_tables() -> str:
    """Return a section for each command and subcommand."""
    sections = []
    for name, parser in commands().items():
        below = subcommands(parser)
        sections.append(_command(f"## {name}", parser))
        sections += [_command(f"### {name} {sub}", below[sub]) for sub in below]
    return "\n".join(sections)


_EVERY_COMMAND_HAS = frozenset(
    {
        "help", "version", "verbosity", "settings", "pythonpath", "traceback", "no_color",
        "force_color", "skip_checks",
    }
)  # fmt: skip


def _command(heading: str, parser: Any) -> str:
    rows = [
        [_spelled(action), _explained(action)]
        for action in parser._actions
        if action.dest not in _EVERY_COMMAND_HAS and action.dest != "subcommand"
    ]
    arguments = f"\n{table(['argument', 'meaning'], rows)}" if rows else ""
    return f"{heading}\n\n{parser.description}\n{arguments}"


def _spelled(action: Any) -> str:
    value = action.metavar or action.dest.upper()
    if action.nargs == "?":
        value = f"[{value}]"
    if not action.option_strings:
        return f"`{value}{' …' if action.nargs in ('+', '*') else ''}`"
    wanted = "" if action.nargs == 0 else f" {value}{' …' if action.nargs == '+' else ''}"
    return f"`{action.option_strings[-1]}{wanted}`"


def _explained(action: Any) -> str:
    parts = [action.help or ""]
    choices = [str(choice) for choice in action.choices or () if str(choice)]
    if choices and not action.help:
        parts = [f"one of {', '.join(choices)}"]
    if action.option_strings and action.required:
        parts.append("required")
    elif action.default not in (None, "", False, [], True, "{}", 0.0):
        parts.append(f"default {action.default}")
    return "; ".join(part for part in parts if part)


def make_targets() -> str:
    """Return the table of ``make``'s targets."""
    found = re.findall(r"^([a-z]+):.*## (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return table(["command", "what it does"], ([f"`make {name}`", text] for name, text in found))
