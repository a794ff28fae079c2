"""Who begins, and with what."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import Mock

import pytest

from benchmarks import grown
from benchmarks.measures import Bench, Sizes, by_turns
from benchmarks.results import Results
from benchmarks.systems import OURS

SIZES = Sizes(jobs=1, pickups=1, deadline=1.0)


def test_each_begins_once() -> None:
    assert [by_turns("abc", repeat) for repeat in range(4)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["a", "b", "c"],
    ]
    assert by_turns([], 2) == []


@pytest.mark.parametrize("keeps_rows", [False, True])
def test_a_measurement_begins_with_an_empty_redis_and_a_checkpoint(
    keeps_rows: bool, tmp_path: Path
) -> None:
    servers = Mock(data=tmp_path)
    bench = Bench(OURS, Path("python"), servers, 7)
    bench.keeps_rows = keeps_rows
    bench.begin()
    servers.empty_redis.assert_called_once_with(7)
    # A fresh database is made with one.
    assert servers.create.called is not keeps_rows
    assert servers.checkpoint.called is keeps_rows


def test_numbers_of_finished_jobs_take_turns_and_stand_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def measurements(bench: Bench, *_: object) -> Iterator[object]:
        yield lambda: {"drain": 1.0}

    began: list[str] = []

    def attempt(where: str, work: grown.Measure, _: Results) -> dict[str, float]:
        began.append(where)
        # The first one of all fails.
        return {} if where == "1/2 behind 1 thousand jobs" else work()

    monkeypatch.setattr(Bench, "measurements", measurements)
    monkeypatch.setattr(grown, "_filled", lambda _bench, number, _sizes: {"rows": number})
    monkeypatch.setattr(grown, "_look", lambda *_: {})
    monkeypatch.setattr(grown, "_prune", lambda *_: {"prune": 1.0})
    results = Results(
        began=datetime.now(UTC), command="", machine="", servers="", load_before=0.0,
        repeats=2, jobs=1, pickups=1,
    )  # fmt: skip
    grown.measure(Mock(), SIZES, results, [1_000, 2_000], {"drain"}, attempt)
    turns = [where for where in began if "/2" in where]
    assert turns[::2] == [
        "1/2 behind 1 thousand jobs",
        "1/2 behind 2 thousand jobs",
        "2/2 behind 2 thousand jobs",
        "2/2 behind 1 thousand jobs",
    ]
    assert list(results.grown) == ["1 thousand", "2 thousand"]
    assert results.grown["2 thousand"] == {"drain": [1.0, 1.0], "prune": [1.0]}
