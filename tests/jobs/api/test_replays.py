"""Replays of many dead letters by the API."""

from typing import Any

import pytest
from django.test import Client

from jobs.models import AuditEntry, DeadLetter, Job, ReplayBatch
from jobs.testing import run_jobs
from tests.jobs.records import ago, make_dead_letter, make_operator

pytestmark = pytest.mark.django_db

START = "/api/dead-letters/replay"


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(make_operator())
    return client


def post(client: Client, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
    response = client.post(path, body or {}, content_type="application/json")
    return response.status_code, response.json()


def test_a_replay_is_begun_and_can_be_watched_to_its_end(operator: Client) -> None:
    for _ in range(3):
        make_dead_letter()
    make_dead_letter(queue="pdf")
    status, begun = post(operator, START, {"queue": "email"})
    assert (status, begun["state"], begun["total"], begun["replayed"]) == (202, "canary", 3, 0)
    assert begun["created_by"] == "user:olaf"
    assert begun["filters"]["queue"] == "email"
    assert Job.objects.get(id=begun["job_id"]).enqueued_by == "user:olaf"
    run_jobs(retries=True)
    shown = operator.get(f"/api/replays/{begun['id']}").json()
    assert (shown["state"], shown["replayed"], shown["refusals"]) == ("done", 3, {})
    assert shown["finished_at"].endswith("+00:00")
    assert [row["id"] for row in operator.get("/api/replays").json()] == [begun["id"]]
    assert DeadLetter.objects.get(decision="").queue == "pdf"


def test_letters_are_chosen_by_id_reason_and_time_and_need_no_canary(operator: Client) -> None:
    first, second, _ = (make_dead_letter(finished_at=ago(hours=n)) for n in (1, 2, 3))
    body = {
        "ids": [str(first.job_id), str(second.job_id)],
        "reason": "exhausted",
        "died_after": ago(minutes=90).isoformat(),
        "canary": False,
    }
    status, begun = post(operator, START, body)
    assert (status, begun["state"], begun["total"]) == (202, "running", 1)
    run_jobs()
    assert DeadLetter.objects.get(decision="replayed") == first


def test_a_replay_is_stopped_once(operator: Client) -> None:
    make_dead_letter()
    _, begun = post(operator, START, {"all": True})
    path = f"/api/replays/{begun['id']}/stop"
    status, stopped = post(operator, path)
    assert (status, stopped["state"], stopped["note"]) == (200, "stopped", "Stopped by user:olaf.")
    assert post(operator, path)[0] == 409
    run_jobs(retries=True)
    assert DeadLetter.objects.get().decision == ""
    assert AuditEntry.objects.get(action="replay.stopped").actor == "user:olaf"


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({}, 422, "or that you mean all of them"),
        ({"queue": "emial"}, 409, "No dead letter"),
        ({"queue": "\0"}, 409, "No dead letter"),
        ({"error_type": "\ud800"}, 422, "{'error_type': 'expected text that UTF-8 can hold'}"),
        ({"reason": "bored"}, 422, "reason"),
        ({"died_after": "2026-11-21T09:30:00"}, 422, "died_after"),
        ({"ids": ["nonsense"]}, 422, "ids"),
        ({"decided": True}, 422, "decided"),
    ],
)
def test_what_cannot_be_replayed_is_refused_with_a_reason(
    operator: Client, body: dict[str, Any], status: int, text: str
) -> None:
    make_dead_letter()
    found, problem = post(operator, START, body)
    assert found == status
    assert text in f"{problem['detail']} {problem['problems']}"
    assert not ReplayBatch.objects.exists()


def test_a_replay_that_does_not_exist_is_answered_404(operator: Client) -> None:
    for number in (7, 2**70, -1):
        assert operator.get(f"/api/replays/{number}").status_code == 404
        assert post(operator, f"/api/replays/{number}/stop")[0] == 404


def test_dead_letters_are_listed_by_reason_and_time(operator: Client) -> None:
    make_dead_letter(finished_at=ago(hours=3))
    letter = make_dead_letter(finished_at=ago(hours=1))
    for query in ({"died_after": ago(hours=2).isoformat()}, {"reason": "exhausted", "limit": "1"}):
        (row,) = operator.get("/api/dead-letters", query).json()["items"]
        assert row["job_id"] == str(letter.job_id)
    assert operator.get("/api/dead-letters", {"reason": "crashed"}).json()["items"] == []
