"""The how-to lists every fault, and every option."""

import re
from pathlib import Path

from tests.chaos.faults import FAULTS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "run-the-chaos-suite.md").read_text()


def test_every_fault_has_its_row() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(FAULTS)


def test_every_option_has_its_row() -> None:
    code = (ROOT / "tests" / "chaos" / "__main__.py").read_text()
    options = set(re.findall(r'"(--\w+)"', code))
    assert set(re.findall(r"^\| `(--\w+)", PAGE, re.MULTILINE)) == options
