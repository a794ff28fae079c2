"""The code of docs/how-to/add-a-task.md, run as it stands there."""

import importlib
import re
import shlex
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.core.management import call_command

from inventory.models import Warehouse
from inventory.services import ensure_default_warehouse
from jobs.models import AuditEntry, Job
from jobs.task import registry
from tests.tenants.builders import make_tenant

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "add-a-task.md"
TASK = "inventory.close_warehouse"


def blocks(language: str) -> list[str]:
    """Return the page's code in this language."""
    found: list[str] = re.findall(
        rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    return found


def module_for(path: str) -> types.ModuleType:
    """Return the module that a block belongs to: a real one, or a new one for the page's tests."""
    name = path.removesuffix(".py").replace("/", ".")
    if name.startswith("tests."):
        return types.ModuleType(name)
    return importlib.import_module(name)


@pytest.fixture
def added() -> Iterator[dict[str, Any]]:
    """Add the page's code to the modules it names; take it out again afterwards."""
    assert TASK not in registry(), "the page adds a task that exists"
    kept: list[tuple[types.ModuleType, dict[str, Any]]] = []
    names: dict[str, Any] = {}
    try:
        for block in blocks("python"):
            path = block.splitlines()[0].removeprefix("# ")
            module = module_for(path)
            kept.append((module, dict(vars(module))))
            exec(compile(block, path, "exec"), vars(module))
            names |= vars(module)
        yield names
    finally:
        for module, before in reversed(kept):
            vars(module).clear()
            vars(module).update(before)
        registry().pop(TASK, None)
        current_app.tasks.pop(TASK, None)


def test_the_page_has_a_service_a_task_a_helper_and_a_test() -> None:
    paths = [block.splitlines()[0].removeprefix("# ") for block in blocks("python")]
    assert paths == [
        "inventory/services.py",
        "inventory/tasks.py",
        "inventory/task_helpers.py",
        "tests/inventory/test_close_warehouse.py",
    ]


@pytest.mark.parametrize(
    "name",
    re.findall(r"^def (test_\w+)", "".join(blocks("python")), re.MULTILINE),
)
@pytest.mark.django_db
def test_the_tests_of_the_page_pass(name: str, added: dict[str, Any]) -> None:
    test: Callable[[], None] = added[name]
    test()


@pytest.mark.django_db
def test_the_command_of_the_page_runs_the_task(added: dict[str, Any]) -> None:
    warehouse = ensure_default_warehouse(make_tenant(slug="acme"))
    (command,) = re.findall(
        r"^\$ \S+python manage\.py (.*)$", "".join(blocks("console")), re.MULTILINE
    )
    call_command(*shlex.split(command))
    job = Job.objects.get(task=TASK)
    assert (job.state, job.tenant) == ("succeeded", "acme")
    assert not Warehouse.objects.get(pk=warehouse.pk).is_active
    assert AuditEntry.objects.filter(action="inventory.warehouse_closed").count() == 1


def test_the_code_of_the_page_leaves_nothing_behind() -> None:
    assert TASK not in registry()
    assert not hasattr(sys.modules["inventory.services"], "close_warehouse")
