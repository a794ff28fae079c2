"""What the API answers."""

import uuid
from datetime import datetime

import pytest
from django.test import Client

from jobs.models import AuditEntry, DeadLetter, Job, QueueState
from jobs.states import State
from tests.jobs.records import (
    ago,
    make_attempt,
    make_dead_letter,
    make_job,
    make_operator,
    make_worker,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(make_operator())
    return client


def post(client: Client, path: str, body: object = None) -> tuple[int, dict[str, object]]:
    response = client.post(path, body or {}, content_type="application/json")
    return response.status_code, response.json()


def test_a_job_has_text_for_its_id_and_times_with_an_offset(operator: Client) -> None:
    job = make_job(tenant="acme")
    row = operator.get(f"/api/jobs/email/{job.id}").json()
    assert row["id"] == str(job.id)
    assert datetime.fromisoformat(row["enqueued_at"]).utcoffset() is not None
    assert row["enqueued_at"].endswith("+00:00")
    assert (row["state"], row["tenant"], row["finished_at"]) == ("queued", "acme", None)


def test_a_job_comes_with_its_attempts_and_its_history(operator: Client) -> None:
    job = make_job(State.SCHEDULED)
    make_attempt(job, error_type="ValueError", error="no", traceback="Traceback")
    post(operator, f"/api/jobs/email/{job.id}/cancel")
    row = operator.get(f"/api/jobs/email/{job.id}").json()
    assert row["attempts"][0]["error"] == "no"
    assert row["audit"][0]["action"] == "job.cancelled"
    assert "secrets" not in row


def test_jobs_are_listed_by_filter_and_page_by_page(operator: Client) -> None:
    jobs = [make_job(State.DEAD, tenant="acme") for _ in range(3)][::-1]
    make_job(State.QUEUED, tenant="acme")
    make_job(State.DEAD)
    make_job(State.DEAD, queue="pdf", tenant="acme")
    query: dict[str, str | int] = {"state": "dead", "tenant": "acme", "limit": 2}
    page = operator.get("/api/jobs/email", query).json()
    assert [row["id"] for row in page["items"]] == [str(job.id) for job in jobs[:2]]
    page = operator.get("/api/jobs/email", query | {"before": page["older"]}).json()
    assert [row["id"] for row in page["items"]] == [str(jobs[2].id)]
    assert page["older"] is None


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": 1000}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"state": "lost"}, "state"),
        ({"since": "2026-11-21T10:00:00"}, "since"),
        ({"before": "x"}, "before"),
    ],
)
def test_a_query_that_does_not_fit_is_answered_422_naming_the_field(
    operator: Client, query: dict[str, str | int], field: str
) -> None:
    response = operator.get("/api/jobs/email", query)
    assert response.status_code == 422
    assert any(name.startswith(field) for name in response.json()["problems"])


@pytest.mark.parametrize(
    "path", ["/api/jobs/emial", f"/api/jobs/emial/{uuid.uuid4()}", "/api/queues/stats?queue=emial"]
)
def test_an_unknown_queue_is_answered_404_with_a_suggestion(operator: Client, path: str) -> None:
    response = operator.get(path)
    assert response.status_code == 404
    assert response.json()["detail"] == "Unknown queue 'emial'. Did you mean 'email'?"


def test_a_job_that_does_not_exist_is_answered_404(operator: Client) -> None:
    for job_id in (uuid.uuid4(), "nonsense"):
        response = operator.get(f"/api/jobs/email/{job_id}")
        assert response.status_code == 404
        assert str(job_id) in response.json()["detail"]


def test_a_waiting_job_is_cancelled_once(operator: Client) -> None:
    path = f"/api/jobs/email/{make_job().id}/cancel"
    status, row = post(operator, path)
    assert (status, row["state"]) == (200, "cancelled")
    status, problem = post(operator, path)
    assert status == 409
    assert "cancelled already" in str(problem["detail"])


