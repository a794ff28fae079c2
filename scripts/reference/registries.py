"""The tables of what is declared once: queues, schedules, states, tasks, the API."""

import json
from collections.abc import Iterable
from typing import Any

from jobs.api.urls import api
from jobs.definition import Definition
from jobs.limits import Limit, described, name_of
from jobs.models import Priority
from jobs.queues import QUEUES
from jobs.schedules.declare import Per, declared
from jobs.states import FINAL, TRANSITIONS, WAITING, State
from jobs.task import registry
from scripts.reference.markdown import duration, table

#: Queues that run as many jobs at a time as the machine has cores.
ONE_PER_CORE = frozenset({"pdf"})


def operations() -> str:
    """Return the table of the API's operations."""

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


def queues() -> str:
    """Return the table of the queues."""
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


def limits() -> str:
    """Return the table of the declared limits."""
    owners: list[tuple[str, str, Iterable[Limit]]] = [
        ("queue", queue.name, queue.limits) for queue in QUEUES.values()
    ]
    owners += [("task", name, task.definition.limits) for name, task in sorted(registry().items())]
    return table(
        ["limit", "declared by a", "what it lets through"],
        (
            [f"`{name_of(owner, limit)}`", kind, described(limit, limit.limit)]
            for kind, owner, declared in owners
            for limit in declared
        ),
    )


def schedules() -> str:
    """Return the table of the schedules."""
    where = {Per.ZONE: "each zone in use", Per.SERVICE: "UTC", Per.QUEUE: "UTC, for each queue"}
    return table(
        ["schedule", "cron", "where", "task", "what it does"],
        (
            [
                f"`{item.name}`",
                f"`{item.cron}`",
                where[item.per],
                f"`{item.task}`",
                item.description,
            ]
            for item in declared().values()
        ),
    )


def states() -> str:
    """Return the table of the states of a job."""

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
    return "\n".join(_task(task.definition) for _, task in sorted(registry().items()))


def _task(definition: Definition) -> str:
    facts = [f"Queue `{definition.queue}`"]
    if definition.atomic:
        facts.append("atomic")
    if definition.preview:
        facts.append("has a preview")
    if definition.priority != Priority.NORMAL:
        facts.append(f"priority {definition.priority.label}")
    if definition.attempts:
        facts.append(f"{definition.attempts} attempts")
    facts += [
        f"limit `{name_of(definition.name, limit)}`: {described(limit, limit.limit)}"
        for limit in definition.limits
    ]
    if definition.unique:
        names = definition.unique.by
        by = " by all arguments" if names is None else " whatever its arguments"
        if names:
            by = " by " + ", ".join(f"`{name}`" for name in names)
        period = definition.unique.period
        facts.append(f"unique{by}" + (f" for {duration(period)}" if period else ""))
    if definition.expires:
        facts.append(f"expires after {duration(definition.expires)}")
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
    name = _FORMATS.get(str(item.get("format", "")), _TYPES.get(item["type"], "object"))
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
    value = item.get("default")
    return "none" if value is None else f"`{json.dumps(value)}`"
