"""What becomes of a job whose body raised."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import Cancelled, Discard, PermanentError, RetryLater
from jobs.queues import QUEUES, Backoff
from jobs.records import Claimed, Settlement
from jobs.retry import settlement_of, wait
from jobs.states import Move

BACKOFF = Backoff(base=timedelta(seconds=10), cap=timedelta(minutes=10))


def claimed(failures: int = 0, crashes: int = 0, max_attempts: int = 5) -> Claimed:
    return Claimed(
        id=uuid4(),
        task="jobs.probe",
        queue="email",
        payload_json="{}",
        secrets=None,
        tenant="",
        correlation_id="",
        attempt=failures + crashes + 1,
        failures=failures,
        crashes=crashes,
        max_attempts=max_attempts,
        timeout=60,
        lease=uuid4(),
        waited=0.0,
        gates=None,
        root_id=None,
        group_id=None,
        group_index=None,
        canvas=None,
    )


def settlement(error: Exception, job: Claimed | None = None, **more: Any) -> Settlement:
    return settlement_of(job or claimed(), error, BACKOFF, **more)


def raised(error: Exception) -> Exception:
    """Give the error a traceback."""

    def body() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        body()
    return caught.value


# --- how long it waits ---------------------------------------------------------------------------


@given(st.integers(1, 10_000))
def test_a_wait_lies_between_half_and_all_of_the_doubled_base_up_to_the_cap(retry: int) -> None:
    longest = min(600.0, 10.0 * 2 ** (min(retry, 100) - 1))
    assert longest / 2 <= wait(BACKOFF, retry) <= longest


def test_waits_grow_until_the_cap_and_differ_from_each_other() -> None:
    waits = [max(wait(BACKOFF, retry) for _ in range(200)) for retry in range(1, 7)]
    assert all(later > earlier for earlier, later in itertools.pairwise(waits))
    assert len({wait(BACKOFF, 3) for _ in range(20)}) == 20
    assert max(wait(BACKOFF, 30) for _ in range(200)) <= 600


def test_all_waits_shrink_by_the_setting_for_demonstrations(conf: Callable[..., None]) -> None:
    conf(BACKOFF_SCALE=0.01)
    assert 0.05 <= wait(BACKOFF, 1) <= 0.1


@pytest.mark.parametrize("name", QUEUES)
def test_every_queue_s_waits_are_within_an_hour(name: str) -> None:
    assert 0 < wait(QUEUES[name].backoff, 1) <= wait(QUEUES[name].backoff, 50) * 2 <= 7_200


# --- what each error means -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        ValueError("broken"),
        KeyError("missing"),
        TimeoutError(),
        SoftTimeLimitExceeded(),
        RecursionError("deep"),
        ExceptionGroup("several", [ValueError("one"), OSError("two")]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_any_other_error_is_retried_at_the_cost_of_an_attempt(error: Exception) -> None:
    told = settlement(raised(error))
    assert (told.move, told.failures, told.crashes) == (Move.RETRIED, 1, 0)
    assert told.error_type == type(error).__name__
    assert 5 <= told.delay <= 10
    assert "Traceback (most recent call last)" in told.traceback or "+ Exception" in told.traceback


def test_the_last_attempt_ends_in_a_dead_letter_whether_failures_or_crashes_used_the_others() -> (
    None
):
    for failures, crashes in ((4, 0), (2, 2), (9, 9)):
        told = settlement(ValueError("broken"), claimed(failures, crashes))
        assert (told.move, told.reason, told.failures) == (Move.DIED, "exhausted", 1)
    assert settlement(ValueError("broken"), claimed(3)).move == Move.RETRIED
    assert settlement(ValueError("broken"), claimed(max_attempts=1)).move == Move.DIED


def test_a_permanent_error_is_dead_at_the_first_attempt() -> None:
    class NoSuchInvoice(PermanentError):
        """There is no such invoice."""

    told = settlement(raised(NoSuchInvoice()))
    assert (told.move, told.reason, told.failures) == (Move.DIED, "permanent", 1)
    assert (told.error_type, told.error) == ("NoSuchInvoice", "There is no such invoice.")
    assert told.traceback


def test_retry_later_names_its_time_and_costs_nothing_even_at_the_last_attempt() -> None:
    at = datetime(2031, 1, 1, 9, tzinfo=UTC)
    for error, delay, run_at in (
        (RetryLater("busy", after=timedelta(minutes=2)), 120.0, None),
        (RetryLater("now", after=timedelta(0)), 0.0, None),
    ):
        told = settlement(error, claimed(failures=4))
        assert (told.move, told.failures, told.delay, told.run_at) == (
            Move.SNOOZED,
            0,
            delay,
            run_at,
        )
        assert told.traceback == ""
    dated = settlement(RetryLater("closed", at=at), claimed(failures=4))
    assert (dated.move, dated.failures, dated.run_at) == (Move.SNOOZED, 0, at.isoformat())


@pytest.mark.parametrize(
    ("field", "value"),
    [("after", 60), ("after", "1m"), ("at", "2027-01-01"), ("at", datetime(2027, 1, 1))],
)
def test_retry_later_refuses_what_is_no_time_by_name(field: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"RetryLater: {field}: expected"):
        RetryLater("later", **{field: value})


def test_retry_later_without_a_time_waits_like_a_first_retry() -> None:
    told = settlement(RetryLater("busy"), claimed(failures=3))
    assert (told.move, told.failures) == (Move.SNOOZED, 0)
    assert 5 <= told.delay <= 10


def test_discard_and_cancelled_end_the_job_without_a_dead_letter() -> None:
    told = settlement(Discard("the order was withdrawn"))
    assert (told.move, told.error, told.failures) == (Move.DISCARDED, "the order was withdrawn", 0)
    told = settlement(Cancelled())
    assert (told.move, told.failures, told.reason) == (Move.CANCELLED, 0, "")


# --- what is kept of it --------------------------------------------------------------------------


def test_secrets_are_masked_in_the_text_and_the_traceback_causes_included() -> None:
    secret = "hunter22-secret"
    error = ValueError(f"cannot log in with {secret}")
    error.__cause__ = OSError(f"refused: {secret}")
    told = settlement(raised(error), secrets=[secret, ""])
    assert told.error == "cannot log in with **********"
    assert "refused: **********" in told.traceback
    assert secret not in told.traceback


def test_a_secret_at_the_edge_of_what_is_kept_is_not_kept_in_half() -> None:
    told = settlement(ValueError("x" * 3_990 + "hunter22-secret"), secrets=["hunter22-secret"])
    assert told.error == "x" * 3_990 + "**********"


def test_long_texts_are_cut_the_end_of_a_traceback_is_kept() -> None:
    told = settlement(raised(ValueError("y" * 50_000 + "the end")))
    assert len(told.error) == 4_000
    assert len(told.traceback) == 20_000
    assert told.traceback.rstrip().endswith("the end")


def test_what_postgresql_cannot_keep_is_replaced() -> None:
    told = settlement(raised(ValueError("a\x00b \ud800 c")))
    assert told.error == "a\N{REPLACEMENT CHARACTER}b ? c"
    (told.error + told.traceback).encode()
    assert "\x00" not in told.traceback


def test_an_error_that_cannot_be_told_is_settled_all_the_same() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    class Wrong(Exception):
        def __str__(self) -> Any:
            return 5

    for error in (Mute(), Wrong()):
        told = settlement(raised(error))
        assert (told.move, told.error) == (Move.RETRIED, "(its text cannot be told)")


def test_the_name_of_an_error_fits_its_column() -> None:
    endless = type("E" * 300, (Exception,), {})
    assert settlement(endless()).error_type == "E" * 200
