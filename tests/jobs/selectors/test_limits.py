"""Limits as an operator sees them."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from jobs import gates, job_task, operations
from jobs.errors import UnknownLimit
from jobs.executor import take_turn
from jobs.limits import Concurrency, Rate
from jobs.models import RateCount
from jobs.selectors import gate_in_words, get_limit, list_limits, parked_by_limit
from jobs.states import State
from jobs.tasks import probe
from tests.jobs.records import ago, make_job

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def what_operators_set_is_read_anew() -> Iterator[None]:
    gates.overrides.forget()
    yield
    gates.overrides.forget()


def passed(gate: str, times: int, *, still_counts: bool = True) -> None:
    RateCount.objects.create(
        gate=gate,
        slice_at=ago(seconds=9),
        passed=times,
        expires_at=ago(hours=-1 if still_counts else 1),
    )


def test_every_limit_of_a_queue_or_a_task_is_listed_as_it_is_declared() -> None:
    @job_task(name="tests.limited", queue="pdf", limits=[Concurrency(limit=3, by="tenant")])
    def limited() -> None:
        pass

    found = {view.name: (view.in_words, view.source) for view in list_limits()}
    assert found["email/rate"] == ("100 in 60 s", "declared")
    assert found["email/rate/to"] == ("20 in 3600 s for each to", "declared")
    assert found["tests.limited/concurrency/tenant"] == (
        "3 at the same time for each tenant",
        "declared",
    )


def test_those_of_a_queue_are_its_own_and_those_of_the_tasks_declared_on_it() -> None:
    @job_task(name="tests.limited", queue="pdf", limits=[Rate(limit=1, per=timedelta(hours=1))])
    def limited() -> None:
        pass

    assert [view.name for view in list_limits(queue="pdf")] == ["tests.limited/rate"]
    assert {view.owner for view in list_limits(queue="email")} == {"email"}


def test_what_an_operator_set_is_in_force_and_says_by_whom() -> None:
    operations.set_limit("email/rate", 7, actor="user:ann")
    view = get_limit("email/rate")
    assert (view.value, view.source, view.changed_by) == (7, "operator", "user:ann")
    assert view.changed_at is not None
    assert view.declared_in_words == "100 in 60 s"
    operations.set_limit("email/rate", None, actor="user:ann")
    assert get_limit("email/rate").in_words == "no limit"


def test_what_the_settings_say_is_in_force_unless_an_operator_says_otherwise(
    conf: Callable[..., None],
) -> None:
    conf(LIMITS={"email/rate": 50})
    assert (get_limit("email/rate").value, get_limit("email/rate").source) == (50, "settings")
    operations.set_limit("email/rate", 7, actor="user:ann")
    assert get_limit("email/rate").value == 7


def test_an_unknown_limit_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UnknownLimit, match="Did you mean 'email/rate'"):
        get_limit("emial/rate")


def test_what_passed_in_the_period_is_counted_and_what_is_older_is_not() -> None:
    passed("email/rate", 30)
    assert get_limit("email/rate").used == 30
    RateCount.objects.all().delete()
    passed("email/rate", 30, still_counts=False)
    assert get_limit("email/rate").used == 0


def test_a_limit_by_a_key_tells_its_fullest_value_and_all_together() -> None:
    passed("email/rate/to=aa", 20)
    passed("email/rate/to=bb", 3)
    view = get_limit("email/rate/to")
    assert (view.used, view.used_in_all, view.keys, view.is_full) == (20, 23, 2, True)
    assert get_limit("email/rate").used == 0


def test_what_runs_counts_at_a_concurrency_limit() -> None:
    @job_task(name="tests.limited", queue="pdf", limits=[Concurrency(limit=2, by="tenant")])
    def limited() -> None:
        pass

    name = "tests.limited/concurrency/tenant"
    for tenant in ("a", "a", "b"):
        make_job(State.RUNNING, gates=[f"{name}={tenant}", "pdf/rate"])
    make_job(State.QUEUED, gates=[f"{name}=a"])
    view = get_limit(name)
    assert (view.used, view.used_in_all, view.keys, view.is_full) == (2, 3, 2, True)


def test_jobs_are_counted_where_they_wait(conf: Callable[..., None]) -> None:
    conf(LIMITS={"email/rate": 2})
    for number in range(5):
        probe.using(queue="email").enqueue(label=str(number))
    list(take_turn("email", worker=None))
    assert parked_by_limit() == {"email/rate": 3}
    view = get_limit("email/rate")
    assert (view.used, view.waiting, view.is_full) == (2, 3, True)


def test_many_gates_of_a_limit_are_one_number() -> None:
    for number in range(4):
        make_job(State.AVAILABLE, parked=True, gate=f"email/rate/to={number}")
    make_job(State.AVAILABLE, gate="email/rate/to=1")  # let through, and back in line
    assert parked_by_limit() == {"email/rate/to": 4}


def test_a_gate_is_told_in_words_without_its_key() -> None:
    assert gate_in_words("email/rate/to=aa") == "email/rate/to: 20 in 3600 s for each to"
    assert gate_in_words("tests.gone/rate") == "tests.gone/rate: no longer declared"
    unknown = f"{gates.UNKNOWN_TASK}=tests.tomorrow"
    assert gate_in_words(unknown) == "no living worker knows the task tests.tomorrow"
    operations.set_limit("email/rate/to", 5, actor="user:ann")
    assert gate_in_words("email/rate/to=aa") == "email/rate/to: 5 in 3600 s for each to"
