"""Soft time limits: a body is interrupted in a worker's process, and only there."""

import time

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from jobs.time_limits import soft_time_limit


def busy(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_a_body_that_takes_too_long_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_WORKER_ID", "w")
    began = time.monotonic()
    with pytest.raises(SoftTimeLimitExceeded), soft_time_limit(0.05):
        busy(5)
    assert time.monotonic() - began < 2
    busy(0.1)  # the timer is off again


def test_a_body_in_time_is_not_disturbed_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_WORKER_ID", "w")
    with soft_time_limit(0.05):
        pass
    busy(0.1)


def test_outside_of_a_worker_nobody_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOBS_WORKER_ID", raising=False)
    with soft_time_limit(0.01):
        busy(0.05)


def test_of_a_limit_within_another_the_sooner_counts_and_the_outer_one_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JOBS_WORKER_ID", "w")
    began = time.monotonic()

    def limited_and_busy() -> None:
        with soft_time_limit(5):
            pass
        busy(5)

    with pytest.raises(SoftTimeLimitExceeded), soft_time_limit(0.1):
        limited_and_busy()
    with pytest.raises(SoftTimeLimitExceeded), soft_time_limit(0.1), soft_time_limit(5):
        busy(5)
    with pytest.raises(SoftTimeLimitExceeded), soft_time_limit(5), soft_time_limit(0.1):
        busy(5)
    assert time.monotonic() - began < 3
    busy(0.1)
