"""The command without its servers: what is kept, and when the page is renewed."""

import json
import shutil
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import servers
from benchmarks.errors import Failed
from benchmarks.measures import Sizes
from benchmarks.results import Results

OLD = "<!-- measured -->\nold\n<!-- /measured -->\n"

Measuring = Callable[[Namespace, Sizes, object, Results], None]


def all_is_measured(_options: Namespace, _sizes: Sizes, _running: object, results: Results) -> None:
    """Find figures of all that a page needs."""
    results.configurations = dict.fromkeys(command.USUAL, "2 processes")
    names = ("enqueue", "bulk", "drain", "pickup_p50", "memory")
    results.values = {"ours": {name: [1.0, 2.0, 3.0] for name in names}}


class _Servers:
    def __init__(self, data: Path) -> None:
        self.data = data

    def version(self) -> str:
        return "PostgreSQL 18"


@contextmanager
def _running(home: Path) -> Iterator[_Servers]:
    yield _Servers(home)


class Command:
    """The command in a place of its own."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place = place
        self.page = place / "page.md"
        self.page.write_text(OLD)
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(command, "ROOT", place)
        monkeypatch.setattr(command, "PAGE", self.page)
        monkeypatch.setattr(servers, "running", _running)

    def run(self, measuring: Measuring, *options: str) -> object:
        """Return the exit code, or the message that the command ends with."""
        self._monkeypatch.setattr(command, "_side_by_side", measuring)
        self._monkeypatch.setattr(sys, "argv", ["bench", "--home", str(self.place), *options])
        with pytest.raises(SystemExit) as ended:
            command.main()
        return ended.value.code

    def kept(self) -> Path:
        """Return the one file of figures."""
        (file,) = self.place.glob("*.json")
        return file


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return the command, with a page and a place of its own."""
    return Command(tmp_path, monkeypatch)


def test_the_page_is_renewed_when_all_was_measured(bench: Command) -> None:
    assert bench.run(all_is_measured, "--write") == 0
    assert "Measured on" in bench.page.read_text()


def test_an_interrupted_run_keeps_its_figures_and_the_page(
    bench: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(options: Namespace, sizes: Sizes, running: object, results: Results) -> None:
        all_is_measured(options, sizes, running, results)
        raise KeyboardInterrupt

    assert bench.run(interrupted, "--write") == 1
    assert bench.page.read_text() == OLD
    found = json.loads(bench.kept().read_text())
    assert found["values"]["ours"]["drain"] == [1.0, 2.0, 3.0]
    assert found["failures"] == ["the run was interrupted"]
    why = f"page.md stays as it was: the run was interrupted. The figures are in {bench.kept()}"
    assert why in capsys.readouterr().err


def test_figures_are_kept_when_the_run_breaks_off(bench: Command) -> None:
    def broken(options: Namespace, sizes: Sizes, running: object, results: Results) -> None:
        all_is_measured(options, sizes, running, results)
        raise OSError("no space\nleft")

    with pytest.raises(OSError, match="no space"):
        bench.run(broken, "--write")
    assert bench.page.read_text() == OLD
    kept = Results.read(bench.kept())
    assert kept.values["ours"]["drain"] == [1.0, 2.0, 3.0]
    assert kept.failures == ["the run broke off: OSError: no space left"]


def test_no_growth_no_page_when_the_page_shows_growth(
    bench: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.page.write_text(OLD.replace("old", "### With finished jobs behind it"))
    assert bench.run(all_is_measured, "--write") == 2
    assert "argument --write: needs --rows" in capsys.readouterr().err


def test_the_disk_is_looked_at_before_anything_is_measured(
    bench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Namespace(free=37_000_000_000))
    said = str(bench.run(measured, "--rows", "10k,1m,10m"))
    assert said == (
        "--rows: 11010000 jobs need 38.0 GB of disk, 5.0 GB to spare included, and 37.0 GB are free"
    )
    assert not list(bench.place.glob("*.json"))


def test_kept_figures_are_shown_again_and_renew_the_page(
    bench: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.run(all_is_measured)
    shown = capsys.readouterr().out
    file = str(bench.kept())
    assert bench.run(all_is_measured, "--from", file) == 0
    assert capsys.readouterr().out == shown
    assert bench.page.read_text() == OLD
    assert bench.run(all_is_measured, "--from", file, "--write") == 0
    assert shown.strip() in bench.page.read_text()
    bench.kept()  # nothing was kept anew


def test_kept_figures_of_a_part_do_not_renew_the_page(
    bench: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.run(lambda *_: None)
    assert bench.run(all_is_measured, "--from", str(bench.kept()), "--write") == 1
    assert bench.page.read_text() == OLD
    assert "stays as it was: not measured: ours, celery" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "No such file or directory"),
        ("{", "Invalid JSON"),
        ('{"command": "x", "machine": 3}', "began: Field required; machine: Input should be"),
    ],
)
def test_what_a_kept_file_lacks_is_told(
    text: str | None, why: str, bench: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    file = bench.place / "kept.json"
    if text is not None:
        file.write_text(text)
    assert bench.run(all_is_measured, "--from", str(file)) == 2
    said = capsys.readouterr().err
    assert f"argument --from: {file}: " in said
    assert why in said


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Failed("drain: late"), "1/3 celery: drain: late"),
        (KeyError("seconds"), "1/3 celery: KeyError: 'seconds'"),
        (ValueError("two\n\tlines"), "1/3 celery: ValueError: two lines"),
    ],
)
def test_a_measurement_may_fail_in_any_way_and_the_others_go_on(
    error: Exception, told: str
) -> None:
    def work() -> dict[str, float]:
        raise error

    results = Results(
        began=datetime.now(UTC), command="", machine="", servers="", load_before=0.0,
        repeats=3, jobs=1, pickups=1,
    )  # fmt: skip
    assert command.attempt("1/3 celery", work, results) == {}
    assert results.failures == [told]


def test_an_interruption_is_no_failure_of_a_measurement() -> None:
    def work() -> dict[str, float]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        command.attempt("1/3 celery", work, None)  # type: ignore[arg-type]
