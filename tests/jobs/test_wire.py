"""Statements through libpq: as cursors would run them, in fewer trips, and never half."""

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import (
    DatabaseError,
    DataError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    connection,
    connections,
    transaction,
)
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext
from pytest_django.plugin import DjangoDbBlocker

from jobs import wire
from jobs.sql import fetch
from tests.conftest import wait_until


@pytest.fixture(autouse=True)
def fresh_connection(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """A connection of this test alone, in no transaction; nothing that it writes stays."""
    with django_db_blocker.unblock():
        connection.close()
        yield
        connection.close()


def test_rows_are_those_of_a_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    sql = """
        SELECT %s::uuid, %s::text, %s::int, %s::bigint, %s::float8, %s::bool, %s::text,  -- a comment
               %s::timestamptz, %s::text[], %s::uuid[], %s::jsonb, '50%%', 'it''s' || %s, NULL
    """
    values = [
        uuid4(), "Ωmega 🐍 \\ 'x'", -7, 2**40, 0.1, True, None,
        datetime(2026, 3, 1, 12, tzinfo=UTC), ["a", "b,{}", ""], [uuid4()],
        json.dumps({"a": [1, None]}), " here",
    ]  # fmt: skip
    ours = fetch(sql, values)
    monkeypatch.setattr(wire, "can_speak", lambda connection: False)
    assert ours == fetch(sql, values)
    assert ours[0][7].tzinfo is not None
    assert ours[0][11] == "50%"


def test_nothing_and_many_rows() -> None:
    assert fetch("SELECT 1 WHERE false") == []
    assert fetch("SELECT * FROM generate_series(1, 3)") == [(1,), (2,), (3,)]


def test_a_statement_is_prepared_once_for_each_connection() -> None:
    for number in range(5):
        fetch("SELECT %s::int + 1", [number])
    assert _prepared() == ["SELECT $1::int + 1"]
    connection.close()
    assert fetch("SELECT %s::int + 1", [5]) == [(6,)]
    assert _prepared() == ["SELECT $1::int + 1"]


def test_types_of_values_make_statements_of_their_own() -> None:
    assert fetch("SELECT pg_typeof(%s)::text", [1]) == [("smallint",)]
    assert fetch("SELECT pg_typeof(%s)::text", [2**40]) == [("bigint",)]


def test_a_statement_that_fails_is_not_prepared_again_each_time() -> None:
    for _ in range(3):
        with pytest.raises(DataError):
            fetch("SELECT 1 / %s::int", [0])
    assert fetch("SELECT 1 / %s::int", [1]) == [(1,)]
    assert len(_prepared()) == 1


@pytest.mark.parametrize("atomic", [True, False])
def test_no_connection_keeps_statements_without_end(
    monkeypatch: pytest.MonkeyPatch, atomic: bool
) -> None:
    monkeypatch.setattr(wire, "MOST", 3)
    with transaction.atomic() if atomic else nullcontext():
        for number in (*range(7), *range(7)):
            assert fetch(f"SELECT {number}") == [(number,)]
            assert len(_prepared()) <= 3


@pytest.mark.parametrize("atomic", [True, False])
def test_a_server_that_forgot_what_it_prepared_is_told_again(atomic: bool) -> None:
    session = _session()
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
    with transaction.atomic() if atomic else nullcontext():
        assert _session() == session
        assert fetch("SELECT 1") == [(1,)]


def test_within_a_transaction_that_is_an_error_and_the_next_one_goes_well() -> None:
    session = _session()
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("DEALLOCATE ALL")
        with pytest.raises(DatabaseError, match="does not exist"):
            _session()
        transaction.set_rollback(True)
    with transaction.atomic():
        assert _session() == session


@pytest.mark.parametrize("atomic", [True, False])
def test_a_table_that_was_changed_under_a_statement_is_read_as_it_is(atomic: bool) -> None:
    """As by a migration, while processes of the release before are at work."""
    sql = "SELECT * FROM passing WHERE number = %s::int"
    try:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE passing AS SELECT 7 AS number, 'x'::varchar(5) AS name")
            assert fetch(sql, [7]) == [(7, "x")]
            cursor.execute("ALTER TABLE passing ALTER name TYPE integer USING 1")
        with transaction.atomic() if atomic else nullcontext():
            assert fetch(sql, [7]) == [(7, 1)]
            assert fetch(sql, [7]) == [(7, 1)]
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE passing")


def test_what_postgresql_cannot_do_is_said() -> None:
    with pytest.raises(NotSupportedError):
        fetch("SELECT DISTINCT 1 FOR UPDATE")


def test_the_transaction_begins_with_the_first_statement_and_is_rolled_back_whole() -> None:
    with transaction.atomic():
        assert fetch("SELECT set_config('application_name', 'passing', false)")
        assert fetch("SHOW application_name") == [("passing",)]
        transaction.set_rollback(True)
    assert fetch("SHOW application_name") != [("passing",)]
    with transaction.atomic():
        first = fetch("SELECT pg_current_xact_id()::text")
        with transaction.atomic():
            assert fetch("SELECT pg_current_xact_id()::text") == first
    assert fetch("SELECT pg_current_xact_id()::text") != first


def test_without_a_transaction_each_statement_is_committed() -> None:
    first = fetch("SELECT pg_current_xact_id()::text")
    assert fetch("SELECT pg_current_xact_id()::text") != first


@pytest.mark.parametrize(
    ("sql", "values", "kind"),
    [
        ("SELECT 1 / %s::int", [0], DataError),
        ("SELECT nothing", [], ProgrammingError),
        ("SELECT %s::int", ["x"], DataError),
        ("SELECT", [object()], ProgrammingError),
    ],
)
def test_an_error_is_djangos_and_the_connection_goes_on(
    sql: str, values: list[Any], kind: type[DatabaseError]
) -> None:
    session = _session()
    with pytest.raises(kind):
        fetch(sql, values)
    with transaction.atomic(), pytest.raises(kind), transaction.atomic():
        fetch(sql, values)
    assert _session() == session


def test_a_broken_transaction_takes_no_more_statements() -> None:
    with transaction.atomic():
        with pytest.raises(DataError):
            fetch("SELECT 1 / 0")
        with pytest.raises(InternalError):
            fetch("SELECT 1")
        transaction.set_rollback(True)
        with pytest.raises(TransactionManagementError):
            fetch("SELECT 1")


def test_what_does_not_fit_the_socket_arrives() -> None:
    parts = [str(number) * 1_000 for number in range(5_000)]  # 19 MB there, and back
    rows = fetch("SELECT part FROM unnest(%s::text[]) AS part", [parts])
    assert [part for (part,) in rows] == parts


def test_much_goes_both_ways() -> None:
    with transaction.atomic():
        text = "x" * 20_000_000
        assert fetch("SELECT length(%s), repeat('y', 20000000)", [text])[0][0] == len(text)


def test_a_connection_that_was_cut_says_so_and_a_new_one_serves() -> None:
    _cut(_session())
    with pytest.raises(OperationalError, match="terminat"):
        fetch("SELECT 1")
    assert fetch("SELECT 1") == [(1,)]


def test_within_a_transaction_a_connection_that_is_gone_stays_gone() -> None:
    with transaction.atomic():
        _cut(_session())
        for message in ("terminat", "lost|closed"):
            with pytest.raises(OperationalError, match=message):
                fetch("SELECT 1")
        transaction.set_rollback(True)
    assert fetch("SELECT 1") == [(1,)]


def test_the_first_statement_of_a_request_notices_that_its_connection_was_cut() -> None:
    session = _session()
    _cut(session)
    connection.close_if_unusable_or_obsolete()  # as Django does when a request begins
    assert _session() != session


def test_a_connection_that_is_cut_during_a_statement_says_why() -> None:
    session = _session()
    cut = _after_it_waits(session, "SELECT pg_terminate_backend(%s)")
    with cut, pytest.raises(OperationalError, match="terminat"):
        fetch("SELECT pg_sleep(60)")
    connection.close_if_unusable_or_obsolete()
    assert fetch("SELECT 1") == [(1,)]


def test_a_statement_that_is_cancelled_leaves_the_connection() -> None:
    session = _session()
    cancelled = _after_it_waits(session, "SELECT pg_cancel_backend(%s)")
    with cancelled, pytest.raises(OperationalError, match="cancel"):
        fetch("SELECT pg_sleep(60)")
    assert _session() == session


class _Alarm(Exception):
    pass


def test_a_signal_interrupts_the_wait_and_the_statement_is_cancelled() -> None:
    def ring(*_: Any) -> None:
        raise _Alarm

    session = _session()
    began = time.monotonic()
    with _signalled(ring), pytest.raises(_Alarm), transaction.atomic():
        fetch("SELECT pg_sleep(60)")
    assert time.monotonic() - began < 30
    with psycopg.connect(**_parameters(), autocommit=True) as other:
        sql = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND state = 'active'"
        wait_until(lambda: not other.execute(sql, [session]).fetchall(), within=10)
    assert fetch("SELECT 1") == [(1,)]


def test_a_signal_is_not_taken_for_what_the_server_answered() -> None:
    """It came while the answer was read; who catches the answer's error would go on."""
    listen = wire._Wire._listen

    def listen_and_be_interrupted(self: Any, results: Any) -> None:
        listen(self, results)
        raise _Alarm

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire._Wire, "_listen", listen_and_be_interrupted)
        with pytest.raises(_Alarm):
            fetch("SELECT 1 / 0")
    assert fetch("SELECT 1") == [(1,)]


