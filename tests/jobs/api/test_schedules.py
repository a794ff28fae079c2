"""Schedules by the API: list, show, run, health."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django_celery_beat.models import PeriodicTask

from jobs.api.urls import api
from jobs.models import AuditEntry, Beat, Canary, Firing, Job, Schedule
from jobs.schedules.scheduler import tick
from jobs.states import State
from jobs.tokens import create_token
from tenants.models import Role, Tenant
from tests.compliance.builders import DAY, make_client, make_filing, make_tenant
from tests.jobs.records import ago, make_job, make_operator, make_viewer
from tests.jobs.schedules.schedules import at, declare_and_plan, make_schedule
from tests.jobs.test_dry_run import counted
from tests.tenants.builders import make_member

pytestmark = pytest.mark.django_db

REMIND = "compliance.email_filing_reminders [Europe/Athens]"


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(make_operator())
    return client


@pytest.fixture
def athens() -> Tenant:
    tenant = make_tenant(timezone="Europe/Athens")
    make_member(tenant, Role.OWNER, email="ann@acme.example")
    make_filing(make_client(tenant), DAY)
    declare_and_plan()
    return tenant


def path_of(name: str) -> str:
    return f"/api/schedules/{PeriodicTask.objects.get(name=name).pk}"


def post(client: Client, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
    response = client.post(path, body or {}, content_type="application/json")
    return response.status_code, response.json()


# --- look -----------------------------------------------------------------------------------------


def test_schedules_are_listed_by_name(operator: Client, athens: Tenant) -> None:
    rows = {row["name"]: row for row in operator.get("/api/schedules").json()}
    assert list(rows) == sorted(rows)
    row = rows[REMIND]
    assert (row["when"], row["zone"], row["state"]) == ("0 8 * * *", "Europe/Athens", "on")
    assert row["next"]["local"][11:19] == "08:00:00"
    assert (row["last"], row["changed"]) == (None, [])
    assert row["declared_name"] == "compliance.email_filing_reminders"


def test_a_schedule_is_shown_with_its_rules_its_next_instants_and_its_history(
    operator: Client,
) -> None:
    schedule = make_schedule(cron="0 9 * * 1-5", zone="Asia/Tokyo", jitter=timedelta(minutes=5))
    tick()
    for day in (2, 3):
        due = at(f"2026-03-0{day} 00:00")
        Firing.objects.create(
            schedule_id=schedule.pk, name="x", due_at=due, fired_at=due + timedelta(seconds=90),
            outcome="fired", reason="no beat ran at its time",
        )  # fmt: skip
    row = operator.get(f"/api/schedules/{schedule.pk}").json()
    assert (row["jitter_seconds"], row["missed"], row["days"]) == (300, "once", "all")
    assert len(row["next_instants"]) == 20
    assert row["next_instants"][0] == row["next"]
    assert {one["weekday"] for one in row["next_instants"]} == {"Mon", "Tue", "Wed", "Thu", "Fri"}
    assert row["next"]["local"].endswith("T09:00:00+09:00")
    assert [one["due_at"][:10] for one in row["firings"]] == ["2026-03-03", "2026-03-02"]
    assert row["firings"][0] == row["last"]
    assert (row["last"]["late_seconds"], row["last"]["outcome"]) == (90, "fired")


@pytest.mark.parametrize("id_", ["7", "-1", str(2**31), str(2**63), str(10**30)])
def test_a_schedule_that_does_not_exist_is_answered_404(operator: Client, id_: str) -> None:
    response = operator.get(f"/api/schedules/{id_}")
    assert (response.status_code, response.json()["detail"]) == (
        404,
        f"There is no schedule {id_}.",
    )
    assert post(operator, f"/api/schedules/{id_}/run")[0] == 404


@pytest.mark.parametrize("id_", ["nonsense", "1.5", "0x10", "%00", "1%20OR%201=1", "9" * 5000])
def test_what_is_no_id_is_answered_422_or_404(operator: Client, id_: str) -> None:
    assert operator.get(f"/api/schedules/{id_}").status_code in {404, 422}
    assert post(operator, f"/api/schedules/{id_}/run")[0] in {404, 422}


# --- run ------------------------------------------------------------------------------------------


def test_an_operator_runs_a_schedule_and_is_told_the_job(operator: Client, athens: Tenant) -> None:
    body = {"tenant": athens.slug, "date": "2026-03-01"}
    status, row = post(operator, f"{path_of(REMIND)}/run", body)
    job = Job.objects.get()
    assert (status, row["schedule"], row["day"]) == (201, REMIND, "2026-03-01")
    assert (row["job"]["id"], row["job"]["is_twin"]) == (str(job.id), False)
    assert (job.tenant, job.enqueued_by) == (athens.slug, "user:olaf")
    assert job.payload["as_of"] == "2026-03-01"
    assert Firing.objects.get().by_hand == "user:olaf"
    assert AuditEntry.objects.get(action="schedule.run").actor == "user:olaf"
    shown = operator.get(path_of(REMIND)).json()
    assert shown["last"]["by_hand"] == "user:olaf"


def test_it_is_run_without_a_body_and_in_the_name_of_a_token_s_user(
    client: Client, athens: Tenant
) -> None:
    _, secret = create_token(name="cron", user=make_operator(), actor="test")
    response = client.generic(
        "POST", f"{path_of(REMIND)}/run", headers={"authorization": f"Bearer {secret}"}
    )
    assert response.status_code == 201
    assert response.json()["arguments"]["zone"] == "Europe/Athens"
    assert Job.objects.get().enqueued_by == "user:olaf"


def test_a_dry_run_tells_who_would_get_what_and_leaves_nothing(
    operator: Client, athens: Tenant
) -> None:
    path = f"{path_of(REMIND)}/run"
    operator.get("/api/schedules")  # the session is written
    before = counted()
    status, row = post(operator, path, {"date": DAY.isoformat(), "dry_run": True})
    assert counted() == before
    assert (status, row["day"]) == (200, DAY.isoformat())
    email = row["told"][-1]
    assert (email["what"], email["tenant"], email["to"]) == (
        "notifications.email_filing_reminder", athens.slug, "ann@acme.example",
    )  # fmt: skip
    assert email["detail"]["day"] == DAY.isoformat()


def test_a_dry_run_of_the_pruner_says_how_much_of_what_would_go(
    operator: Client, athens: Tenant
) -> None:
    for _ in range(2):
        make_job(State.SUCCEEDED, finished_at=ago(days=40))
    day = ago(days=20).date()
    path = f"{path_of('jobs.prune')}/run"
    status, row = post(operator, path, {"date": str(day), "dry_run": True})
    assert (status, row["day"]) == (200, str(day))
    itself, told = row["told"]
    assert itself["detail"]["result"] == {"succeeded jobs": 2}
    assert told == {
        "what": "succeeded jobs", "tenant": "", "to": "", "count": 2,
        "detail": {"before": f"{day - timedelta(days=7)} 00:00:00 UTC"},
    }  # fmt: skip
    assert Job.objects.count() == 2


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_day_to_come_is_answered_422_where_the_task_has_no_use_for_it(
    operator: Client, athens: Tenant, dry_run: bool
) -> None:
    body = {"date": "2999-01-01", "dry_run": dry_run}
    for name in ("jobs.prune", "audit.archive", "sessions.clear", "database.analyze"):
        status, problem = post(operator, f"{path_of(name)}/run", body)
        assert (status, list(problem["problems"])) == (422, ["date"])
        assert "date: 2999-01-01 is still to come" in problem["problems"]["date"]
    assert not Job.objects.exists()


def test_a_viewer_may_not_run(client: Client, athens: Tenant) -> None:
    client.force_login(make_viewer())
    for body in ({}, {"dry_run": True}):
        assert post(client, f"{path_of(REMIND)}/run", body)[0] == 403
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"tenant": "nobody"}, "tenant"),
        ({"tenant": "nobody", "dry_run": True}, "tenant"),
        ({"tenant": ""}, "tenant"),
        ({"tenant": "\u0000"}, "tenant"),
        ({"tenant": "\ud800"}, "tenant"),
        ({"tenant": "'; DROP TABLE jobs_job; --"}, "tenant"),
        ({"tenant": "x" * 65}, "tenant"),
        ({"tenant": 7}, "tenant"),
        ({"date": "2026-02-30"}, "date"),
        ({"date": "20260301"}, "date"),
        ({"date": "2026-03-01T00:00:00"}, "date"),
        ({"date": "tomorrow"}, "date"),
        ({"date": 0}, "date"),
        ({"date": True}, "date"),
        ({"dry_run": "yes"}, "dry_run"),
        ({"dry_run": 1}, "dry_run"),
        ({"day": "2026-03-01"}, "day"),
        ([], "body"),
    ],
)
def test_a_body_that_does_not_fit_is_answered_422_naming_the_field(
    operator: Client, athens: Tenant, body: object, field: str
) -> None:
    path = f"{path_of(REMIND)}/run"
    response = operator.post(path, body, content_type="application/json")
    assert response.status_code == 422
    assert field in response.json()["problems"]
    assert not Job.objects.exists()


def test_what_is_not_possible_is_answered_409_with_the_reason(
    operator: Client, athens: Tenant
) -> None:
    johns = make_tenant(timezone="America/St_Johns")
    make_schedule(cron="0 9 * * *", name="mine")
    for name, body, reason in (
        ("mine", {"date": "2026-03-01"}, "not done for a day"),
        ("jobs.prune", {"tenant": athens.slug}, "cannot be run for one tenant"),
        ("mine", {"dry_run": True}, "only atomic tasks have a dry run"),
        (REMIND, {"tenant": johns.slug}, "America/St_Johns"),
        (REMIND, {"tenant": athens.slug, "date": "0001-01-01", "dry_run": True}, "would fail"),
    ):
        status, problem = post(operator, f"{path_of(name)}/run", body)
        assert (status, reason in problem["detail"]) == (409, True), problem
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"kwargs": "{"},
        {"kwargs": "[]"},
        {"kwargs": '{"label": 7}'},
        {"args": "[1]"},
        {"task": "jobs.prove"},
        {"queue": "emali"},
        {"priority": 9},
    ],
)
def test_a_schedule_whose_values_do_not_fit_is_answered_409(
    operator: Client, fields: dict[str, Any]
) -> None:
    schedule = make_schedule(cron="0 9 * * *")
    PeriodicTask.objects.filter(pk=schedule.pk).update(**fields)
    for body in ({}, {"dry_run": True}):
        status, problem = post(operator, f"/api/schedules/{schedule.pk}/run", body)
        assert (status, problem["problems"]) == (409, {})
    assert operator.get(f"/api/schedules/{schedule.pk}").status_code == 200
    assert operator.get("/api/schedules").status_code == 200


# --- health and schema ----------------------------------------------------------------------------


def test_health_says_whether_beats_look_and_what_they_do_not_see_to(client: Client) -> None:
    client.force_login(make_viewer())
    row = client.get("/api/health/schedules").json()
    assert (row["status"], row["beats"], row["tick_age_seconds"]) == ("unhealthy", 0, None)
    Beat.objects.create(host="h", pid=1, ticked_at=ago(seconds=3))
    schedule = make_schedule(cron="0 9 * * *", name="mine")
    Schedule.objects.update(problem="broken")
    Canary.objects.create(queue="email", enqueued_at=ago(seconds=9), ran_at=ago(seconds=5))
    row = client.get("/api/health/schedules").json()
    assert (row["status"], row["beats"], row["overdue"]) == ("healthy", 1, [])
    assert row["troubled"] == ["mine"]
    assert row["tick_age_seconds"] == pytest.approx(3, abs=2)
    canaries = {canary["queue"]: canary for canary in row["canaries"]}
    assert canaries["email"]["wait_seconds"] == pytest.approx(4, abs=0.5)
    assert (canaries["email"]["silent"], canaries["pdf"]["silent"]) == (False, True)
    assert canaries["pdf"]["age_seconds"] is None
    Schedule.objects.filter(pk=schedule.pk).update(wake_at=ago(minutes=2))
    row = client.get("/api/health/schedules").json()
    assert (row["status"], row["overdue"]) == ("unhealthy", ["mine"])


def test_the_description_for_machines_says_what_a_run_takes_and_answers() -> None:
    paths = api.get_openapi_schema()["paths"]
    run = paths["/api/schedules/{schedule_id}/run"]["post"]
    assert {200, 201, 404, 409, 422} <= set(run["responses"])
    schema = api.get_openapi_schema()["components"]["schemas"]["RunOrder"]
    assert set(schema["properties"]) == {"tenant", "date", "dry_run"}
    assert {"type": "string", "format": "date"} in schema["properties"]["date"]["anyOf"]
