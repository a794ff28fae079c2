"""Writes the tables of the documentation that follow from the code.

    .venv/bin/python -m scripts.reference_tables

A table stands between ``<!-- generated: NAME -->`` and ``<!-- /generated -->``; everything
else on the page is written by hand. ``tests/docs`` fails while a table differs from the code.
"""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import django

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
_BLOCK = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- /generated -->)", re.DOTALL)
#: Queues that run as many jobs at a time as the machine has cores.
ONE_PER_CORE = frozenset({"pdf"})


def rewritten(page: str) -> str:
    """Return the page with its tables made anew; raises ``KeyError`` for an unknown one."""
    return _BLOCK.sub(lambda found: f"{found[1]}\n{TABLES[found[2]]()}\n{found[3]}", page)


def names_in(page: str) -> list[str]:
    """Return the names of the page's generated tables."""
    return [found[2] for found in _BLOCK.finditer(page)]


def pages() -> list[Path]:
    """Return every page of the documentation."""
    return sorted([*DOCS.rglob("*.md"), ROOT / "README.md"])


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(
        f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines
    )


def duration(time: timedelta) -> str:
    """Return a duration in its largest whole unit: ``2 min``."""
    seconds = time.total_seconds()
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


# --- the registries ------------------------------------------------------------------------------


def queues() -> str:
    """Return the table of the queues."""
    from jobs.queues import QUEUES

    header = [
        "queue", "purpose", "pool", "at a time", "attempts", "backoff from", "backoff cap",
        "soft limit", "hard limit",
    ]  # fmt: skip
    return table(
        header,
        (
            [
                f"`{queue.name}`",
                queue.purpose,
                queue.pool,
                "one per core" if queue.name in ONE_PER_CORE else str(queue.concurrency),
                str(queue.attempts),
                duration(queue.backoff.base),
                duration(queue.backoff.cap),
                "–" if queue.pool == "threads" else duration(queue.soft_time_limit),
                duration(queue.hard_time_limit),
            ]
            for queue in QUEUES.values()
        ),
    )


def schedules() -> str:
    """Return the table of the schedules."""
    from erp.schedules import SCHEDULES

    return table(
        ["schedule", "task", "every day at"],
        ([f"`{item.name}`", f"`{item.task}`", f"{item.at:%H:%M}"] for item in SCHEDULES),
    )


def states() -> str:
    """Return the table of the states of a job."""
    from jobs.states import FINAL, TRANSITIONS, WAITING, State

    def left_by(state: State) -> str:
        moves = [move for move, (starts, _) in TRANSITIONS.items() if state in starts]
        return ", ".join(f"`{move}`" for move in moves) or "–"

    def kind(state: State) -> str:
        if state in FINAL:
            return "final"
        return "waiting" if state in WAITING else "running"

    return table(
        ["state", "kind", "moves that leave it"],
        ([f"`{state}`", kind(state), left_by(state)] for state in State),
    )


def tasks() -> str:
    """Return a section for each task."""
    from jobs.task import registry

    return "\n".join(_task(task.definition) for _, task in sorted(registry().items()))


def _task(definition: Any) -> str:
    from jobs.models import Priority

    facts = [f"Queue `{definition.queue}`"]
    if definition.atomic:
        facts.append("atomic")
    if definition.priority != Priority.NORMAL:
        facts.append(f"priority {definition.priority.label}")
    if definition.attempts:
        facts.append(f"{definition.attempts} attempts")
    schema = definition.arguments.model_json_schema()
    required = set(schema.get("required", ()))
    rows = [
        [f"`{name}`", _type(item), "required" if name in required else _default(item)]
        for name, item in schema.get("properties", {}).items()
    ]
    arguments = table(["argument", "type", "default"], rows) if rows else "No arguments.\n"
    shapes = "".join(
        f"\n`{name}`: " + ", ".join(f"`{field}` ({_type(item)})" for field, item in shape.items())
        + ".\n"
        for name, definition in schema.get("$defs", {}).items()
        if (shape := definition.get("properties"))
    )  # fmt: skip
    description = " ".join(definition.description.split()).replace("``", "`")
    return (
        f"## {definition.name}\n\n{description}\n\n{', '.join(facts)}.\n\n{arguments}"
        f"{_values(schema)}{shapes}"
    )


def _values(schema: dict[str, Any]) -> str:
    return "".join(
        f"\n`{name}`: {', '.join(f'`{value}`' for value in definition['enum'])}.\n"
        for name, definition in schema.get("$defs", {}).items()
        if "enum" in definition
    )


_FORMATS = {
    "date": "date",
    "date-time": "date and time",
    "uuid": "UUID",
    "email": "e-mail address",
}
_TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
}


