"""Old audit entries go to files, each of them exactly once, whatever happens meanwhile."""

import gzip
import hashlib
import json
import random
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.db import IntegrityError, connection, transaction
from django.test import override_settings
from pytest_django import Settings

from jobs import audit, job_task
from jobs.dry_run import try_out
from jobs.errors import DayToCome, RetryLater
from jobs.maintenance import archive
from jobs.models import AuditArchive, AuditEntry, Job
from jobs.selectors.audit_check import check_audit
from jobs.states import FINAL, State
from jobs.tasks import archive_audit, probe
from jobs.testing import run_jobs
from tests.conftest import Live, query, wait_until
from tests.jobs.records import ago, make_job
from tests.jobs.stages import at_once


@pytest.fixture(autouse=True)
def storage(settings: Settings, tmp_path: Path) -> Path:
    """The folder of the archives, of this test alone."""
    settings.MEDIA_ROOT = tmp_path
    return tmp_path / "audit"


def old_entries(
    count: int, *, days: float = 100, subject_id: str = "7", **fields: Any
) -> list[int]:
    """Append entries that are so many days old; returns their ids."""
    values = {"actor": "user:ann", "action": "tests.looked", "subject_type": "test", **fields}
    rows = AuditEntry.objects.bulk_create(
        AuditEntry(**{"at": ago(days=days), "subject_id": subject_id} | values)
        for _ in range(count)
    )
    return [row.id for row in rows]


def lines(row: AuditArchive) -> list[dict[str, Any]]:
    """Return the entries of an archive, read as anybody would."""
    with default_storage.open(row.name) as file, gzip.open(file) as unpacked:
        return [json.loads(line) for line in unpacked]


def ids_left() -> set[int]:
    return set(AuditEntry.objects.exclude(action="audit.archived").values_list("id", flat=True))


# --- what goes where -----------------------------------------------------------------------------


@pytest.mark.django_db
def test_old_entries_go_to_a_file_with_every_field_and_young_ones_stay() -> None:
    detail = {
        "text": "Ζωή \u2028 'quoted' \\ \"twice\"\n",
        "number": 12345678901234567890,
        "none": None,
    }
    old = AuditEntry.objects.get(
        id=old_entries(1, tenant="acme", correlation_id="request-7", detail=detail)[0]
    )
    young = old_entries(1, days=89)
    assert archive.archive() == 1
    row = AuditArchive.objects.get()
    (told,) = lines(row)
    # PostgreSQL leaves out the last zeros of a fraction of a second, Python does not.
    assert datetime.fromisoformat(told.pop("at")) == old.at
    assert told == {
        "id": old.id, "actor": "user:ann", "action": "tests.looked",
        "subject_type": "test", "subject_id": "7", "tenant": "acme",
        "correlation_id": "request-7", "detail": detail,
    }  # fmt: skip
    assert ids_left() == set(young)


@pytest.mark.django_db
def test_numbers_keep_all_their_digits() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO jobs_auditentry (at, actor, action, subject_type, subject_id, tenant,"
            " correlation_id, detail) VALUES (now() - interval '1 year', '', 'x', 'y', 'z', '', '',"
            """ '{"exact": 0.10000000000000000000000000000000000001}')"""
        )
    archive.archive()
    with default_storage.open(AuditArchive.objects.get().name) as file:
        assert b"0.10000000000000000000000000000000000001" in gzip.decompress(file.read())


