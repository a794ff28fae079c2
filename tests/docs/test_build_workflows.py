"""The code of docs/how-to/build-workflows.md, run as it stands there, and what it says of it."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command

from jobs import operations, selectors
from jobs.models import Job
from jobs.testing import run_jobs
from tests.docs.page_code import HOW_TO, blocks, code_added
from tests.tenants.builders import make_tenant

pytestmark = pytest.mark.django_db

PAGE = HOW_TO / "build-workflows.md"
TASKS = ["inventory.count_units", "inventory.report_units", "inventory.note_failure"]


@pytest.fixture
def added() -> Iterator[dict[str, Any]]:
    """Add the page's code to the modules it names; take it out again afterwards."""
    with code_added(PAGE, *TASKS) as names:
        yield names


def test_what_follows_by_the_typed_way_runs_after_it(added: dict[str, Any]) -> None:
    job = added["queue_checked_stock"](tenant=make_tenant())
    run_jobs()
    assert Job.objects.get(task="jobs.probe").parent_id == job.id
    assert selectors.get_workflow(job.id).state == "succeeded"


def test_what_is_counted_side_by_side_is_reported_together(added: dict[str, Any]) -> None:
    tenant = make_tenant()
    workflow_id = added["queue_units_report"](tenant=tenant, warehouses=["a", "bbb"])
    run_jobs()
    report = Job.objects.get(task="inventory.report_units")
    assert (report.result, report.tenant) == ("4 units in 2 warehouses", tenant.slug)
    assert str(report.root_id) == workflow_id


def test_a_failure_is_told_and_its_replay_goes_on(added: dict[str, Any]) -> None:
    workflow_id = added["queue_count"](tenant=make_tenant(slug="acme"), warehouse="closed")
    run_jobs(retries=True)
    told = str(Job.objects.get(task="inventory.note_failure").result)
    assert told.endswith("ValueError: there is no such warehouse")
    assert selectors.get_workflow(workflow_id).state == "failed"
    dead = Job.objects.get(state="dead")
    operations.replay(dead.id, actor="user:ann", payload={"warehouse": "main"})
    run_jobs()
    assert selectors.get_workflow(workflow_id).state == "succeeded"


def test_the_commands_of_the_page_run(added: dict[str, Any]) -> None:
    workflow_id = added["queue_units_report"](tenant=make_tenant(), warehouses=["a"])
    text = "".join(blocks(PAGE, "console"))
    commands = re.findall(r"^\$ \S+python manage\.py (.*)$", text, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        call_command(*shlex.split(command.replace("ID", workflow_id)))
    assert selectors.get_workflow(workflow_id).state == "cancelled"
