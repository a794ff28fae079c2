"""Which workers there are."""

import pytest

from jobs import selectors
from jobs.states import State
from tests.jobs.records import ago, make_job, make_worker, now

pytestmark = pytest.mark.django_db


def test_a_worker_with_a_fresh_heartbeat_is_alive_and_shows_what_it_runs() -> None:
    worker = make_worker("email")
    job = make_job(State.RUNNING, worker=worker.id, started_at=ago(seconds=7))
    make_job(State.RUNNING)
    (view,) = selectors.list_workers()
    assert view.is_alive
    (running,) = view.running
    assert running.id == job.id
    assert running.seconds == pytest.approx(7, abs=3)


def test_a_silent_worker_is_listed_last_and_not_alive() -> None:
    make_worker("email", silent=300, host="a-lost")
    make_worker("email", host="b-alive")
    assert [(view.worker.host, view.is_alive) for view in selectors.list_workers()] == [
        ("b-alive", True),
        ("a-lost", False),
    ]


def test_workers_that_said_goodbye_or_fell_silent_long_ago_are_not_listed() -> None:
    make_worker("email", stopped_at=now())
    make_worker("email", silent=7200)
    assert selectors.list_workers() == []