@pytest.mark.django_db
def test_the_row_says_what_the_file_is() -> None:
    first, *_, last = old_entries(5)
    archive.archive()
    row = AuditArchive.objects.get()
    with default_storage.open(row.name) as file:
        content = file.read()
    assert (row.first_id, row.last_id, row.entries) == (first, last, 5)
    assert (row.size, row.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert row.name.startswith(f"audit/{row.first_at:%Y}/entries-{first}-{last}-")
    told = AuditEntry.objects.get(action="audit.archived")
    assert (told.subject_type, told.subject_id) == ("audit_archive", str(row.id))
    assert told.detail == {
        "name": row.name, "entries": 5, "first_id": first, "last_id": last, "sha256": row.sha256,
    }  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize("state", State)
def test_entries_of_a_job_go_when_it_is_final_and_stay_while_it_is_not(state: State) -> None:
    job = make_job(state)
    kept = old_entries(2, subject_id=str(job.id), subject_type="job", action="job.enqueued")
    others = old_entries(1) + old_entries(1, subject_id=str(uuid.uuid4()), subject_type="job")
    others += old_entries(1, subject_id="no id at all", subject_type="job")
    archive.archive()
    assert ids_left() == (set() if state in FINAL else set(kept))
    assert {entry["id"] for row in AuditArchive.objects.all() for entry in lines(row)} == {
        *others,
        *(kept if state in FINAL else ()),
    }


@pytest.mark.django_db
def test_what_stayed_because_of_its_job_goes_later_into_a_file_of_its_own() -> None:
    job = make_job(State.RUNNING)
    before = old_entries(2)
    kept = old_entries(1, subject_id=str(job.id), subject_type="job", action="job.enqueued")
    after = old_entries(2)
    archive.archive()
    Job.objects.filter(id=job.id).update(state=State.SUCCEEDED, lease=None, finished_at=ago())
    archive.archive()
    first, second = AuditArchive.objects.order_by("id")
    assert [entry["id"] for entry in lines(first)] == before + after
    assert [entry["id"] for entry in lines(second)] == kept
    assert [finding for finding in check_audit().findings if finding.kind == "archive"] == []


@pytest.mark.django_db
def test_files_have_so_many_entries_at_most_and_follow_each_other() -> None:
    ids = old_entries(25)
    assert archive.archive(entries=10) == 25
    rows = list(AuditArchive.objects.order_by("id"))
    assert [row.entries for row in rows] == [10, 10, 5]
    assert [entry["id"] for row in rows for entry in lines(row)] == ids
    assert check_audit().findings == []


@pytest.mark.django_db
def test_a_run_that_has_lasted_long_enough_asks_to_be_continued(conf: Callable[..., None]) -> None:
    conf(AUDIT_KEEP=timedelta(days=30))
    old_entries(25, days=31)
    with pytest.raises(RetryLater):
        archive.archive(entries=10, budget=timedelta(0))
    assert len(ids_left()) == 15


@pytest.mark.django_db
def test_without_old_entries_there_is_no_file(storage: Path) -> None:
    old_entries(3, days=1)
    assert archive.archive() == 0
    assert not storage.exists()
    assert not AuditArchive.objects.exists()


@pytest.mark.django_db
def test_the_task_archives_and_its_own_entries_stay() -> None:
    old_entries(3)
    job = archive_audit.enqueue()
    run_jobs()
    assert Job.objects.get(id=job.id).result == 3
    assert AuditEntry.objects.filter(subject_id=str(job.id)).count() == 3


@pytest.mark.django_db
def test_the_history_of_a_dead_job_can_be_read_from_table_and_archive_together() -> None:
    job = probe.enqueue(label="x", fail_permanently=True)
    run_jobs()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "UPDATE jobs_auditentry SET at = at - interval '1 year' WHERE action <> 'job.died'"
        )
        cursor.execute("SET LOCAL session_replication_role = origin")
    assert archive.archive() == 2
    assert check_audit().findings == []
    name = AuditArchive.objects.get().name
    default_storage.delete(name)
    assert {finding.subject for finding in check_audit().findings} == {name, str(job.id)}


# --- for a past day, and what would go -----------------------------------------------------------


@pytest.mark.django_db
def test_for_a_past_day_goes_what_was_old_when_it_began() -> None:
    day = ago(days=20).date()
    began = datetime.combine(day, time.min, UTC)
    old, young = (
        old_entries(2, days=0, at=began - timedelta(days=90, seconds=offset)) for offset in (1, -1)
    )
    assert archive.preview(as_of=day) == archive.archive(as_of=day) == 2
    assert ids_left() == set(young)
    assert archive.archive(as_of=day) == 0
    assert archive.preview() == archive.archive() == 2, "by now the others are old, too"
    assert {entry["id"] for row in AuditArchive.objects.all() for entry in lines(row)} == {
        *old,
        *young,
    }


