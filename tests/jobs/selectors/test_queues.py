"""How each queue is doing."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs import selectors
from jobs.errors import UnknownQueue
from jobs.models import QueueState
from jobs.queues import QUEUES
from jobs.selectors import QueueOverview
from jobs.states import State
from tests.jobs.records import ago, make_dead_letter, make_job, make_worker, now

pytestmark = pytest.mark.django_db


def overview(name: str = "email") -> QueueOverview:
    return selectors.queue_overview(name)


def test_every_declared_queue_is_there_even_when_nothing_is_in_it() -> None:
    assert [queue.name for queue in selectors.queue_overviews()] == list(QUEUES)
    assert overview().depth == {
        State.SCHEDULED: 0,
        State.AVAILABLE: 0,
        State.QUEUED: 0,
        State.RUNNING: 0,
    }
    assert overview().oldest_due_seconds is None


def test_unfinished_jobs_are_counted_by_queue_and_state() -> None:
    for state, count in ((State.QUEUED, 3), (State.AVAILABLE, 1), (State.RUNNING, 2)):
        for _ in range(count):
            make_job(state)
    make_job(State.QUEUED, queue="pdf")
    make_job(State.SUCCEEDED)
    assert overview().depth == {
        State.SCHEDULED: 0,
        State.AVAILABLE: 1,
        State.QUEUED: 3,
        State.RUNNING: 2,
    }
    assert overview().waiting == 4
    assert overview("pdf").waiting == 1


def test_the_oldest_due_job_is_not_one_that_is_scheduled_for_later() -> None:
    make_job(State.SCHEDULED, scheduled_at=ago(hours=-1))
    assert overview().oldest_due_seconds is None
    make_job(State.QUEUED, scheduled_at=ago(seconds=20))
    make_job(State.AVAILABLE, scheduled_at=ago(seconds=90))
    assert overview().oldest_due_seconds == pytest.approx(90, abs=5)


def test_what_ended_is_counted_by_minute_and_forgotten_after_an_hour() -> None:
    instant = now()
    half_an_hour_ago = instant - timedelta(minutes=30)
    make_job(State.SUCCEEDED, finished_at=instant)
    make_job(State.SUCCEEDED, finished_at=half_an_hour_ago)
    make_job(State.DEAD, finished_at=half_an_hour_ago)
    make_job(State.SUCCEEDED, finished_at=instant - timedelta(minutes=61))
    queue = overview()
    # A minute of the clock may have begun since.
    last = max(place for place, minute in enumerate(queue.minutes) if minute.succeeded)
    assert last in {59, 58}
    assert queue.minutes[last].succeeded == 1
    assert queue.minutes[last - 30].total == 2
    assert queue.finished(State.SUCCEEDED) == 2
    assert queue.finished(State.SUCCEEDED, minutes=5) == 1
    assert queue.finished(State.DEAD) == 1


def test_only_dead_letters_that_wait_for_a_decision_are_counted() -> None:
    make_dead_letter()
    letter = make_dead_letter()
    letter.decision = "discarded"
    letter.save()
    assert overview().dead_letters == 1


def test_a_queue_with_due_jobs_and_no_living_worker_is_unserved() -> None:
    make_job(State.QUEUED)
    make_worker("email", silent=3600)
    assert overview().is_unserved
    make_worker("email", "pdf")
    assert not overview().is_unserved
    assert (overview().workers, overview().slots) == (1, 8)


def test_a_paused_queue_says_since_when_and_by_whom() -> None:
    QueueState.objects.create(name="email", paused_at=now(), paused_by="user:ann")
    QueueState.objects.create(name="pdf", paused_at=None, paused_by="")
    assert (overview().is_paused, overview().paused_by) == (True, "user:ann")
    assert not overview("pdf").is_paused


def test_a_queue_that_is_no_longer_declared_is_shown_while_jobs_name_it() -> None:
    make_job(State.QUEUED, queue="fax")
    last = selectors.queue_overviews()[-1]
    assert (last.name, last.declared, last.waiting) == ("fax", None, 1)


def test_an_unknown_queue_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UnknownQueue, match="Did you mean 'email'"):
        selectors.queue_overview("emial")


def test_the_number_of_statements_does_not_depend_on_the_number_of_jobs() -> None:
    def statements() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            selectors.queue_overviews()
        return len(captured)

    before = statements()
    for _ in range(20):
        make_job(State.QUEUED)
        make_job(State.RUNNING)
        make_worker("email")
    assert statements() == before
