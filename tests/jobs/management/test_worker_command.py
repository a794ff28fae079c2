"""``manage.py worker``: what it waits for, and what it refuses."""

import threading
from unittest import mock

import pytest
from django.core.management import CommandError, call_command
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


def test_a_worker_does_not_fork_beside_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_SKIP_CHECKS", "1")  # set by the command; gone after this test
    over = threading.Event()
    thread = threading.Thread(target=over.wait, name="somebody's exporter")
    thread.start()
    try:
        with pytest.raises(CommandError, match="somebody's exporter"):
            call_command("worker", "email")
    finally:
        over.set()
        thread.join()
