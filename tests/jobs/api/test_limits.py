"""Limits by the API, and what it says of jobs that wait for one, expire or are unique."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from django.test import Client

from jobs import gates, job_task
from jobs.definition import Unique
from jobs.models import AuditEntry, Job, LimitOverride
from jobs.states import State
from tests.jobs.records import make_job, make_operator, make_viewer

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def what_operators_set_is_read_anew() -> Iterator[None]:
    gates.overrides.forget()
    yield
    gates.overrides.forget()


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(make_operator())
    return client


def change(client: Client, name: str, body: object) -> tuple[int, dict[str, object]]:
    response = client.post(f"/api/limits/{name}", body, content_type="application/json")
    return response.status_code, response.json()


def test_limits_are_listed_with_what_passes_and_waits(operator: Client) -> None:
    make_job(State.AVAILABLE, parked=True, gate="email/rate/to=aa")
    rows = {row["name"]: row for row in operator.get("/api/limits").json()}
    row = rows["email/rate/to"]
    assert (row["kind"], row["by"], row["period"]) == ("rate", "to", 3600.0)
    assert (row["value"], row["declared"], row["source"], row["waiting"]) == (20, 20, "declared", 1)
    assert row["in_words"] == "20 in 3600 s for each to"
    names = [row["name"] for row in operator.get("/api/limits?queue=notifications").json()]
    assert names == ["notifications/rate/tenant"]
    assert operator.get("/api/limits?queue=emial").status_code == 404


def test_a_limit_is_changed_taken_away_and_put_back(operator: Client) -> None:
    status, row = change(operator, "email/rate/to", {"value": 5})
    assert (status, row["value"], row["source"], row["changed_by"]) == (
        200, 5, "operator", "user:olaf",
    )  # fmt: skip
    assert change(operator, "email/rate/to", {"value": None})[1]["value"] is None
    status, row = change(operator, "email/rate/to", {"value": "default"})
    assert (status, row["value"], row["source"]) == (200, 20, "declared")
    assert change(operator, "email/rate/to", {"value": "default"})[0] == 409
    assert list(AuditEntry.objects.order_by("id").values_list("actor", "action")) == [
        ("user:olaf", "limit.changed"),
        ("user:olaf", "limit.changed"),
        ("user:olaf", "limit.reset"),
    ]


@pytest.mark.parametrize(
    "body",
    [{}, {"value": -1}, {"value": 1.5}, {"value": "5"}, {"value": True}, {"value": 10**12}, []],
)
def test_what_is_no_value_is_answered_422_and_changes_nothing(
    operator: Client, body: object
) -> None:
    status, problem = change(operator, "email/rate", body)
    assert status == 422
    assert list(problem["problems"].values()) in (  # type: ignore[attr-defined]
        ['expected a number from 0 to 1000000, null for no limit, or "default"'],
        ["required, but not given"],
        ["expected a JSON object"],
    )
    assert not LimitOverride.objects.exists()


def test_an_unknown_limit_is_answered_404_with_a_suggestion(operator: Client) -> None:
    for body in ({"value": 1}, {"value": "default"}):
        status, problem = change(operator, "emial/rate", body)
        assert (status, problem["detail"]) == (
            404,
            "Unknown limit 'emial/rate'. Did you mean 'email/rate'?",
        )


def test_viewers_see_limits_and_only_operators_change_them(client: Client) -> None:
    assert client.get("/api/limits").status_code == 401
    client.force_login(make_viewer())
    assert client.get("/api/limits").status_code == 200
    assert change(client, "email/rate", {"value": 1})[0] == 403
    assert not LimitOverride.objects.exists()


def test_a_parked_job_says_what_it_waits_for(operator: Client) -> None:
    wanted = ["email/rate/to=aa", "email/rate"]
    job = make_job(State.AVAILABLE, parked=True, gate="email/rate/to=aa", gates=wanted)
    row = operator.get(f"/api/jobs/email/{job.id}").json()
    assert (row["parked"], row["waits_at"]) == (True, "email/rate/to: 20 in 3600 s for each to")
    assert row["gates"] == ["email/rate/to: 20 in 3600 s for each to", "email/rate: 100 in 60 s"]
    (row,) = operator.get("/api/jobs/email").json()["items"]
    assert row["waits_at"] == "email/rate/to: 20 in 3600 s for each to"
    other = make_job(State.AVAILABLE, gate="email/rate")  # let through, and back in line
    assert operator.get(f"/api/jobs/email/{other.id}").json()["waits_at"] == ""


def test_a_job_says_when_it_expires_and_whether_it_is_unique(operator: Client) -> None:
    status, row = operator_runs(operator, {"payload": {"label": "x"}, "expires_seconds": 60})
    job = Job.objects.get()
    assert (status, row["unique"], row["is_twin"]) == (201, False, False)
    assert job.expires_at == job.enqueued_at + timedelta(seconds=60)
    assert datetime.fromisoformat(str(row["expires_at"])) == job.expires_at
    for seconds in (0, -1):
        body = {"payload": {"label": "x"}, "expires_seconds": seconds}
        assert operator_runs(operator, body)[0] == 422


def operator_runs(
    client: Client, body: object, task: str = "jobs.probe"
) -> tuple[int, dict[str, object]]:
    response = client.post(f"/api/tasks/{task}/enqueue", body, content_type="application/json")
    return response.status_code, response.json()


def test_who_enqueues_a_job_that_is_there_already_is_told_so(operator: Client) -> None:
    @job_task(name="tests.only", queue="reports", unique=Unique())
    def only() -> None:
        pass

    status, first = operator_runs(operator, {}, "tests.only")
    assert (status, first["unique"], first["is_twin"]) == (201, True, False)
    status, again = operator_runs(operator, {}, "tests.only")
    assert (status, again["id"], again["is_twin"]) == (200, first["id"], True)
    assert Job.objects.count() == 1
