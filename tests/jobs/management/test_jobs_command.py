"""What ``manage.py jobs`` prints and how it exits, where it does more than the services it calls."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from pytest_django import Settings

from jobs.maintenance import archive
from jobs.models import AuditArchive, AuditEntry, DeadLetter, Job, ReplayBatch
from tests.jobs.records import ago, make_dead_letter, make_job

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    """Return what the command prints."""
    out = io.StringIO()
    call_command("jobs", *arguments, stdout=out)
    return out.getvalue()


def fails(*arguments: str) -> tuple[int, str]:
    """Return the exit code and what the command prints."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("jobs", *arguments, stdout=out, stderr=err)
    except SystemExit as ended:
        return int(str(ended.code)), out.getvalue() + err.getvalue()
    except CommandError as error:
        return error.returncode, str(error)
    raise AssertionError("it did not fail")


# --- retry ---------------------------------------------------------------------------------------


def test_a_dead_job_is_retried_with_other_arguments() -> None:
    letter = make_dead_letter(payload={"label": "x", "fail_times": 9})
    told = json.loads(run("retry", str(letter.job_id), "--payload", '{"fail_times": 0}', "--json"))
    new = Job.objects.get(id=told[0]["replayed_as"])
    assert (new.payload["label"], new.payload["fail_times"]) == ("x", 0)


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        ('{"fail_times": "9"}', "fail_times"),
        ('{"colour": "red"}', "colour"),
        ("{", "expected JSON"),
        ("[]", "expected a JSON object"),
    ],
)
def test_other_arguments_that_do_not_fit_are_refused(payload: str, problem: str) -> None:
    letter = make_dead_letter()
    code, text = fails("retry", str(letter.job_id), "--payload", payload)
    assert code in {1, 2}
    assert problem in text
    assert DeadLetter.objects.get().decision == ""


def test_other_arguments_are_for_one_dead_job() -> None:
    job = make_job()
    assert "not dead" in fails("retry", str(job.id), "--payload", "{}")[1]
    assert fails("retry", str(job.id), str(job.id), "--payload", "{}")[0] == 2


# --- replay --------------------------------------------------------------------------------------


def test_a_dry_run_tells_which_ones_and_does_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        make_dead_letter()
    make_dead_letter(queue="pdf")
    (group,) = json.loads(run("replay", "--queue", "email", "--dry-run", "--json"))
    assert (group["count"], group["task"], group["error_type"]) == (3, "jobs.probe", "ValueError")
    run("replay", "--queue", "email", "--dry-run")
    assert "3      jobs.probe  email" in capsys.readouterr().out
    assert not ReplayBatch.objects.exists()


def test_it_begins_and_says_what_it_has_begun() -> None:
    make_dead_letter()
    told = json.loads(run("replay", "--task", "jobs.probe", "--json"))
    assert (told["state"], told["total"], told["replayed"]) == ("canary", 1, 0)
    assert told["filters"]["task"] == "jobs.probe"
    assert told["created_by"].startswith("shell:")


def test_every_option_restricts() -> None:
    letter = make_dead_letter(queue="pdf", tenant="acme", finished_at=ago(hours=1))
    make_dead_letter(finished_at=ago(hours=3))
    for option, value in (
        ("--queue", "pdf"),
        ("--tenant", "acme"),
        ("--id", str(letter.job_id)),
        ("--died-after", ago(hours=2).isoformat()),
    ):
        (group,) = json.loads(run("replay", option, value, "--dry-run", "--json"))
        assert (group["queue"], group["count"]) == ("pdf", 1)
    for option, value in (("--reason", "crashed"), ("--error-type", "OSError")):
        assert json.loads(run("replay", option, value, "--dry-run", "--json")) == []
    groups = json.loads(
        run("replay", "--died-before", ago(hours=2).isoformat(), "--dry-run", "--json")
    )
    assert [group["queue"] for group in groups] == ["email"]


def test_it_waits_and_runs_what_no_worker_serves_itself() -> None:
    for _ in range(3):
        make_dead_letter()
    make_dead_letter(task="tests.removed")
    code, text = fails("replay", "--all", "--wait", "--timeout", "60")
    assert code == 1, "one was refused"
    assert "3 of 4 replayed, 1 refused" in text
    assert "1 × Unknown task 'tests.removed'" in text
    assert run("replay", "--all", "--dry-run", "--json") != "[]"


def test_a_first_one_that_dies_again_is_an_exit_code_of_1() -> None:
    for _ in range(2):
        make_dead_letter(payload={"label": "x", "fail_permanently": True})
    code, text = fails("replay", "--queue", "email", "--wait", "--json")
    assert code == 1
    assert (json.loads(text)["state"], json.loads(text)["replayed"]) == ("stopped", 1)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ([], 2, "or that you mean all of them"),
        (["--queue", "email"], 1, "No dead letter"),
        (["--died-after", "yesterday", "--all"], 1, "expected a time with its zone"),
        (["--died-after", "2026-11-21T09:30:00", "--all"], 1, "expected a time with its zone"),
    ],
)
def test_what_cannot_be_replayed_is_refused_with_a_reason(
    arguments: list[str], code: int, text: str
) -> None:
    found_code, found = fails("replay", *arguments)
    assert found_code == code
    assert text in found


# --- audit-verify --------------------------------------------------------------------------------


@pytest.fixture
def archived(settings: Settings, tmp_path: Path) -> AuditArchive:
    settings.MEDIA_ROOT = tmp_path
    AuditEntry.objects.create(
        actor="a", action="b", subject_type="c", subject_id="d", at=ago(days=100)
    )
    archive.archive()
    return AuditArchive.objects.get()


def test_an_audit_log_that_fits_is_said_to(archived: AuditArchive) -> None:
    assert "0 jobs, 1 entries, 1 archives with 1 more: no faults" in run("audit-verify")
    told: dict[str, Any] = json.loads(run("audit-verify", "--json"))
    assert (told["archives"], told["findings"]) == (1, [])


def test_what_does_not_fit_is_listed_and_an_exit_code_of_1(archived: AuditArchive) -> None:
    default_storage.delete(archived.name)
    code, text = fails("audit-verify")
    assert code == 1
    assert f"archive {archived.name}: its file is missing" in text
    code, text = fails("audit-verify", "--json")
    assert json.loads(text)["findings"] == [
        {"kind": "archive", "subject": archived.name, "problem": "its file is missing"}
    ]
