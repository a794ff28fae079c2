"""Several commands of one checkout share the servers; whoever ends last stops them.

Every command holds a shared lock on `run/users.lock` while it lives. Starting and stopping happen
under a second lock, `run/mutex.lock`. A command that ends tries to make its shared lock exclusive:
that works exactly when nobody else holds one, and then it stops the servers. The kernel takes the
locks of a killed command back, so nothing is forgotten: servers that nobody stopped are found
running by the next command, used, and stopped at its end.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from embedded.errors import BusyError
from embedded.processes import POLL

#: Longer than the slowest start or stop: who holds the mutex for longer is stuck.
MUTEX_PATIENCE = 90.0


def _open(path: Path) -> int:
    # Close-on-exec (Python's default): a child process must not keep the lock alive.
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(descriptor: int, path: Path) -> bool:
    """Whether `path` is the file we opened: it may have been deleted while we waited."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def mutex(run: Path, patience: float = MUTEX_PATIENCE) -> Iterator[None]:
    """Only one command at a time starts or stops servers."""
    path = run / "mutex.lock"
    deadline = time.monotonic() + patience
    descriptor = _open(path)
    try:
        while not (_try_lock(descriptor, fcntl.LOCK_EX) and _is_still(descriptor, path)):
            if time.monotonic() > deadline:
                raise BusyError(
                    f"Another command ({holders(path) or 'unknown'}) has been starting or stopping "
                    f"the embedded servers for {patience:.0f} s. End it, then try again."
                )
            if not _is_still(descriptor, path):
                os.close(descriptor)
                descriptor = _open(path)
            time.sleep(POLL)
        yield
    finally:
        os.close(descriptor)


class Membership:
    """This process's share in the servers. `join` and `leave` are called under the mutex."""

    def __init__(self, run: Path) -> None:
        """Describe it; nothing is held before `join`."""
        self.path = run / "users.lock"
        self._descriptor: int | None = None

    def join(self) -> bool:
        """Become a user; answers whether nobody else is one."""
        self._descriptor = _open(self.path)
        alone = _try_lock(self._descriptor, fcntl.LOCK_EX)
        # From exclusive to shared cannot fail; under the mutex nobody slips in between.
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)
        return alone

    def is_last(self) -> bool:
        """Whether nobody else uses the servers, or the data directory was deleted meanwhile."""
        if self._descriptor is None or not _is_still(self._descriptor, self.path):
            return False
        return _try_lock(self._descriptor, fcntl.LOCK_EX)

    def leave(self) -> None:
        """Stop being a user."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None


def holders(path: Path) -> list[int]:
    """The process ids that hold a lock on `path`, where the system tells (Linux)."""
    try:
        status, table = path.stat(), Path("/proc/locks").read_text()
    except OSError:
        return []
    wanted = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    lines = (line.split() for line in table.splitlines() if "->" not in line)
    return sorted({int(parts[4]) for parts in lines if parts[5] == wanted})