@pytest.mark.django_db
def test_entries_of_a_job_that_was_unfinished_on_the_past_day_stay() -> None:
    job = make_job(State.SUCCEEDED, finished_at=ago(days=5))
    old_entries(2, days=200, subject_id=str(job.id), subject_type="job", action="job.enqueued")
    past = ago(days=10).date()
    assert archive.preview(as_of=past) == archive.archive(as_of=past) == 0
    assert archive.preview() == archive.archive() == 2


@pytest.mark.django_db
@pytest.mark.parametrize("act", [archive.archive, archive.preview])
def test_none_and_today_are_now_and_a_day_to_come_is_refused(act: Callable[..., int]) -> None:
    old_entries(1, days=90.001)
    old_entries(1, days=89.999)
    with pytest.raises(DayToCome, match="still to come"):
        act(as_of=ago(days=-2).date())
    with transaction.atomic():
        assert act() == 1
        transaction.set_rollback(True)
    assert act(as_of=ago().date()) == 1


@pytest.mark.django_db
def test_a_dry_run_tells_of_each_file_and_writes_none(storage: Path) -> None:
    ids = old_entries(1, days=1, at=datetime(2024, 12, 31, 23, 59, tzinfo=UTC))
    ids += old_entries(1, days=1, at=datetime(2025, 1, 1, tzinfo=UTC))
    job = make_job(State.RUNNING)
    old_entries(1, subject_id=str(job.id), subject_type="job")
    ids += old_entries(1)
    itself, told = try_out(archive_audit, {})
    assert itself.detail == {"as_of": None, "result": 3}
    assert told.detail.pop("before").endswith(" UTC")
    assert (told.what, told.detail) == (
        "audit archive",
        {"entries": 3, "first_id": ids[0], "last_id": ids[-1], "of": f"2024 to {ago(days=100):%Y}"},
    )
    assert not storage.exists()
    assert len(ids_left()) == 4


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(5))
def test_the_files_that_are_told_are_those_that_are_written(seed: int) -> None:
    chance = random.Random(seed)
    jobs = [make_job(chance.choice([State.RUNNING, *FINAL])) for _ in range(4)]
    for _ in range(40):
        days = chance.choice([80, 89, 91, 120, 400])
        if chance.random() < 0.3:
            old_entries(1, days=days, subject_id=str(chance.choice(jobs).id), subject_type="job")
        else:
            old_entries(1, days=days)
    for day in (ago(days=15).date(), None):
        before = set(AuditArchive.objects.values_list("id", flat=True))
        told = files_told(day)
        assert archive.archive(as_of=day, entries=7) == sum(count for count, _, _ in told)
        rows = AuditArchive.objects.exclude(id__in=before).order_by("id")
        assert [(row.entries, row.first_id, row.last_id) for row in rows] == told


def files_told(day: date | None) -> list[tuple[int, int, int]]:
    """Return entries, first and last id of each file of seven entries that a preview tells of."""

    @job_task(name=f"tests.archives_{day}", queue="maintenance")
    def archives() -> None: ...

    @archives.preview
    def files() -> None:
        archive.preview(as_of=day, entries=7)

    _, *told = try_out(archives, {})
    return [(one.detail["entries"], one.detail["first_id"], one.detail["last_id"]) for one in told]


