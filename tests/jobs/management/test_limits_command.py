"""``manage.py jobs limits`` and ``limit``, and what ``enqueue`` says of twins and expiry."""

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest

from jobs import gates, job_task
from jobs.definition import Unique
from jobs.models import AuditEntry, Job, LimitOverride
from jobs.states import State
from tests.jobs.management.test_jobs_command import fails, run
from tests.jobs.records import make_job

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def what_operators_set_is_read_anew() -> Iterator[None]:
    gates.overrides.forget()
    yield
    gates.overrides.forget()


def test_limits_are_listed_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    make_job(State.AVAILABLE, parked=True, gate="email/rate")
    run("limits", "--queue", "email")
    text = capsys.readouterr().out
    assert "100 in 60 s" in text
    assert "20 in 3600 s for each to" in text
    assert "notifications" not in text
    (row,) = json.loads(run("limits", "--queue", "notifications", "--json"))
    assert (row["name"], row["value"]) == ("notifications/rate/tenant", 200)


def test_a_limit_is_changed_taken_away_and_put_back() -> None:
    assert "email/rate: 7 in 60 s (operator)" in run("limit", "email/rate", "7")
    assert LimitOverride.objects.get().changed_by.startswith("shell:")
    assert "email/rate: no limit (operator)" in run("limit", "email/rate", "off")
    assert json.loads(run("limit", "email/rate", "default", "--json"))["value"] == 100
    actions = AuditEntry.objects.order_by("id").values_list("action", flat=True)
    assert list(actions) == ["limit.changed", "limit.changed", "limit.reset"]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["emial/rate", "7"], 2, "Did you mean 'email/rate'"),
        (["emial/rate", "default"], 2, "Did you mean 'email/rate'"),
        (["email/rate", "default"], 1, "Nobody changed the limit"),
        (["email/rate", "many"], 1, "expected a number from 0"),
        (["email/rate", "1000001"], 1, "expected a number from 0"),
    ],
)
def test_what_cannot_be_set_is_refused_with_a_reason(
    arguments: list[str], code: int, text: str
) -> None:
    found_code, found = fails("limit", *arguments)
    assert found_code == code
    assert text in found
    assert not LimitOverride.objects.exists()


def test_a_job_is_enqueued_with_its_priority_its_time_and_its_end() -> None:
    options = ["--priority", "low", "--delay", "60", "--expires", "3600"]
    told = json.loads(
        run("enqueue", "jobs.probe", "--payload", '{"label": "x"}', *options, "--json")
    )
    job = Job.objects.get(id=told["id"])
    assert (job.state, job.get_priority_display()) == ("scheduled", "low")
    assert job.expires_at == job.enqueued_at + timedelta(hours=1)
    assert told["is_twin"] is False


def test_who_enqueues_a_job_that_is_there_already_is_told_so() -> None:
    @job_task(name="tests.only", queue="reports", unique=Unique())
    def only() -> None:
        pass

    first = run("enqueue", "tests.only").split()[0]
    again = run("enqueue", "tests.only")
    assert again.startswith(first)
    assert "This job was there already." in again
    assert json.loads(run("enqueue", "tests.only", "--json"))["is_twin"] is True


def test_a_parked_job_is_shown_with_what_it_waits_for() -> None:
    job = make_job(State.AVAILABLE, parked=True, gate="email/rate", gates=["email/rate"])
    shown = run("show", str(job.id))
    assert "email/rate: 100 in 60 s" in shown
    assert json.loads(run("show", str(job.id), "--json"))["waits_at"] == "email/rate: 100 in 60 s"


def test_parked_jobs_are_part_of_a_queues_depth() -> None:
    make_job(State.AVAILABLE, parked=True, gate="email/rate")
    make_job(State.AVAILABLE)
    rows = {row["name"]: row for row in json.loads(run("queues", "--json"))}
    assert (rows["email"]["available"], rows["email"]["parked"]) == (2, 1)
