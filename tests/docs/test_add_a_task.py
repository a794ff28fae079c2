"""The code of docs/how-to/add-a-task.md, run as it stands there."""

import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from pytest_django import Settings

from inventory.models import Warehouse
from inventory.services import ensure_default_warehouse
from jobs.dry_run import try_out
from jobs.models import AuditEntry, Job
from jobs.task import registry
from tests.docs.page_code import HOW_TO, blocks, code_added, paths
from tests.tenants.builders import make_tenant

PAGE = HOW_TO / "add-a-task.md"
TASK = "inventory.close_warehouse"
SAMPLES = "imports.delete_samples"


@pytest.fixture
def added() -> Iterator[dict[str, Any]]:
    """Add the page's code to the modules it names; take it out again afterwards."""
    with code_added(PAGE, TASK, SAMPLES) as names:
        yield names


def test_the_page_has_a_service_a_task_a_helper_a_test_and_a_preview() -> None:
    assert paths(PAGE) == [
        "inventory/services.py",
        "inventory/tasks.py",
        "inventory/task_helpers.py",
        "tests/inventory/test_close_warehouse.py",
        "imports/tasks.py",
    ]


@pytest.mark.parametrize(
    "name",
    re.findall(r"^def (test_\w+)", "".join(blocks(PAGE, "python")), re.MULTILINE),
)
@pytest.mark.django_db
def test_the_tests_of_the_page_pass(name: str, added: dict[str, Any]) -> None:
    test: Callable[[], None] = added[name]
    test()


@pytest.mark.django_db
def test_the_command_of_the_page_runs_the_task(added: dict[str, Any]) -> None:
    warehouse = ensure_default_warehouse(make_tenant(slug="acme"))
    (command,) = re.findall(
        r"^\$ \S+python manage\.py (.*)$", "".join(blocks(PAGE, "console")), re.MULTILINE
    )
    call_command(*shlex.split(command))
    job = Job.objects.get(task=TASK)
    assert (job.state, job.tenant) == ("succeeded", "acme")
    assert not Warehouse.objects.get(pk=warehouse.pk).is_active
    assert AuditEntry.objects.filter(action="inventory.warehouse_closed").count() == 1


@pytest.mark.django_db
def test_the_preview_of_the_page_tells_what_its_task_does(
    added: dict[str, Any], settings: Settings, tmp_path: Path
) -> None:
    settings.MEDIA_ROOT = tmp_path
    (tmp_path / "samples").mkdir()
    for name in ("a", "b"):
        (tmp_path / "samples" / name).touch()
    itself, *told = try_out(added["delete_samples"], {})
    assert itself.detail["result"] == 2
    assert {one.detail["name"] for one in told} == {"samples/a", "samples/b"}
    assert added["delete_samples"]() == 2
    assert list((tmp_path / "samples").iterdir()) == []


def test_the_code_of_the_page_leaves_nothing_behind() -> None:
    assert TASK not in registry()
    assert not hasattr(sys.modules["inventory.services"], "close_warehouse")
