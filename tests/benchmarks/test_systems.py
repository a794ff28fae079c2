"""What is measured can be: modules, pins, configurations."""

import importlib.util
import re
from pathlib import Path

import pytest

from benchmarks.environments import PINS, interpreter
from benchmarks.errors import Unavailable
from benchmarks.systems import SYSTEMS, System

PEERS = [system for system in SYSTEMS.values() if system.requirements]


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=lambda system: system.name)
def test_a_system_has_its_module(system: System) -> None:
    assert importlib.util.find_spec(f"benchmarks.peers.{system.module}") is not None


@pytest.mark.parametrize("system", PEERS, ids=lambda system: system.name)
def test_a_peer_has_its_versions_pinned_without_addresses(system: System) -> None:
    lines = (PINS / f"{system.requirements}.txt").read_text().splitlines()
    pinned = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[\w.]+", line) for line in pinned)
    names = {line.partition("==")[0] for line in pinned}
    assert set(system.packages) <= names


def test_a_python_that_is_nowhere_makes_a_peer_unavailable(
    tmp_path: Path,
) -> None:
    with pytest.raises(Unavailable, match=r"needs Python 9\.0 or newer"):
        interpreter("oban", (9, 0), tmp_path)
