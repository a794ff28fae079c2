"""Programs are run with a deadline, and none is left behind."""

import sys
import time
from pathlib import Path

import psutil
import pytest

from benchmarks import programs
from benchmarks.errors import Failed

PYTHON = Path(sys.executable)


def test_the_last_line_is_the_answer() -> None:
    script = "print('a word'); print('{\"seconds\": 1.5}')"
    assert programs.ask(PYTHON, ("-c", script, "verb"), {}, 30) == {"seconds": 1.5}


def test_a_program_that_fails_tells_its_last_words() -> None:
    with pytest.raises(Failed, match="enqueue: ValueError: no such queue"):
        programs.ask(PYTHON, ("-c", "raise ValueError('no such queue')", "enqueue"), {}, 30)


def test_a_program_that_takes_too_long_is_ended() -> None:
    with pytest.raises(Failed, match="drain: not done after 0 s"):
        programs.ask(PYTHON, ("-c", "import time; time.sleep(60)", "drain"), {}, 0.3)


def test_workers_and_their_children_end_with_the_block(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys, time;"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print('up', flush=True); time.sleep(60)"
    )
    log = tmp_path / "log"
    with programs.Workers(PYTHON, [("-c", script)], {}, log) as workers:
        while not log.read_text():
            workers.check()
        family = workers.family()
        assert len(family) == 2
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]


def test_a_worker_that_ends_by_itself_is_a_failure(tmp_path: Path) -> None:
    command = ("-c", "exit('no database')")
    deadline = time.monotonic() + 30

    def wait() -> None:
        while time.monotonic() < deadline:
            workers.check()

    with (
        pytest.raises(Failed, match=r"a worker ended \(1\): no database"),
        programs.Workers(PYTHON, [command], {}, tmp_path / "log") as workers,
    ):
        wait()
