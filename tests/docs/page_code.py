"""Runs the Python of a page of the documentation as it stands there."""

import importlib
import re
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from celery import current_app

from jobs.task import registry

DOCS = Path(__file__).resolve().parents[2] / "docs"
HOW_TO = DOCS / "how-to"


def blocks(page: Path, language: str) -> list[str]:
    """Return the page's code in this language."""
    found: list[str] = re.findall(
        rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL
    )
    return found


def paths(page: Path) -> list[str]:
    """Return the files that the page's Python belongs to, by its first lines."""
    return [block.splitlines()[0].removeprefix("# ") for block in blocks(page, "python")]


@contextmanager
def code_added(page: Path, *tasks: str) -> Iterator[dict[str, Any]]:
    """Add the page's code to the modules it names, and take it and its tasks out afterwards.

    Yields all names that are in those modules then.
    """
    assert not registry().keys() & set(tasks), "the page adds a task that exists"
    kept: list[tuple[types.ModuleType, dict[str, Any]]] = []
    names: dict[str, Any] = {}
    try:
        for path, block in zip(paths(page), blocks(page, "python"), strict=True):
            module = _module_for(path)
            kept.append((module, dict(vars(module))))
            exec(compile(block, path, "exec"), vars(module))
            names |= vars(module)
        yield names
    finally:
        for module, before in reversed(kept):
            vars(module).clear()
            vars(module).update(before)
        for task in tasks:
            registry().pop(task, None)
            current_app.tasks.pop(task, None)


def _module_for(path: str) -> types.ModuleType:
    """Return the module that a block belongs to: a real one, or a new one for the page's tests."""
    name = path.removesuffix(".py").replace("/", ".")
    if name.startswith("tests."):
        return types.ModuleType(name)
    return importlib.import_module(name)
