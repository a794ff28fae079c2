"""Sessions that have expired go, and statistics are fresh."""

import uuid
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest
from django.contrib.sessions.backends.file import SessionStore as FileSessionStore
from django.contrib.sessions.models import Session
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from jobs.dry_run import WouldFail, try_out
from jobs.errors import DayToCome, RetryLater
from jobs.maintenance import housekeeping, instant
from jobs.tasks import analyze_database, archive_audit, clear_sessions, prune
from jobs.testing import run_jobs
from tests.conftest import Live, query
from tests.jobs.records import ago


@pytest.mark.django_db
def test_expired_sessions_go_and_others_stay() -> None:
    for name, days in (("old", -1), ("new", 1)):
        Session.objects.create(
            session_key=name, session_data="", expire_date=timezone.now() + timedelta(days=days)
        )
    clear_sessions.enqueue()
    (job,) = run_jobs()
    assert job.result == 1
    assert [session.session_key for session in Session.objects.all()] == ["new"]


def make_sessions(*expiring: datetime) -> None:
    for expire_date in expiring:
        Session.objects.create(
            session_key=str(uuid.uuid4()), session_data="", expire_date=expire_date
        )


@pytest.mark.django_db
def test_for_a_past_day_those_go_that_had_expired_when_it_began() -> None:
    day = ago(days=3).date()
    began, second = datetime.combine(day, time.min, UTC), timedelta(seconds=1)
    make_sessions(began - second, began - second, began + second, ago(), ago(days=-1))
    itself, told = try_out(clear_sessions, {"as_of": day})
    assert itself.detail["result"] == 2
    assert (told.what, told.count) == ("sessions", 2)
    assert told.detail == {"before": f"{day} 00:00:00 UTC"}
    assert housekeeping.clear_sessions(as_of=day) == 2
    assert housekeeping.clear_sessions(as_of=day) == 0
    (itself,) = try_out(clear_sessions, {"as_of": day})
    assert itself.detail["result"] == 0
    assert housekeeping.preview_sessions() == 2
    assert housekeeping.clear_sessions(as_of=ago().date(), batch=1) == 2
    assert Session.objects.count() == 1


@pytest.mark.django_db
def test_sessions_go_in_batches_for_a_while() -> None:
    make_sessions(*[ago()] * 5)
    with pytest.raises(RetryLater):
        housekeeping.clear_sessions(batch=2, budget=timedelta(0))
    assert Session.objects.count() == 3


@pytest.mark.django_db
@pytest.mark.parametrize("engine", ["cache", "signed_cookies", "file"])
@pytest.mark.parametrize("days", [0, 3])
def test_an_engine_without_rows_clears_its_own_whichever_day_it_is_for(
    days: int, engine: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    monkeypatch.setattr(FileSessionStore, "_storage_path", str(tmp_path), raising=False)
    settings.SESSION_COOKIE_AGE = -1
    make_sessions(ago())
    expired = FileSessionStore()
    expired.save()
    (itself,) = try_out(clear_sessions, {})
    assert "result" not in itself.detail
    assert len(list(tmp_path.iterdir())) == 1
    assert housekeeping.clear_sessions(as_of=ago(days=days).date()) is None
    assert len(list(tmp_path.iterdir())) == (0 if engine == "file" else 1)
    assert Session.objects.exists(), "they are another engine's"


@pytest.mark.django_db
def test_sessions_behind_a_cache_go_too(settings: Settings) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"
    make_sessions(ago(), ago(days=-1))
    assert housekeeping.clear_sessions() == 1


def test_expired_sessions_are_found_by_an_index(live: Live) -> None:
    query(
        "WITH made AS (INSERT INTO django_session SELECT n::text, '', now() +"
        " make_interval(mins => n - 500) FROM generate_series(1, 50000) AS n RETURNING 1)"
        " SELECT count(*) FROM made"
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE django_session")
        sessions = housekeeping._sessions()
        assert sessions is not None
        for instant in (None, ago(hours=2)):
            cursor.execute(
                f"EXPLAIN SELECT ctid FROM {sessions.table} AS t WHERE {sessions.condition()}",
                sessions.values(instant),
            )
            assert "django_session_expire_date" in "".join(row[0] for row in cursor.fetchall())


@pytest.mark.django_db
def test_a_day_to_come_is_refused_by_each_task() -> None:
    day = ago(days=-2).date()
    for task in (clear_sessions, analyze_database, prune, archive_audit):
        with pytest.raises(DayToCome, match=rf"^as_of: {day} is still to come"):
            task(as_of=day)
        with pytest.raises(WouldFail, match=rf"{task.name} would fail: as_of: {day} is still to"):
            try_out(task, {"as_of": day})
    prune.enqueue(as_of=day)
    (job,) = run_jobs()
    assert (job.state, job.error_type, job.failures) == ("dead", "DayToCome", 1)


@pytest.mark.django_db
def test_a_day_that_has_begun_elsewhere_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    today = instant._TODAY
    for hour, accepted in ((11, True), (9, False)):
        noon = f"'2026-11-22 {hour}:00:00+00'::timestamptz"
        monkeypatch.setattr(instant, "_TODAY", today.replace("now()", noon))
        assert instant.beginning(date(2026, 11, 22)) is None
        assert instant.beginning(date(2026, 11, 21)) == datetime(2026, 11, 21, tzinfo=UTC)
        if accepted:
            assert instant.beginning(date(2026, 11, 23)) is None
        else:
            with pytest.raises(DayToCome, match="it is 2026-11-22; expected today or a past date"):
                instant.beginning(date(2026, 11, 23))


@pytest.mark.django_db
def test_days_are_jobs_of_their_own_where_the_day_matters() -> None:
    past, today = ago(days=3).date(), ago().date()
    for task, jobs in ((prune, 2), (archive_audit, 2), (clear_sessions, 2), (analyze_database, 1)):
        ids = {task.enqueue(as_of=day).id for day in (past, today, past, today)}
        assert len(ids) == jobs


def test_the_dry_run_of_vacuuming_names_the_tables(live: Live) -> None:
    itself, *tables = try_out(analyze_database, {"as_of": date(2026, 1, 1)})
    names = {told.detail["table"] for told in tables}
    assert names == set(connection.introspection.table_names())
    assert itself.detail["result"] == len(tables)


@pytest.mark.parametrize("day", [None, date(2026, 1, 1)])
def test_every_table_is_vacuumed_and_analyzed(live: Live, day: date | None) -> None:
    analyze_database.enqueue(as_of=day)
    (job,) = run_jobs()
    assert (job.state, job.error) == ("succeeded", "")
    assert job.result == len(connection.introspection.table_names())
    query("SELECT pg_stat_force_next_flush()")
    seen = query(
        "SELECT relname FROM pg_stat_user_tables"
        " WHERE last_vacuum IS NOT NULL AND last_analyze IS NOT NULL"
    )
    assert {"jobs_job", "jobs_auditentry", "django_session"} <= {name for (name,) in seen}


def test_a_table_that_somebody_has_locked_is_left_out(live: Live) -> None:
    other = connection.copy()
    other.set_autocommit(False)
    with other.cursor() as cursor:
        cursor.execute("LOCK TABLE jobs_job IN SHARE MODE")
        assert housekeeping.analyze(["jobs_job", "jobs_attempt"]) == 2
        other.rollback()
    other.close()
