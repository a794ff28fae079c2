"""The whole command, on servers of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.programs import ROOT

pytestmark = pytest.mark.processes


def test_a_small_run_measures_keeps_its_figures_and_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--systems", "ours,postgresql"]
    done = subprocess.run(
        [*command, "--rows", "1k", "--only", "bulk", "--home", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "### Side by side" in done.stdout
    (kept,) = tmp_path.glob("*.json")
    found = json.loads(kept.read_text())
    assert found["values"]["ours"]["bulk"][0] > 0
    assert found["values"]["postgresql"]["bulk"][0] > 0
    assert found["grown"]["1 thousand"]["prune"][0] > 0
    assert not (tmp_path / "data").exists()


def test_an_unknown_system_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--systems", "sidekiq"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "unknown: sidekiq" in done.stderr
