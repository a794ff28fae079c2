"""Data directories and other commands for the tests of the embedded servers."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import pytest

import embedded
from embedded import processes

CHECKOUT = Path(__file__).resolve().parents[2]

#: A command that uses the servers until its input ends, as `manage.py` commands do until they end.
COMMAND = """
import sys, pathlib, embedded
env = {}
embedded.ensure(pathlib.Path(sys.argv[1]), env, fsync=False, announce=lambda line: None)
print("ready", flush=True)
sys.stdin.read()
"""


class OtherCommand:
    """Another command of the same checkout."""

    def __init__(self, data: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, str(data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=CHECKOUT,
            text=True,
        )

    def wait_ready(self) -> "OtherCommand":
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"
        return self

    def end(self) -> None:
        self.process.communicate(timeout=30)

    def __enter__(self) -> "OtherCommand":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def other_command(data: Path) -> Iterator[Callable[[], OtherCommand]]:
    started: list[OtherCommand] = []

    def start() -> OtherCommand:
        started.append(OtherCommand(data))
        return started[-1]

    yield start
    for command in started:
        command.process.kill()
        command.process.communicate()


def new_data_directory() -> Path:
    # Not pytest's tmp_path: that is closed to the account which runs root's PostgreSQL.
    parent = Path(tempfile.mkdtemp(prefix="erp-test-", dir="/tmp"))
    parent.chmod(0o755)
    return parent / ".data"


def remove_data_directory(data: Path) -> None:
    embedded.stop_all(embedded.servers(data))
    embedded.Places(data).remove()
    shutil.rmtree(data.parent)


@pytest.fixture
def data() -> Iterator[Path]:
    """A data directory that does not exist yet."""
    directory = new_data_directory()
    yield directory
    remove_data_directory(directory)


@pytest.fixture(scope="module")
def shared_data() -> Iterator[Path]:
    """A data directory whose servers run while the module's tests do."""
    directory = new_data_directory()
    lease = embedded.ensure(directory, {}, announce=lambda _line: None)
    assert lease is not None
    yield directory
    lease.release()
    remove_data_directory(directory)


def pids(data: Path) -> list[int | None]:
    return [server.pid() for server in embedded.servers(data)]


def all_stop(data: Path) -> bool:
    return processes.wait_until(lambda: pids(data) == [None, None, None], 10)
