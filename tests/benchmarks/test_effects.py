"""What measured tasks leave behind, and the rate that is read from it."""

import os
from pathlib import Path

import pytest

from benchmarks import effects
from benchmarks.effects import Effect, rate


def at(instants: list[float], pid: int = 1) -> list[Effect]:
    """Return effects of one process."""
    return [Effect(instant, number, pid) for number, instant in enumerate(instants)]


def test_what_is_noted_is_read_with_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "effects"
    monkeypatch.setenv(effects.VARIABLE, str(path))
    assert effects.count(path) == 0
    effects.note(7)
    effects.note(8)
    assert effects.count(path) == 2
    assert [(one.number, one.pid) for one in effects.read(path)] == [
        (7, os.getpid()),
        (8, os.getpid()),
    ]


def test_nothing_is_noted_outside_a_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(effects.VARIABLE, raising=False)
    effects.note(1)


def test_the_first_job_starts_the_clock_and_does_not_count() -> None:
    assert rate(at([10.0, 10.5, 11.0]), ended=12.0) == 1.0


def test_the_clock_starts_when_the_last_process_is_at_work() -> None:
    ran = sorted(at([0.0, 1.0, 2.0, 2.5, 3.5], pid=1) + at([2.0, 3.0, 4.0], pid=2))
    assert rate(ran, ended=4.0) == 5 / 2.0


def test_a_process_that_comes_when_half_is_done_is_not_waited_for() -> None:
    ran = sorted(at([0.0, 1.0, 2.0, 3.0, 4.0], pid=1) + at([3.9], pid=2))
    assert rate(ran, ended=4.0) == 5 / 4.0


@pytest.mark.parametrize("ran", [[], at([1.0])])
def test_too_few_jobs_have_no_rate(ran: list[Effect]) -> None:
    assert rate(ran, ended=2.0) == 0.0
