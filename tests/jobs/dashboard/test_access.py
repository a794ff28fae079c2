"""Who reaches which page, and who may act."""

import uuid

import pytest
from django.test import Client
from django.urls import reverse

from jobs.models import AuditEntry, QueueState
from jobs.states import State
from tests.jobs.records import make_dead_letter, make_job, make_operator, make_user, make_viewer

pytestmark = pytest.mark.django_db

PAGES = [
    "queues:index",
    "queues:jobs",
    "queues:schedules",
    "queues:workflows",
    "queues:dead-letters",
    "queues:replays",
]
OPERATORS_PAGES = ["queues:run", "queues:replay-new"]
ACTS = [
    reverse("queues:queue-verb", args=["email", "pause"]),
    reverse("queues:queue-verb", args=["email", "resume"]),
    *(
        reverse("queues:job-verb", args=[verb])
        for verb in ("cancel", "run-now", "replay", "discard")
    ),
    reverse("queues:replay-start"),
    reverse("queues:replay-stop", args=[7]),
    reverse("queues:schedule-run", args=[7]),
]


@pytest.mark.parametrize("page", PAGES + OPERATORS_PAGES)
def test_strangers_and_members_without_staff_rights_are_sent_to_the_login(
    client: Client, page: str
) -> None:
    for user in (None, make_user("mia", "jobs.view_job", "jobs.operate", is_staff=False)):
        if user:
            client.force_login(user)
        response = client.get(reverse(page))
        assert response.status_code == 302
        assert response["Location"].startswith(reverse("admin:login"))


@pytest.mark.parametrize("page", PAGES + OPERATORS_PAGES)
def test_staff_without_the_permission_are_refused(client: Client, page: str) -> None:
    client.force_login(make_user("sam"))
    assert client.get(reverse(page)).status_code == 403


def test_staff_without_the_permission_see_no_way_in(client: Client) -> None:
    client.force_login(make_user("sam"))
    assert reverse("queues:index") not in client.get(reverse("admin:index")).content.decode()


@pytest.mark.parametrize("page", PAGES)
def test_viewers_look_and_find_nothing_to_act_with(client: Client, page: str) -> None:
    make_job(State.SCHEDULED)
    make_dead_letter()
    client.force_login(make_viewer())
    response = client.get(reverse(page))
    assert response.status_code == 200
    assert "formaction" not in response.content.decode()


def test_viewers_may_not_open_the_pages_of_operators(client: Client) -> None:
    job = make_dead_letter().job
    client.force_login(make_viewer())
    assert client.get(reverse("queues:run")).status_code == 403
    assert client.get(reverse("queues:run-task", args=["jobs.probe"])).status_code == 403
    assert client.get(reverse("queues:edit", args=[job.id])).status_code == 403


@pytest.mark.parametrize("act", ACTS)
def test_only_operators_act(client: Client, act: str) -> None:
    job = make_job(State.SCHEDULED)
    client.force_login(make_viewer())
    assert client.post(act, {"only": str(job.id)}).status_code == 403
    client.logout()
    assert client.post(act, {"only": str(job.id)}).status_code == 302
    assert not QueueState.objects.exists()
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("act", ACTS)
def test_acts_are_posted(client: Client, act: str) -> None:
    client.force_login(make_operator())
    assert client.get(act).status_code == 405


@pytest.mark.parametrize("act", ACTS)
def test_acts_need_the_csrf_token(act: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_operator())
    assert client.post(act, {"only": str(uuid.uuid4())}).status_code == 403


def test_pages_cannot_be_framed_or_cached(client: Client) -> None:
    client.force_login(make_viewer())
    response = client.get(reverse("queues:index"))
    assert response["X-Frame-Options"] == "DENY"
    assert "no-store" in response["Cache-Control"]


def test_no_row_of_the_engine_can_be_added_changed_or_deleted_in_the_admin(
    admin_client: Client,
) -> None:
    job = make_job()
    for model in ("job", "attempt", "deadletter", "worker", "queuestate", "effect"):
        assert admin_client.get(f"/admin/jobs/{model}/").status_code == 404
    entry = AuditEntry.objects.create(
        actor="a", action="b", subject_type="job", subject_id=str(job.id)
    )
    base = "/admin/jobs/auditentry/"
    assert admin_client.get(f"{base}{entry.id}/change/").status_code == 200
    assert admin_client.get(f"{base}add/").status_code == 403
    assert admin_client.post(f"{base}{entry.id}/change/", {"actor": "x"}).status_code == 403
    assert admin_client.post(f"{base}{entry.id}/delete/", {"post": "yes"}).status_code == 403