def test_retrying_makes_a_scheduled_job_due_and_replays_a_dead_one(operator: Client) -> None:
    later = make_job(State.SCHEDULED, scheduled_at=ago(hours=-1))
    status, row = post(operator, f"/api/jobs/email/{later.id}/retry")
    assert (status, row["id"], row["state"]) == (200, str(later.id), "available")
    dead = make_dead_letter().job
    status, row = post(operator, f"/api/jobs/email/{dead.id}/retry")
    assert (status, row["replay_of_id"]) == (200, str(dead.id))
    assert post(operator, f"/api/jobs/email/{dead.id}/retry")[0] == 409
    assert post(operator, f"/api/jobs/email/{make_job().id}/retry")[0] == 409


def test_removing_cancels_a_waiting_job_and_discards_a_dead_one(operator: Client) -> None:
    assert post(operator, f"/api/jobs/email/{make_job().id}/remove")[1]["state"] == "cancelled"
    letter = make_dead_letter()
    assert post(operator, f"/api/jobs/email/{letter.job_id}/remove")[0] == 200
    assert DeadLetter.objects.get().decision == "discarded"
    assert post(operator, f"/api/jobs/email/{make_job(State.RUNNING).id}/remove")[0] == 409
    assert Job.objects.count() == 3


def test_a_queue_is_paused_and_resumed(operator: Client) -> None:
    status, row = post(operator, "/api/queues/email/pause")
    assert (status, row["paused"], row["paused_by"]) == (200, True, "user:olaf")
    assert post(operator, "/api/queues/email/pause")[0] == 409
    assert post(operator, "/api/queues/email/resume")[1]["paused"] is False
    assert QueueState.objects.get().paused_at is None
    assert post(operator, "/api/queues/emial/pause")[0] == 404


def test_statistics_have_queues_tasks_and_failures(operator: Client) -> None:
    make_job(State.SUCCEEDED)
    make_attempt(make_job(State.SCHEDULED), error_type="ValueError")
    make_job(State.SUCCEEDED, queue="pdf")
    stats = operator.get("/api/queues/stats", {"queue": "email"}).json()
    assert [queue["name"] for queue in stats["queues"]] == ["email"]
    assert {row["state"]: row["count"] for row in stats["tasks"]} == {
        "succeeded": 1,
        "scheduled": 1,
    }
    assert stats["failures"][0]["error_type"] == "ValueError"


def test_a_dead_letter_is_listed_and_replayed(operator: Client) -> None:
    letter = make_dead_letter("mailbox full")
    (row,) = operator.get("/api/dead-letters").json()["items"]
    assert (row["job_id"], row["error"], row["reason"]) == (
        str(letter.job_id),
        "mailbox full",
        "exhausted",
    )
    status, job = post(operator, f"/api/dead-letters/{letter.job_id}/replay")
    assert (status, job["replay_of_id"]) == (201, str(letter.job_id))
    assert operator.get("/api/dead-letters").json()["items"] == []
    (row,) = operator.get("/api/dead-letters", {"decided": "true"}).json()["items"]
    assert (row["decision"], row["replayed_as_id"]) == ("replayed", job["id"])


def test_a_dead_letter_is_discarded_with_a_note(operator: Client) -> None:
    letter = make_dead_letter()
    path = f"/api/dead-letters/{letter.job_id}/discard"
    status, row = post(operator, path, {"note": "the customer left"})
    assert (status, row["decision"], row["decided_by"]) == (200, "discarded", "user:olaf")
    assert AuditEntry.objects.get(action="letter.discarded").detail == {"note": "the customer left"}
    assert post(operator, path)[0] == 409
    assert post(operator, f"/api/dead-letters/{make_job().id}/discard")[0] == 404


