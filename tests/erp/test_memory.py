"""A worker carries what it works with, and nothing that only other processes need."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

#: What a worker has in memory before it forks.
_LOADED = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "erp.settings"
import django
django.setup()
from jobs.management.commands import worker
print(*sorted(sys.modules))
"""


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """The names of the modules that a worker loads."""
    done = subprocess.run(
        [sys.executable, "-c", _LOADED], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("needless", ["rich", "holidays", "weasyprint", "openpyxl", "flower"])
def test_it_is_not_loaded(loaded: set[str], needless: str) -> None:
    assert needless not in loaded


def test_structlog_is_whole(loaded: set[str]) -> None:
    assert {"structlog", "structlog.dev"} <= loaded
