"""What the benchmarks' commands are given is read, or refused with the option and what it expects."""

import sys
from collections.abc import Callable

import pytest

from benchmarks import __main__ as command
from benchmarks import crowd, grown, outage, report, schedules
from benchmarks.systems import SYSTEMS

NO_COUNTS = ("x", "", "0", "-1", "1.5", "inf", "nan")
NO_SECONDS = ("x", "", "0", "-1", "inf", "nan")


def refuse(main: Callable[[], None], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """Have the command refuse its arguments."""
    monkeypatch.setattr(sys, "argv", ["command", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("main", "option", "values", "expected"),
    [
        (command.main, "--jobs", NO_COUNTS, "a whole number from 1"),
        (command.main, "--pickups", NO_COUNTS, "a whole number from 1"),
        (command.main, "--repeat", NO_COUNTS, "a whole number from 1"),
        (command.main, "--deadline", NO_SECONDS, "a number of seconds above 0"),
        (command.main, "--rows", ("inf", "10x", "10kmkm", "nan", ""), "1000 rows or more"),
        (command.main, "--rows", ("1k,2k,3k,4k,5k,6k",), "5 different numbers at most, not 6"),
        (command.main, "--systems", ("", ","), "some of: celery,"),
        (command.main, "--only", ("", ","), "some of: bulk,"),
        (crowd.main, "--workers", (*NO_COUNTS, "10,x"), "a whole number from 1"),
        (crowd.main, "--durations", ("x", "", "-1", "inf", "1,nan"), "a number of seconds from 0"),
        (crowd.main, "--claim", NO_COUNTS, "a whole number from 1"),
        (crowd.main, "--pooler", NO_COUNTS, "a whole number from 1"),
        (crowd.main, "--repeat", NO_COUNTS, "a whole number from 1"),
        (outage.main, "--calls", NO_COUNTS, "a whole number from 1"),
        (outage.main, "--rounds", NO_COUNTS, "a whole number from 1"),
        (schedules.main, "--looks", NO_COUNTS, "a whole number from 1"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_the_name_of_its_option(
    main: Callable[[], None],
    option: str,
    values: tuple[str, ...],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for value in values:
        refuse(main, monkeypatch, f"{option}={value}")
        said = capsys.readouterr().err
        assert f"argument {option}: expected {expected}" in said, value


def test_one_call_alone_has_no_quantiles(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse(outage.main, monkeypatch, "--calls", "1", "--rounds", "1")
    assert "--calls or --rounds must be 2 or more" in capsys.readouterr().err


def test_what_is_not_given_depends_on_quick_and_what_is_given_wins() -> None:
    usual, quick = command._options([]), command._options(["--quick"])
    assert (usual.jobs, usual.pickups, usual.repeat) == (2_000, 200, report.REPEATS)
    assert (quick.jobs, quick.pickups, quick.repeat) == (200, 20, 1)
    mixed = command._options(["--quick", "--jobs", "50", "--repeat", "2"])
    assert (mixed.jobs, mixed.pickups, mixed.repeat) == (50, 20, 2)


def test_numbers_of_rows_are_read_once_each_the_least_first() -> None:
    assert grown.rows("1m,10k, 1000k") == [10_000, 1_000_000]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["--quick"], "not with --quick"),
        (["--systems", "ours,rq"], "not with --systems without celery, celery-results,"),
        (["--only", "bulk,drain"], "not with --only without enqueue, pickup, memory"),
        (["--repeat", "2"], "not with --repeat below 3"),
    ],
)
def test_what_leaves_too_little_for_the_page_is_refused_at_once(
    given: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command._options([*given, "--rows", "10k,1m", "--write"])
    assert ended.value.code == 2
    assert f"argument --write: {why}" in capsys.readouterr().err


def test_more_systems_than_usual_may_be_written() -> None:
    systems = ",".join(SYSTEMS)
    assert command._options(["--systems", systems, "--rows", "10k,1m", "--write"]).write


def test_the_page_tells_of_every_option() -> None:
    page = command.PAGE.read_text()
    options = {one for one in command._parser().format_usage().split("[") if one.startswith("--")}
    names = {one.split()[0].rstrip("]") for one in options}
    assert {"--home", "--from", "--rows"} <= names
    assert [name for name in sorted(names) if f"| `{name}" not in page] == []
