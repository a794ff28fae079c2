"""Workflows on the operators' pages, in the API and in the terminal."""

import json
from io import StringIO
from typing import Any

import pytest
from celery import chain, group
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from jobs.models import Job, Workflow
from jobs.states import State
from jobs.tasks import probe
from jobs.testing import run_jobs
from tests.jobs.records import make_operator, make_viewer

pytestmark = pytest.mark.django_db


@pytest.fixture
def workflow() -> Workflow:
    """A workflow with a dead part: what follows waits for its replay."""
    chain(
        probe.signature(kwargs={"label": "first"}, options={"tenant": "acme"}, immutable=True),
        group(probe.si(label="fine"), probe.si(label="broken", fail_permanently=True)),
        probe.si(label="last"),
    )()
    run_jobs()
    return Workflow.objects.get()


def page_of(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200
    return response.content.decode()


def test_the_page_shows_stages_states_and_what_is_to_come(
    client: Client, workflow: Workflow
) -> None:
    client.force_login(make_operator())
    page = page_of(client, reverse("queues:workflow", args=[workflow.id]))
    for text in (
        workflow.name,
        "2 of 4",
        "1 dead",
        "asked to fail permanently",
        "waits for the dead part to be replayed",
        'id="cancel"',
    ):
        assert text in page
    dead = Job.objects.get(state=State.DEAD)
    assert reverse("queues:job", args=[dead.id]) in page
    assert reverse("queues:workflow", args=[workflow.id]) in page_of(
        client, reverse("queues:job", args=[dead.id])
    )
    assert "ops-stages" in page_of(client, reverse("queues:workflow", args=[dead.id]) + "?live=1")


def test_the_list_shows_progress_and_can_be_cut_down(client: Client, workflow: Workflow) -> None:
    client.force_login(make_viewer())
    address = reverse("queues:workflows")
    assert "2 of 4" in page_of(client, address)
    assert workflow.name in page_of(client, address + "?state=failed&tenant=acme")
    assert workflow.name not in page_of(client, address + "?state=running")
    assert workflow.name in page_of(client, address + "?state=nonsense&before=nonsense")


def test_operators_cancel_a_workflow_and_viewers_do_not(client: Client, workflow: Workflow) -> None:
    address = reverse("queues:workflow-cancel", args=[workflow.id])
    client.force_login(make_viewer())
    assert "formaction" not in page_of(client, reverse("queues:workflow", args=[workflow.id]))
    assert client.post(address).status_code == 403
    client.force_login(make_operator())
    assert "is cancelled" in client.post(address, follow=True).content.decode()
    assert "cancelled already" in client.post(address, follow=True).content.decode()
    workflow.refresh_from_db()
    assert workflow.cancelled_at is not None


def test_what_is_no_workflow_is_not_found(client: Client) -> None:
    client.force_login(make_viewer())
    assert client.get(reverse("queues:workflow", args=["nonsense"])).status_code == 404
    assert client.get("/api/workflows/nonsense").status_code == 404


def test_the_api_lists_shows_and_cancels(client: Client, workflow: Workflow) -> None:
    client.force_login(make_operator())
    (row,) = client.get("/api/workflows", {"state": "failed", "tenant": "acme"}).json()["items"]
    assert (row["id"], row["state"], row["done"], row["total"]) == (
        str(workflow.id),
        "failed",
        2,
        4,
    )
    shown = client.get(f"/api/workflows/{workflow.id}").json()
    assert [stage["dead"] for stage in shown["stages"]] == [0, 1]
    assert shown["stages"][1]["jobs"][0]["error_type"] == "PermanentError"
    assert shown["to_come"] == {"jobs.probe": 1}
    assert "secrets" not in str(shown)
    job = Job.objects.get(state=State.DEAD)
    detail = client.get(f"/api/jobs/{job.queue}/{job.id}").json()
    assert detail["workflow"] == str(workflow.id)
    cancelled = client.post(f"/api/workflows/{workflow.id}/cancel", content_type="application/json")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    again = client.post(f"/api/workflows/{workflow.id}/cancel", content_type="application/json")
    assert again.status_code == 409
    assert client.get("/api/workflows", {"state": "odd"}).status_code == 422


def command(*arguments: str) -> str:
    out = StringIO()
    call_command("jobs", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_shows_and_cancels(
    workflow: Workflow, capsys: pytest.CaptureFixture[str]
) -> None:
    said = command("workflow", str(workflow.id))
    assert f"{workflow.id} failed: 2 of 4 done, 1 dead" in said
    assert "to come: jobs.probe" in capsys.readouterr().out
    shown: dict[str, Any] = json.loads(command("workflow", str(workflow.id), "--json"))
    assert (shown["state"], len(shown["stages"])) == ("failed", 2)
    (listed,) = json.loads(command("workflows", "--state", "failed", "--json"))
    assert listed["name"] == workflow.name
    assert "cancelled: 2 of 4 done" in command("workflow", str(workflow.id), "--cancel")
    with pytest.raises(CommandError, match="There is no workflow"):
        command("workflow", "nonsense")
