"""The pages of the documentation, and the tables on them."""

import re
from collections.abc import Callable
from pathlib import Path

from scripts.reference import commands, registries, settings
from scripts.reference.markdown import ROOT as ROOT

DOCS = ROOT / "docs"
_BLOCK = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- /generated -->)", re.DOTALL)

TABLES: dict[str, Callable[[], str]] = {
    "queues": registries.queues,
    "limits": registries.limits,
    "schedules": registries.schedules,
    "states": registries.states,
    "tasks": registries.tasks,
    "operations": registries.operations,
    "variables": settings.variables,
    "compose-variables": settings.compose_variables,
    "engine-settings": settings.engine_settings,
    "commands": commands.command_tables,
    "make": commands.make_targets,
}


def pages() -> list[Path]:
    """Return every page of the documentation."""
    return sorted([*DOCS.rglob("*.md"), ROOT / "README.md"])


def names_in(page: str) -> list[str]:
    """Return the names of the page's tables."""
    return [found[2] for found in _BLOCK.finditer(page)]


def rewritten(page: str) -> str:
    """Return the page with its tables made anew; raises ``KeyError`` for an unknown one."""
    return _BLOCK.sub(lambda found: f"{found[1]}\n{TABLES[found[2]]()}\n{found[3]}", page)