def test_a_second_signal_does_not_leave_an_answer_on_the_connection() -> None:
    def ring_again(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire._Wire, "_listen", lambda *_: (_ for _ in ()).throw(_Alarm))
        connection.ensure_connection()
        patch.setattr(connection.connection, "cancel_safe", ring_again)
        with pytest.raises(KeyboardInterrupt):
            fetch("SELECT 'not mine'")
    assert fetch("SELECT 'mine'") == [("mine",)]


def test_a_signal_that_is_only_handled_changes_nothing() -> None:
    heard: list[int] = []
    with _signalled(lambda number, _: heard.append(number)):
        assert fetch("SELECT 'slept' FROM pg_sleep(0.3)") == [("slept",)]
    assert heard


def test_who_looks_at_statements_sees_them() -> None:
    with CaptureQueriesContext(connection) as seen:
        fetch("SELECT %s::int", [7])
    assert len(seen) == 1
    told: list[str] = []

    def listen(execute: Any, sql: str, *more: Any) -> Any:
        told.append(sql)
        return execute(sql, *more)

    with connection.execute_wrapper(listen):
        fetch("SELECT %s::int", [7])
    assert told == ["SELECT %s::int"]


def test_a_transaction_of_another_kind_is_begun_as_such() -> None:
    connection.ensure_connection()
    connection.connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
    with transaction.atomic():
        assert fetch("SHOW transaction_isolation") == [("serializable",)]


