"""Who calls the API, and whether they may."""

import uuid

import pytest
from django.test import Client
from django.urls import reverse

from jobs.models import ApiToken, Job
from jobs.states import State
from jobs.tokens import create_token
from tests.jobs.records import ago, make_job, make_operator, make_user, make_viewer

pytestmark = pytest.mark.django_db

READS = [
    "/api/health/queues",
    "/api/health/workers",
    "/api/health/redis",
    "/api/health/schedules",
    "/api/jobs/email",
    f"/api/jobs/email/{uuid.uuid4()}",
    "/api/queues/stats",
    "/api/dead-letters",
    "/api/replays",
    "/api/replays/7",
    "/api/schedules",
    "/api/schedules/7",
    "/api/tasks",
]
ACTS = [
    "/api/queues/email/pause",
    "/api/queues/email/resume",
    "/api/tasks/jobs.probe/enqueue",
    *(f"/api/jobs/email/{uuid.uuid4()}/{verb}" for verb in ("cancel", "retry", "remove")),
    *(f"/api/dead-letters/{uuid.uuid4()}/{verb}" for verb in ("replay", "discard")),
    "/api/dead-letters/replay",
    "/api/replays/7/stop",
    "/api/schedules/7/run",
]


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


@pytest.mark.parametrize("path", READS + ACTS)
def test_strangers_are_answered_401_with_a_reason(client: Client, path: str) -> None:
    ask = client.get if path in READS else client.post
    for headers in ({}, bearer("nonsense"), {"authorization": "Basic YTpi"}):
        response = ask(path, headers=headers)
        assert response.status_code == 401
        assert "token" in response.json()["detail"]
        assert response["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("path", READS + ACTS)
def test_members_without_staff_rights_and_staff_without_permission_are_answered_403(
    client: Client, path: str
) -> None:
    ask = client.get if path in READS else client.post
    for user in (
        make_user("mia", "jobs.view_job", "jobs.operate", is_staff=False),
        make_user("sam"),
    ):
        client.force_login(user)
        assert ask(path, data={}, content_type="application/json").status_code == 403


@pytest.mark.parametrize("path", ACTS)
def test_viewers_may_not_act(client: Client, path: str) -> None:
    client.force_login(make_viewer())
    assert client.post(path, {}, content_type="application/json").status_code == 403


@pytest.mark.parametrize("path", READS)
def test_viewers_may_look(client: Client, path: str) -> None:
    client.force_login(make_viewer())
    assert client.get(path).status_code in (200, 404)


def test_a_session_needs_the_csrf_token_to_act_and_a_bearer_token_does_not() -> None:
    client = Client(enforce_csrf_checks=True)
    operator = make_operator()
    client.force_login(operator)
    path = "/api/queues/email/pause"
    refused = client.post(path)
    assert refused.status_code == 403
    assert "CSRF" in refused.json()["detail"]
    client.get(reverse("queues:index"))
    csrf = client.cookies["csrftoken"].value
    assert client.post(path, headers={"x-csrftoken": csrf}).status_code == 200
    _, secret = create_token(name="ci", user=operator, actor="test")
    stranger = Client(enforce_csrf_checks=True)
    resumed = stranger.post("/api/queues/email/resume", headers=bearer(secret))
    assert resumed.status_code == 200


def test_a_wrong_token_is_refused_even_inside_a_session(client: Client) -> None:
    client.force_login(make_operator())
    assert client.get("/api/health/queues", headers=bearer("x")).status_code == 401


def test_what_a_token_does_is_done_by_its_user(client: Client) -> None:
    _, secret = create_token(name="ci", user=make_operator(), actor="test")
    client.post(
        "/api/tasks/jobs.probe/enqueue",
        {"payload": {"label": "x"}},
        content_type="application/json",
        headers=bearer(secret),
    )
    assert Job.objects.get().enqueued_by == "user:olaf"


def test_an_expired_token_and_the_token_of_somebody_inactive_are_refused(client: Client) -> None:
    viewer = make_viewer()
    _, expired = create_token(name="a", user=viewer, actor="t", expires_at=ago(seconds=1))
    _, valid = create_token(name="b", user=viewer, actor="t", expires_at=ago(hours=-1))
    assert client.get("/api/tasks", headers=bearer(expired)).status_code == 401
    assert client.get("/api/tasks", headers=bearer(valid)).status_code == 200
    viewer.is_active = False
    viewer.save()
    assert client.get("/api/tasks", headers=bearer(valid)).status_code == 401


def test_the_last_use_of_a_token_is_kept_without_a_write_at_each(client: Client) -> None:
    token, secret = create_token(name="a", user=make_viewer(), actor="t")
    client.get("/api/tasks", headers=bearer(secret))
    first = ApiToken.objects.get(id=token.id).last_used_at
    client.get("/api/tasks", headers=bearer(secret))
    assert first is not None
    assert ApiToken.objects.get(id=token.id).last_used_at == first


def test_a_job_of_another_queue_is_not_found(client: Client) -> None:
    job = make_job(State.QUEUED, queue="pdf")
    client.force_login(make_operator())
    assert client.get(f"/api/jobs/email/{job.id}").status_code == 404
    assert client.post(f"/api/jobs/email/{job.id}/cancel").status_code == 404


def test_the_documentation_is_for_staff_and_loads_nothing_from_elsewhere(client: Client) -> None:
    for path in ("/api/docs", "/api/openapi.json"):
        assert client.get(path).status_code == 302
    client.force_login(make_user("sam"))
    html = client.get("/api/docs").content.decode()
    assert "https://" not in html
    assert "/jobs/{queue}/{job_id}/cancel" in str(client.get("/api/openapi.json").json()["paths"])
