"""The code of docs/how-to/limit-and-prioritise.md, run as it stands there, and what it says of it."""

import re
import shlex
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db.models.functions import Now

from jobs import gates
from jobs.executor import take_turn
from jobs.models import Attempt, Job, Priority
from jobs.pace import pace
from jobs.selectors import get_limit
from jobs.testing import run_jobs
from tests.docs.page_code import HOW_TO, blocks, code_added
from tests.tenants.builders import make_tenant

pytestmark = pytest.mark.django_db

PAGE = HOW_TO / "limit-and-prioritise.md"
PUSH, REMIND = "inventory.push_stock", "compliance.remind_client"


@pytest.fixture
def added() -> Iterator[dict[str, Any]]:
    """Add the page's code to the modules it names; take it out again afterwards."""
    gates.overrides.forget()
    with code_added(PAGE, PUSH, REMIND) as names:
        yield names
    gates.overrides.forget()


def test_no_more_than_thirty_are_pushed_in_a_minute_and_the_rest_waits(
    added: dict[str, Any],
) -> None:
    levels = {f"sku-{number}": number for number in range(40)}
    added["queue_stock_pushes"](tenant=make_tenant(slug="acme"), levels=levels)
    ran = 0
    while turn := list(take_turn("inventory", worker=None)):
        ran += len(turn)
    assert ran == 30
    parked = Job.objects.filter(parked=True, attempt=0)
    assert parked.count() == 10
    assert parked.filter(gate=f"{PUSH}/rate").exists()
    assert set(Job.objects.values_list("priority", flat=True)) == {Priority.LOW}


def test_what_is_sold_out_goes_at_once_and_first(added: dict[str, Any]) -> None:
    tenant = make_tenant()
    later = added["queue_stock_push"](tenant=tenant, sku="a", quantity=3)
    now = added["queue_stock_push"](tenant=tenant, sku="b", quantity=0, sold_out=True)
    assert (later.state, now.state) == ("scheduled", "queued")
    assert (later.priority, now.priority) == (Priority.NORMAL, Priority.HIGH)
    assert later.expires_at == later.enqueued_at + timedelta(hours=1)


def test_many_short_ones_run_in_one_call_and_each_has_its_result(added: dict[str, Any]) -> None:
    pace._sizes["inventory"] = 10
    added["queue_stock_pushes"](tenant=make_tenant(), levels={"a": 1, "b": 2})
    list(take_turn("inventory", worker=None))
    assert [job.result for job in Job.objects.order_by("seat")] == ["a: 1", "b: 2"]
    assert Attempt.objects.filter(outcome="succeeded").count() == 2


def test_an_error_means_what_the_task_says(added: dict[str, Any]) -> None:
    added["push_stock"].enqueue(tenant="acme", sku="a", quantity=-1)
    (job,) = run_jobs()
    assert (job.state, job.error_type) == ("dead", "UnknownShop")


def test_an_operator_changes_the_rate_with_the_commands_of_the_page(added: dict[str, Any]) -> None:
    commands = re.findall(
        r"^\$ \S+python manage\.py (.*)$", "".join(blocks(PAGE, "console")), re.MULTILINE
    )
    values = []
    for command in commands:
        call_command(*shlex.split(command))
        values.append(get_limit(f"{PUSH}/rate").value)
    assert values == [30, 10, None, 30]


def test_a_client_is_reminded_once_a_day_however_often_it_is_asked_for(
    added: dict[str, Any],
) -> None:
    remind = added["remind_client"]
    first = remind.enqueue(tenant="acme", client_id=7, reason="passport")
    run_jobs()
    again = remind.enqueue(tenant="acme", client_id=7, reason="contract")
    assert (again.id, again.is_twin) == (first.id, True)
    assert not remind.enqueue(tenant="acme", client_id=8, reason="contract").is_twin
    Job.objects.filter(id=first.id).update(enqueued_at=Now() - timedelta(days=1, seconds=1))
    assert not remind.enqueue(tenant="acme", client_id=7, reason="contract").is_twin
