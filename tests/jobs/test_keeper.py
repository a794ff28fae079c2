"""The keeper knows which Celery processes are its own, though who started them has died."""

import subprocess
import sys
from uuid import uuid4

import pytest

from jobs.keeper import Keeper


@pytest.mark.parametrize("ours", [True, False])
def test_a_worker_that_was_started_just_before_the_supervisor_died_is_found(ours: bool) -> None:
    worker = uuid4()
    node = f"prefork-{(worker if ours else uuid4()).hex[:8]}@host"
    argv = [sys.executable, "-c", "input()", "--hostname", node]
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as process:
        keeper = Keeper([worker], supervisor=-1)
        keeper._look_for_orphans()
        assert keeper._is_ours(process.pid) is ours
