"""The page of figures."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.__main__ import PAGE
from benchmarks.results import Results
from benchmarks.systems import SYSTEMS


def a_run(**changes: object) -> Results:
    """Return a small run."""
    values = {
        "ours": {"enqueue": [600.0, 500.0, 550.0], "drain": [4_000.0]},
        "celery": {"enqueue": [1_800.0], "drain": [1_500.0]},
    }
    given = {
        "began": datetime(2026, 11, 22, 5, 0, tzinfo=UTC),
        "command": "python -m benchmarks",
        "machine": "A processor, 2 cores",
        "servers": "PostgreSQL 18.6",
        "load_before": 0.1,
        "repeats": 3,
        "jobs": 2_000,
        "pickups": 200,
        "values": values,
        "configurations": {"ours": "prefork 2", "celery": "prefork 2 (best of 2)"},
        **changes,
    }
    return Results(**given)  # type: ignore[arg-type]


def test_systems_stand_side_by_side_with_their_spread() -> None:
    text = report.render(a_run())
    assert "| system | enqueue /s | drain /s | durable record |" in text
    assert "| This project | 550 (500–600) | 4 000 | yes: job, attempts, audit log |" in text
    assert "| Celery, results ignored | 1 800 | 1 500 | no |" in text


def test_ours_stands_as_a_multiple_of_the_others() -> None:
    assert "| Celery, results ignored | 0.31 | 2.67 |" in report.render(a_run())


def test_the_date_the_machine_and_its_load_are_told() -> None:
    text = report.render(a_run())
    assert "Measured on 2026-11-22 by `python -m benchmarks`: median of 3 repeats" in text
    assert "A processor, 2 cores" in text
    assert "busy" not in text
    assert "The machine was busy" in report.render(a_run(load_before=2.5))


def test_promises_say_what_came_of_them() -> None:
    text = report.render(a_run())
    assert "at least 1.5 times raw Celery | 2.67 times | reached |" in text
    assert "| promise | measured (lowest–highest of single repeats) |" in text
    assert "| not measured |" in text
    slow = a_run(values={"ours": {"drain": [1.0]}, "celery": {"drain": [1.0]}})
    assert "| **not reached** |" in report.render(slow)


def test_what_is_left_with_many_rows_is_shown() -> None:
    grown = {"10 thousand": {"drain": [1_000.0]}, "1 million": {"drain": [500.0]}}
    text = report.render(a_run(grown=grown))
    assert "| drain /s | 1 000 | 500 | 0.50 |" in text
    assert "at 1 million finished jobs" in text


def test_what_was_left_out_is_told_with_its_reason() -> None:
    text = report.render(
        a_run(skipped={"oban": "needs Python 3.12 or newer"}, failures=["pgqueuer: drain: late"])
    )
    assert "- Oban for Python (open source): needs Python 3.12 or newer" in text
    assert "- pgqueuer: drain: late" in text


def a_whole_run(**changes: object) -> Results:
    """Return a run that has all that the page needs."""
    names = ("enqueue", "bulk", "drain", "pickup_p50", "memory")
    usual = [name for name, system in SYSTEMS.items() if system.usual]
    given = {
        "values": {"ours": {name: [1.0, 2.0, 3.0] for name in names}},
        "configurations": dict.fromkeys(usual, "2 processes"),
        **changes,
    }
    return a_run(**given)


def without(system: str) -> dict[str, str]:
    """Return how the other systems were set up."""
    return {name: how for name, how in a_whole_run().configurations.items() if name != system}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"failures": ["2/3 celery: drain: late"]},
        {"failures": ["oban: ended at once"], "configurations": without("oban")},
        {"skipped": {"oban": "needs Python 3.12"}, "configurations": without("oban")},
    ],
)
def test_a_peer_may_fail_or_be_left_out(changes: dict[str, object]) -> None:
    assert report.objection("", a_whole_run(**changes)) == ""


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"failures": ["the run was interrupted"]}, "the run was interrupted"),
        (
            {"failures": ["1/3 celery: late", "2/3 ours: drain: late"]},
            "2/3 ours: drain: late",
        ),
        ({"failures": ["10 million jobs: no disk"]}, "10 million jobs: no disk"),
        ({"configurations": without("pgqueuer")}, "not measured: pgqueuer"),
        ({"values": {"ours": {"bulk": [1.0]}}}, "not measured of ours: enqueue, drain, pickup"),
        ({"repeats": 2}, "fewer than 3 repeats"),
    ],
)
def test_a_part_does_not_renew_the_page(changes: dict[str, object], why: str) -> None:
    assert report.objection("", a_whole_run(**changes)).startswith(why)


def test_growth_is_not_lost_from_the_page() -> None:
    grown = {"10 thousand": {"drain": [1_000.0]}, "1 million": {"drain": [500.0]}}
    text = report.render(a_whole_run(grown=grown))
    assert report.shows_growth(text)
    assert "growth was not measured" in report.objection(text, a_whole_run())
    assert "growth" in report.objection(text, a_whole_run(grown={"10 thousand": {}}))
    assert report.objection(text, a_whole_run(grown=grown)) == ""
    assert not report.shows_growth(report.render(a_whole_run(grown={"10 thousand": {}})))


def test_only_what_stands_between_the_marks_is_renewed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n<!-- measured -->\nold\n<!-- /measured -->\n\nThe end.\n")
    report.write(page, a_run())
    text = page.read_text()
    assert text.startswith("# Title\n\n<!-- measured -->\n\nMeasured on 2026-11-22")
    assert text.endswith("<!-- /measured -->\n\nThe end.\n")
    assert "old" not in text
    report.write(page, a_run())
    assert page.read_text() == text


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="measured"):
        report.page("# Title\n", a_run())


def test_the_page_of_the_documentation_has_its_marks() -> None:
    assert "Measured on 2026-11-22" in report.page(PAGE.read_text(), a_run())


def test_the_raw_figures_are_kept(tmp_path: Path) -> None:
    path = a_run().keep(tmp_path)
    assert path.name == "2026-11-22-050000.json"
    assert '"drain"' in path.read_text()
    assert Results.read(path) == a_run()
