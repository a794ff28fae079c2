"""``manage.py worker`` starts beside a PostgreSQL that starts, too."""

from unittest import mock

import pytest
from django.db import OperationalError, connection

from jobs.management.commands import worker


def test_a_worker_waits_for_a_database_that_is_starting() -> None:
    starting = OperationalError("the database system is starting up")
    with mock.patch.object(connection, "ensure_connection", side_effect=[starting, None]) as asked:
        worker._wait_for_database()
    assert asked.call_count == 2


def test_a_worker_says_what_is_wrong_when_the_database_does_not_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "_DATABASE_SECONDS", 0)
    refused = OperationalError("password authentication failed")
    with (
        mock.patch.object(connection, "ensure_connection", side_effect=refused),
        pytest.raises(OperationalError, match="password"),
    ):
        worker._wait_for_database()