def _type(item: dict[str, Any]) -> str:
    """Return a JSON schema in words."""
    if "$ref" in item:
        return f"`{item['$ref'].rpartition('/')[2]}`"
    if "anyOf" in item:
        kinds = [kind for kind in item["anyOf"] if kind.get("type") != "null"]
        if {kind.get("type") for kind in kinds} == {"number", "string"}:
            return "decimal"
        return " or ".join(_type(kind) for kind in kinds)
    if item.get("writeOnly"):
        return "secret text"
    if "enum" in item:
        return " or ".join(f"`{value}`" for value in item["enum"])
    if item["type"] == "array":
        most = f" (at most {item['maxItems']})" if "maxItems" in item else ""
        return f"list of {_type(item['items'])}{most}"
    name = _FORMATS.get(item.get("format", ""), _TYPES.get(item["type"], item["type"]))
    return name + _bounds(item)


def _bounds(item: dict[str, Any]) -> str:
    if "maxLength" in item and item.get("format") != "email":
        return f", at most {item['maxLength']} characters"
    if "minimum" in item and "maximum" in item:
        return f", {item['minimum']} to {item['maximum']}"
    if "minimum" in item:
        return f", {item['minimum']} or more"
    return f" like `{item['pattern']}`" if "pattern" in item else ""


def _default(item: dict[str, Any]) -> str:
    import json

    value = item.get("default")
    return "none" if value is None else f"`{json.dumps(value)}`"


# --- settings ------------------------------------------------------------------------------------


def described_variables() -> dict[str, tuple[str, str]]:
    """Return what ``.env.example`` says: variable -> (default as written there, meaning)."""
    found = re.findall(
        r"((?:^# .*\n)+)^#?([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE
    )
    return {
        name: (value.strip('"'), " ".join(line[2:] for line in text.splitlines()))
        for text, name, value in found
    }


def default_of(variable: str) -> str:
    """Return the default of a variable of :class:`erp.environment.Environment`, as it is set."""
    from erp.environment import BASE_DIR, Environment

    value = Environment.model_fields[variable.lower()].default
    if isinstance(value, list):
        return ",".join(value)
    if isinstance(value, Path):
        return str(value.relative_to(BASE_DIR))
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def variables() -> str:
    """Return the table of the environment variables, described as in ``.env.example``."""
    from erp.environment import Environment

    described = described_variables()
    names = [name.upper() for name in Environment.model_fields]
    return table(
        ["variable", "default", "meaning"],
        (
            [
                f"`{name}`",
                f"`{default}`" if (default := default_of(name)) else "",
                described[name][1],
            ]
            for name in names
        ),
    )


def compose_variables() -> str:
    """Return the table of the variables that only docker compose reads."""
    from erp.environment import Environment

    own = {name.upper() for name in Environment.model_fields}
    return table(
        ["variable", "default", "meaning"],
        (
            [f"`{name}`", f"`{default}`" if default else "", meaning]
            for name, (default, meaning) in described_variables().items()
            if name not in own
        ),
    )


def engine_settings() -> str:
    """Return the table of ``settings.JOBS``."""
    from jobs.conf import JobsSettings

    source = (ROOT / "jobs" / "conf.py").read_text()
    meanings = dict(re.findall(r"#: (.+)\n    ([A-Z_]+):", source))
    meanings = {name: text for text, name in meanings.items()}
    set_by = dict(
        re.findall(
            r'"([A-Z_]+)":[^,]*?ENVIRONMENT\.(jobs_\w+)', (ROOT / "erp" / "settings.py").read_text()
        )
    )

    def shown(value: Any) -> str:
        return duration(value) if isinstance(value, timedelta) else str(value)

    return table(
        ["name", "default", "set by", "meaning"],
        (
            [
                f"`{item.name}`",
                "" if item.name == "ENCRYPTION_KEYS" else shown(item.default),
                f"`{set_by[item.name].upper()}`" if item.name in set_by else "–",
                meanings[item.name],
            ]
            for item in fields(JobsSettings)
        ),
    )


# --- commands and API ----------------------------------------------------------------------------


def commands() -> dict[str, Any]:
    """Return the parser of each ``manage.py`` command of the project, by its name."""
    from django.apps import apps
    from django.core.management import get_commands, load_command_class

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


def operations() -> str:
    """Return the table of the API's operations."""
    from jobs.api.urls import api

    def rows() -> Iterable[list[str]]:
        for path, methods in api.get_openapi_schema()["paths"].items():
            for method, operation in methods.items():
                who = [name.lower() for rule in operation.get("security", ()) for name in rule]
                asked = [
                    f"`{item['name']}`"
                    for item in operation.get("parameters", ())
                    if item["in"] == "query"
                ]
                yield [
                    f"`{method.upper()} {path}`",
                    operation["summary"],
                    who[0] if who else "anybody",
                    ", ".join(asked),
                ]

    return table(["operation", "what it does", "who", "query"], rows())


TABLES: dict[str, Callable[[], str]] = {
    "queues": queues,
    "schedules": schedules,
    "states": states,
    "tasks": tasks,
    "variables": variables,
    "compose-variables": compose_variables,
    "engine-settings": engine_settings,
    "commands": command_tables,
    "make": make_targets,
    "operations": operations,
}


def main() -> None:
    """Make every table anew, and say which pages changed."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "erp.settings")
    django.setup()
    for page in pages():
        text = page.read_text()
        fresh = rewritten(text)
        if fresh != text:
            page.write_text(fresh)
            print(f"rewrote {page.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