def test_a_task_is_enqueued(operator: Client) -> None:
    status, row = post(
        operator,
        "/api/tasks/jobs.probe/enqueue",
        {
            "payload": {"label": "x"},
            "queue": "pdf",
            "priority": "high",
            "tenant": "acme",
            "delay_seconds": 60,
        },
    )
    job = Job.objects.get()
    assert (status, row["id"], row["state"]) == (201, str(job.id), "scheduled")
    assert (job.queue, job.priority, job.tenant, job.enqueued_by) == ("pdf", 1, "acme", "user:olaf")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"payload": {"label": 5}}, "payload.label"),
        ({"payload": {"lable": "x"}}, "payload.lable"),
        ({"payload": {}}, "payload.label"),
        ({"payload": []}, "payload"),
        ({"payload": {"label": "x"}, "queue": "emial"}, "queue"),
        ({"payload": {"label": "x"}, "priority": "soon"}, "priority"),
        ({"payload": {"label": "x"}, "delay_seconds": -1}, "delay_seconds"),
        ({"payload": {"label": "x"}, "delay": 1}, "delay"),
        ({"payload": {"label": "x\u0000"}}, "payload.label"),
        ({"payload": {"label": "x"}, "tenant": "\u0000"}, "tenant"),
        ({"payload": {"label": "x"}, "tenant": "\ud800"}, "tenant"),
        ({"payload": {"label": "x"}, "tenant": "x" * 65}, "tenant"),
        ({"payload": {"label": "x"}, "delay_seconds": 367 * 86_400}, "delay_seconds"),
    ],
)
def test_a_body_that_does_not_fit_is_answered_422_naming_the_field_and_leaves_no_row(
    operator: Client, body: object, field: str
) -> None:
    status, problem = post(operator, "/api/tasks/jobs.probe/enqueue", body)
    assert status == 422
    assert field in problem["problems"]  # type: ignore[operator]
    assert not Job.objects.exists()


def test_a_body_or_a_query_that_is_too_large_is_answered_in_json_with_the_limit(
    operator: Client,
) -> None:
    status, problem = post(operator, "/api/dead-letters/replay", {"ids": ["x" * 36] * 100_000})
    assert (status, problem["detail"]) == (
        413,
        "A request may have a body of 2621440 bytes at most.",
    )
    ids = [str(uuid.uuid4())] * 1001
    status, problem = post(operator, "/api/dead-letters/replay", {"ids": ids})
    assert (status, problem["problems"]) == (422, {"ids": "expected 1000 items at most, not 1001"})
    response = operator.get("/api/jobs/email?" + "state=dead&" * 1001)
    assert (response.status_code, response.json()["detail"]) == (
        400,
        "A request may have 1000 parameters at most.",
    )


@pytest.mark.parametrize("name", ["task", "tenant", "q"])
def test_no_job_fits_text_that_postgresql_cannot_hold(operator: Client, name: str) -> None:
    make_job()
    response = operator.get("/api/jobs/email", {name: "a\0b"})
    assert (response.status_code, response.json()["items"]) == (200, [])


def test_an_unknown_task_is_answered_404_with_a_suggestion(operator: Client) -> None:
    status, problem = post(operator, "/api/tasks/jobs.prob/enqueue", {"payload": {}})
    assert (status, problem["detail"]) == (
        404,
        "Unknown task 'jobs.prob'. Did you mean 'jobs.probe'?",
    )


def test_tasks_are_listed_with_the_schema_of_their_arguments(operator: Client) -> None:
    rows = {row["name"]: row for row in operator.get("/api/tasks").json()}
    assert rows["jobs.probe"]["arguments"]["required"] == ["label"]


def test_workers_and_queues_are_told(operator: Client) -> None:
    worker = make_worker("email")
    job = make_job(State.RUNNING, worker=worker.id)
    (row,) = operator.get("/api/health/workers").json()
    assert (row["id"], row["alive"], row["running"][0]["id"]) == (str(worker.id), True, str(job.id))
    rows = {row["name"]: row for row in operator.get("/api/health/queues").json()}
    assert (rows["email"]["running"], rows["email"]["workers"]) == (1, 1)
