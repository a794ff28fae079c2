"""The keeper knows which Celery processes are its own, though who started them has died."""

import subprocess
import sys
from uuid import uuid4

import pytest

from jobs.keeper import Keeper


@pytest.mark.parametrize(
    ("title", "ours"),
    [
        ("[celeryd: prefork-{ours}@host:MainProcess] -active-", True),
        ("[celeryd: prefork-{other}@host:MainProcess] -active-", False),
        ("grep prefork-{ours}@host", False),
    ],
)
def test_a_worker_that_was_started_just_before_the_supervisor_died_is_found(
    title: str, ours: bool
) -> None:
    worker = uuid4()
    named = title.format(ours=worker.hex[:8], other=uuid4().hex[:8])
    argv = [named, "-c", "input()"]
    with subprocess.Popen(argv, executable=sys.executable, stdin=subprocess.PIPE) as process:
        keeper = Keeper([worker], supervisor=-1)
        keeper._look_for_orphans()
        assert keeper._is_ours(process.pid) is ours