def test_old_entries_are_counted_without_reading_young_ones(live: Live) -> None:
    query(
        "WITH made AS (INSERT INTO jobs_auditentry (at, actor, action, subject_type, subject_id,"
        " tenant, correlation_id) SELECT now() - make_interval(mins => 133000 - n), 'user:ann',"
        " 'tests.looked', 'test', n::text, '', '' FROM generate_series(1, 100000) AS n RETURNING 1)"
        " SELECT count(*) FROM made"
    )
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE jobs_auditentry")
    for day in (None, ago(days=1).date()):
        values = archive._values(day, archive.ENTRIES)
        (count,) = query_values(archive._EXPECTED, values)
        plan = "\n".join(query_values(f"EXPLAIN {archive._FILES}", values))
        assert 0 < count < 4_000
        assert "jobs_audit_at" in plan, plan


def query_values(sql: str, values: dict[str, Any]) -> list[Any]:
    """Return the first column of the statement's rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return [row[0] for row in cursor.fetchall()]


# --- crashes -------------------------------------------------------------------------------------


class Crash(BaseException):
    """The process ends here."""


def crash(*_: Any) -> None:
    raise Crash


def archive_and_crash() -> None:
    """Archive until the process ends; what it did in its transaction is undone."""
    with pytest.raises(Crash), transaction.atomic():
        archive.archive()


@pytest.mark.django_db
@pytest.mark.parametrize("step", ["_compare", "_delete"])
def test_a_crash_leaves_the_entries_and_the_next_run_takes_them_under_the_same_name(
    step: str, monkeypatch: pytest.MonkeyPatch, storage: Path
) -> None:
    ids = old_entries(5)
    real = getattr(archive, step)

    def then_crash(*args: Any) -> None:
        real(*args)
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(archive, step, then_crash)
        archive_and_crash()
    assert ids_left() == set(ids)
    assert not AuditArchive.objects.exists()
    (left,) = storage.rglob("*.gz")
    report = check_audit()
    assert report.findings == []
    assert report.unknown_files == [str(left.relative_to(storage.parent))]

    assert archive.archive() == 5
    assert [str(left.relative_to(storage.parent))] == [
        row.name for row in AuditArchive.objects.all()
    ]
    assert check_audit().unknown_files == []


@pytest.mark.django_db
def test_a_file_that_was_cut_short_is_written_again(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_entries(5)
    with monkeypatch.context() as patch:
        patch.setattr(archive, "_delete", crash)
        archive_and_crash()
    (left,) = storage.rglob("*.gz")
    whole = left.read_bytes()
    left.write_bytes(whole[:20])
    assert archive.archive() == 5
    assert left.read_bytes() == whole


@pytest.mark.django_db
def test_what_does_not_come_back_as_it_was_written_costs_no_entry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = old_entries(5)
    monkeypatch.setattr(archive, "_read", lambda _: b"something else")
    with pytest.raises(archive.NotKept, match="was not read back"), transaction.atomic():
        archive.archive()
    assert ids_left() == set(ids)
    assert not AuditArchive.objects.exists()


@pytest.mark.django_db
def test_a_storage_that_chooses_another_name_is_refused(
    monkeypatch: pytest.MonkeyPatch, storage: Path
) -> None:
    ids = old_entries(5)
    monkeypatch.setattr(default_storage, "get_available_name", lambda name, max_length: f"{name}.2")
    with pytest.raises(archive.NotKept, match="under its name"), transaction.atomic():
        archive.archive()
    assert ids_left() == set(ids)
    assert list(storage.rglob("*.gz*")) == []


def test_two_archivers_at_once_make_each_file_once(live: Live) -> None:
    old_entries(300)

    def until_done() -> int:
        done = 0
        while True:
            before = len(ids_left())
            try:
                return done + archive.archive(entries=50)
            except RetryLater:
                done += before - len(ids_left())

    at_once(*[until_done] * 3)
    rows = list(AuditArchive.objects.all())
    assert sum(row.entries for row in rows) == 300
    assert check_audit().findings == []


@pytest.mark.processes
def test_an_archiver_that_is_killed_again_and_again_loses_and_doubles_nothing(
    live: Live, tmp_path: Path
) -> None:
    query(
        "WITH made AS (INSERT INTO jobs_auditentry (at, actor, action, subject_type, subject_id,"
        " tenant, correlation_id) SELECT now() - interval '1 year', 'user:ann', 'tests.looked',"
        " 'test', n::text, '', '' FROM generate_series(1, 80000) AS n RETURNING 1)"
        " SELECT count(*) FROM made"
    )
    probe.enqueue(label="its entries are young")
    folder = tmp_path / "files" / "audit"
    program = "from jobs.maintenance import archive; archive.archive()"
    for files in (1, 3):
        archiver = live.start("shell", "-c", program, DATA_DIR=str(tmp_path))
        wait_until(lambda wanted=files: len(list(folder.rglob("*.gz"))) >= wanted)  # type: ignore[misc]
        archiver.kill()
        archiver.wait(10)
    with override_settings(MEDIA_ROOT=folder.parent):
        archive.archive()
        archived = [
            entry["subject_id"]
            for row in AuditArchive.objects.all()
            for entry in lines(row)
            if entry["action"] == "tests.looked"
        ]
        assert len(archived) == 80_000
        assert set(archived) == {str(n) for n in range(1, 80_001)}
        assert [finding for finding in check_audit().findings if finding.kind == "archive"] == []


# --- the database --------------------------------------------------------------------------------


def forged(first: int, last: int, entries: int) -> AuditArchive:
    """Insert a row of an archive, and say that this transaction archives it."""
    row = AuditArchive.objects.create(
        name=f"audit/{uuid.uuid4()}", first_id=first, last_id=last, entries=entries,
        first_at=ago(), last_at=ago(), size=1, sha256="0" * 64,
    )  # fmt: skip
    query("SELECT set_config('jobs.archiving', %s, true)", str(row.id))
    return row


def delete(*ids: int) -> None:
    with transaction.atomic():
        AuditEntry.objects.filter(id__in=ids)._raw_delete("default")


@pytest.mark.django_db
def test_the_database_lets_exactly_the_entries_of_the_archive_go() -> None:
    first, middle, last, other = old_entries(4)
    forged(first, last, 3)
    for wrong in (
        [first, middle],
        [first, middle, last, other],
        [first, middle, other],
        [other],
        [middle],
    ):
        with pytest.raises(IntegrityError, match="append-only"):
            delete(*wrong)
    delete(first, middle, last)
    assert ids_left() == {other}


@pytest.mark.django_db
def test_the_row_of_an_archive_of_the_past_opens_nothing() -> None:
    first, second, third = old_entries(3)
    row = forged(first, first, 1)
    delete(first)
    for ids in ([second], [second, third]):
        with pytest.raises(IntegrityError, match=f"not those of the archive {row.id}"):
            delete(*ids)


@pytest.mark.django_db
def test_the_word_archiving_is_not_enough() -> None:
    ids = old_entries(2)
    for value in ("0", "999999"):
        query("SELECT set_config('jobs.archiving', %s, true)", value)
        with pytest.raises(IntegrityError, match="append-only"):
            delete(*ids)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE jobs_auditentry SET actor = 'nobody'",
        "TRUNCATE jobs_auditentry",
    ],
)
def test_an_archiver_may_neither_change_nor_truncate(sql: str) -> None:
    (only,) = old_entries(1)
    forged(only, only, 1)
    with (
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(sql)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE jobs_auditarchive SET sha256 = ''",
        "DELETE FROM jobs_auditarchive",
        "TRUNCATE jobs_auditarchive",
    ],
)
def test_what_was_archived_stays_known(sql: str) -> None:
    old_entries(1)
    archive.archive()
    with (
        pytest.raises(IntegrityError, match="stays known"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(sql)
    assert AuditArchive.objects.count() == 1


def test_the_door_is_shut_again_after_the_transaction(live: Live) -> None:
    ids = old_entries(3)
    with transaction.atomic():
        forged(ids[0], ids[-1], 3)
    with pytest.raises(IntegrityError, match="DELETE is refused"):
        delete(*ids)
    audit.record(action="tests.looked", subject_type="test", subject_id="8")
