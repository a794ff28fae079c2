"""Sessions that have expired go, and statistics are fresh."""

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.utils import timezone

from jobs.maintenance import housekeeping
from jobs.tasks import analyze_database, clear_sessions
from jobs.testing import run_jobs
from tests.conftest import Live, query


@pytest.mark.django_db
def test_expired_sessions_go_and_others_stay() -> None:
    for name, days in (("old", -1), ("new", 1)):
        Session.objects.create(
            session_key=name, session_data="", expire_date=timezone.now() + timedelta(days=days)
        )
    clear_sessions.enqueue()
    run_jobs()
    assert [session.session_key for session in Session.objects.all()] == ["new"]


def test_every_table_is_vacuumed_and_analyzed(live: Live) -> None:
    analyze_database.enqueue()
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
