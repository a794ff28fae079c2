"""The audit log is checked against the jobs and the archives, and every kind of misfit is found."""

import gzip
import hashlib
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from pytest_django import Settings

from jobs import operations
from jobs.maintenance import archive
from jobs.models import AuditArchive, AuditEntry, DeadLetter, Job
from jobs.selectors.audit_check import Finding, check_audit
from jobs.selectors.job_histories import History
from jobs.states import State
from jobs.tasks import probe
from jobs.testing import run_jobs
from tests.jobs.records import ago, make_attempt, make_job
from tests.jobs.stages import put_into

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def storage(settings: Settings, tmp_path: Path) -> Path:
    """The folder of the archives, of this test alone."""
    settings.MEDIA_ROOT = tmp_path
    return tmp_path


def without_triggers(sql: str, *values: Any) -> None:
    """Do to the audit log what only a superuser of the database can."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(sql, values)
        cursor.execute("SET LOCAL session_replication_role = origin")


def problems() -> list[str]:
    return [finding.problem for finding in check_audit().findings]


# --- jobs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", State)
def test_a_job_in_any_state_fits_what_the_engine_recorded(state: State) -> None:
    put_into(state)
    report = check_audit()
    assert (report.jobs, report.findings, report.archives) == (1, [], 0)
    assert report.entries == AuditEntry.objects.count()


def test_retries_replays_decisions_and_cancellations_fit() -> None:
    probe.enqueue(label="x", fail_times=2)
    dead = [probe.enqueue(label="x", fail_permanently=True) for _ in range(2)]
    later = probe.using(delay=timedelta(hours=1)).enqueue(label="x")
    run_jobs(retries=True)
    operations.replay(dead[0].id, actor="user:ann", payload={"fail_permanently": False})
    operations.discard(dead[1].id, actor="user:ann")
    operations.cancel(probe.enqueue(label="x").id, actor="user:ann")
    run_jobs()
    assert Job.objects.get(id=later.id).state == "succeeded"
    assert check_audit().findings == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("state = 'cancelled'", "it is cancelled, but its moves lead to succeeded"),
        ("attempt = 2", "it was claimed 1 times, but has begun 2 attempts"),
    ],
)
def test_a_row_that_was_changed_without_an_entry_is_found(change: str, problem: str) -> None:
    job = put_into(State.SUCCEEDED)
    without_triggers(f"UPDATE jobs_job SET {change}")
    assert check_audit().findings == [Finding(kind="job", subject=str(job.id), problem=problem)]


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("job.enqueued", ["claimed when it was not there"]),
        ("job.claimed", ["succeeded when it was", "claimed 0 times", "0 attempts ended, but 1"]),
        ("job.succeeded", ["it is succeeded, but its moves lead to running", "0 attempts ended"]),
    ],
)
def test_an_entry_that_is_missing_is_found(action: str, expected: list[str]) -> None:
    put_into(State.SUCCEEDED)
    without_triggers("DELETE FROM jobs_auditentry WHERE action = %s", action)
    found = problems()
    assert len(found) == len(expected)
    assert all(text in problem for text, problem in zip(expected, found, strict=True))


def test_a_job_that_ended_twice_is_found() -> None:
    job = put_into(State.SUCCEEDED)
    for action in ("job.claimed", "job.succeeded"):
        AuditEntry.objects.create(
            actor="zombie", action=action, subject_type="job", subject_id=str(job.id)
        )
    assert problems() == [
        "claimed when it was succeeded",
        "it was claimed 2 times, but has begun 1 attempts",
        "2 attempts ended, but 1 are kept",
        "it has 2 final moves and is succeeded",
    ]


def test_a_job_without_any_entry_and_one_dead_without_a_letter_are_found() -> None:
    make_attempt(make_job(State.SUCCEEDED), "succeeded")
    put_into(State.DEAD)
    DeadLetter.objects.all().delete()
    assert "it is succeeded, but its moves lead to not there" in problems()
    assert "it is dead without a dead letter" in problems()


def test_a_job_that_vanished_before_its_end_is_found_and_one_that_was_pruned_is_not() -> None:
    for state in (State.SUCCEEDED, State.CANCELLED, State.DEAD):
        Job.objects.filter(id=put_into(state).id).delete()
    assert problems() == []
    lost = put_into(State.RUNNING)
    Job.objects.filter(id=lost.id).delete()
    assert check_audit().findings == [
        Finding(
            kind="job",
            subject=str(lost.id),
            problem="it has no row, and its last move is job.claimed",
        )
    ]


def test_a_dead_job_that_was_replayed_and_pruned_with_its_old_entries_archived_has_not_vanished() -> (
    None
):
    AuditEntry.objects.create(
        actor="user:ann", action="letter.replayed", subject_type="job", subject_id=str(uuid.uuid4())
    )
    assert problems() == []


def history(*moves: str, state: State, attempt: int = 0, attempts: int = 0) -> History:
    return History(
        id="x", state=state, attempt=attempt, attempts=attempts, has_letter=state == State.DEAD,
        entries=tuple(enumerate(f"job.{move}" for move in moves)),
    )  # fmt: skip


def test_a_step_of_a_workflow_that_is_dead_at_birth_fits() -> None:
    assert history("enqueued", state=State.DEAD).problems() == []
    assert history("enqueued", "discarded", state=State.DEAD).problems() == []


def test_acts_that_are_no_moves_are_passed_over() -> None:
    moves = ("enqueued", "claimed", "cancel_requested", "cancelled")
    assert history(*moves, state=State.CANCELLED, attempt=1, attempts=1).problems() == []


# --- archives ------------------------------------------------------------------------------------


@pytest.fixture
def archived() -> AuditArchive:
    """An archive of nine entries; their ids follow each other."""
    AuditEntry.objects.bulk_create(
        AuditEntry(actor="a", action="b", subject_type="c", subject_id=str(n), at=ago(days=100))
        for n in range(9)
    )
    archive.archive()
    return AuditArchive.objects.get()


def rewritten(row: AuditArchive, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Change the lines of the file, and make size and hash of its row fit."""
    with default_storage.open(row.name) as file:
        lines = change(gzip.decompress(file.read()).splitlines(keepends=True))
    content = gzip.compress(b"".join(lines))
    default_storage.delete(row.name)
    default_storage.save(row.name, ContentFile(content))
    digest = hashlib.sha256(content).hexdigest()
    without_triggers("UPDATE jobs_auditarchive SET size = %s, sha256 = %s", len(content), digest)