def test_where_psycopg_prepares_statements_itself_it_does_so_with_ours() -> None:
    connection.ensure_connection()
    connection.connection.prepare_threshold = 0
    fetch("SELECT %s::int", [1])
    with transaction.atomic():
        transaction.set_rollback(True)
        connection.connection.execute("SELECT 1")  # it forgets what it prepared, at the rollback
    assert fetch("SELECT %s::int", [1]) == [(1,)]


def test_times_are_read_in_the_zone_of_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    noon = datetime(2026, 7, 1, 12, tzinfo=UTC)
    monkeypatch.setitem(connection.settings_dict, "TIME_ZONE", "Asia/Kolkata")
    for name in ("timezone", "timezone_name"):
        connection.__dict__.pop(name, None)
    try:
        connection.close()
        assert fetch("SELECT %s::timestamptz", [noon]) == [(noon,)]
    finally:
        for name in ("timezone", "timezone_name"):
            connection.__dict__.pop(name, None)


def test_another_threads_connection_is_refused() -> None:
    ours = connections["default"]
    ours.ensure_connection()
    raised: list[Exception] = []

    def use() -> None:
        connections["default"] = ours
        try:
            fetch("SELECT 1")
        except DatabaseError as error:
            raised.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert "thread" in str(raised[0])


def test_a_uuid_is_a_uuid() -> None:
    id_ = uuid4()
    assert fetch("SELECT %s::uuid", [str(id_)]) == [(UUID(str(id_)),)]


def _prepared() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements ORDER BY prepare_time")
        return [statement for (statement,) in cursor.fetchall()]


def _session() -> int:
    ((pid,),) = fetch("SELECT pg_backend_pid()")
    return int(pid)


def _cut(session: int) -> None:
    with psycopg.connect(**_parameters(), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [session])
        sql = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
        wait_until(lambda: not other.execute(sql, [session]).fetchall())


def _parameters() -> dict[str, Any]:
    parameters = connection.get_connection_params()
    return {
        key: parameters[key]
        for key in ("dbname", "user", "password", "host", "port")
        if parameters.get(key)
    }


@contextmanager
def _after_it_waits(session: int, sql: str) -> Iterator[None]:
    """Run ``sql`` on the session, from another one, once it sleeps."""

    def act() -> None:
        with psycopg.connect(**parameters, autocommit=True) as other:
            asleep = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"
            wait_until(lambda: bool(other.execute(asleep, [session]).fetchall()), within=20)
            other.execute(sql, [session])

    parameters = _parameters()
    thread = threading.Thread(target=act)
    thread.start()
    yield
    thread.join()


@contextmanager
def _signalled(handler: Any) -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
