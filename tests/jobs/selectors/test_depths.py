"""How many jobs wait: counted up to a number, and about so many beyond it."""

import pytest

from jobs.maintenance.rollup import take_census
from jobs.models import QueueDepth
from jobs.selectors import Certainty, Count, QueueOverview, queue_overview
from jobs.states import State
from jobs.templatetags.jobs_format import count
from tests.jobs.records import ago, make_job

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than three jobs are not counted."""
    monkeypatch.setattr("jobs.selectors.depths.COUNTED", 3)


def email() -> QueueOverview:
    return queue_overview("email")


def test_up_to_the_bound_jobs_are_counted_one_by_one() -> None:
    for state in (State.QUEUED, State.QUEUED, State.AVAILABLE):
        make_job(state)
    assert (email().waiting, email().waiting.is_exact) == (3, True)


def test_beyond_it_a_page_says_at_least_so_many_and_then_what_a_keeper_counted() -> None:
    for _ in range(6):
        make_job(State.QUEUED)
    waiting = email().waiting
    assert (waiting, waiting.certainty) == (3, Certainty.AT_LEAST)
    take_census()
    for _ in range(2):
        make_job(State.QUEUED)
    waiting = email().waiting
    assert (waiting, waiting.certainty) == (6, Certainty.ABOUT)
    assert email().depth[State.SCHEDULED].is_exact


def test_an_old_census_tells_nothing() -> None:
    for _ in range(6):
        make_job(State.QUEUED)
    take_census()
    QueueDepth.objects.update(counted_at=ago(hours=1))
    assert email().waiting.certainty == Certainty.AT_LEAST


def test_one_deep_queue_does_not_make_the_others_uncertain() -> None:
    for _ in range(6):
        make_job(State.QUEUED)
    make_job(State.QUEUED, queue="pdf")
    assert queue_overview("pdf").waiting.is_exact


def test_parked_and_scheduled_jobs_are_counted_up_to_it_too() -> None:
    for _ in range(5):
        make_job(State.SCHEDULED, scheduled_at=ago(hours=-1))
        make_job(State.AVAILABLE, parked=True, gate="email/rate")
    take_census()
    queue = email()
    assert (queue.depth[State.SCHEDULED], queue.parked) == (5, 5)
    assert queue.depth[State.AVAILABLE] == 5
    assert not queue.parked.is_exact
    assert queue.oldest_due_seconds is None


def test_the_oldest_of_a_deep_queue_is_found_behind_those_of_other_classes() -> None:
    for seat in range(5):
        make_job(State.QUEUED, priority=1, seat=seat)
    make_job(State.QUEUED, priority=3, scheduled_at=ago(hours=2))
    assert email().oldest_due_seconds == pytest.approx(7200, abs=60)


@pytest.mark.parametrize(
    ("jobs", "text"),
    [
        (Count(1234), "1,234"),
        (Count(104_237, Certainty.ABOUT), "\N{ALMOST EQUAL TO} 104,000"),
        (Count(10_000, Certainty.AT_LEAST), "10,000+"),
        (Count.of([Count(1), Count(10_000, Certainty.AT_LEAST)]), "10,001+"),
    ],
)
def test_it_is_written_with_what_is_known(jobs: Count, text: str) -> None:
    assert count(jobs) == text