def test_a_whole_archive_fits(archived: AuditArchive) -> None:
    report = check_audit()
    assert (report.archives, report.archived_entries, report.findings) == (1, 9, [])


def test_a_missing_file_is_found(archived: AuditArchive) -> None:
    default_storage.delete(archived.name)
    assert check_audit().findings == [
        Finding(kind="archive", subject=archived.name, problem="its file is missing")
    ]


def test_a_flipped_bit_and_a_cut_are_found(archived: AuditArchive, storage: Path) -> None:
    path = storage / archived.name
    whole = path.read_bytes()
    path.write_bytes(whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])
    assert problems()[0] == "its SHA-256 is another"
    path.write_bytes(whole[:-30])
    found = problems()
    assert found[0] == f"it has {archived.size - 30} bytes, not {archived.size}"
    assert found[-1].startswith("it cannot be read: ")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda lines: lines[:-1], ["the number of entries is 8", "the last id is"]),
        (lambda lines: lines[1:], ["the number of entries is 8", "the first id is"]),
        (lambda lines: lines[:4] + lines[5:], ["the number of entries is 8, not 9"]),
        (
            lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]],
            ["its entries are not in the order of their ids"],
        ),
        (lambda lines: [b"[]\n"], ["it cannot be read"]),
        (lambda _: [], ["the number of entries is 0"]),
    ],
)
def test_a_file_that_was_written_anew_with_a_fitting_hash_is_found(
    archived: AuditArchive,
    change: Callable[[list[bytes]], list[bytes]],
    expected: list[str],
) -> None:
    rewritten(archived, change)
    found = problems()
    assert all(any(text in problem for problem in found) for text in expected)


def test_an_entry_that_stands_in_the_table_and_in_an_archive_is_found(
    archived: AuditArchive,
) -> None:
    AuditEntry.objects.create(
        id=archived.first_id + 3, actor="a", action="b", subject_type="c", subject_id="d"
    )
    assert problems() == [f"entry {archived.first_id + 3} is still in the table"]


def test_an_entry_that_stands_in_two_archives_is_found(archived: AuditArchive) -> None:
    with default_storage.open(archived.name) as file:
        name = default_storage.save("audit/copy.jsonl.gz", ContentFile(file.read()))
    fields = {
        field.attname: getattr(archived, field.attname)
        for field in AuditArchive._meta.fields
        if field.attname not in {"id", "name", "created_at"}
    }
    AuditArchive.objects.create(name=name, **fields)
    first, last = archived.first_id, archived.last_id
    assert problems() == [f"entries from {first} to {last} are in {archived.name} too"]


def test_files_that_no_row_names_are_told_and_are_no_fault(archived: AuditArchive) -> None:
    default_storage.save("audit/2020/what-is-this.txt", ContentFile(b"?"))
    report = check_audit()
    assert (report.findings, report.unknown_files) == ([], ["audit/2020/what-is-this.txt"])
