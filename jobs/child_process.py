"""One process that the supervisor keeps: how it is started, told dead, and killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from jobs.forked_process import Fork, ForkedProcess

#: Seconds before a dead child is started again: doubled from the first to the longest.
FIRST_BACKOFF, LONGEST_BACKOFF = 0.2, 5.0
#: A child that lived for this many seconds had started well.
SETTLED_AFTER = 10.0
#: Set in a child's environment.
SUPERVISED = "JOBS_SUPERVISED"

# Becomes the child. Done in a program of its own, because Python code between fork and exec
# can hang. If the supervisor died before the kernel was told, there is nobody to work for.
_SHIM = """
import os, sys
if sys.platform == "linux":
    import ctypes, signal
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
if os.getppid() != int(sys.argv[1]):
    sys.exit(143)
try:
    os.execvp(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.exit(f"cannot run {sys.argv[2]}: {error.strerror}")
"""


@dataclass(frozen=True)
class Child:
    """A process to keep: what to run and how to treat it (see `jobs.supervisor`)."""

    name: str
    argv: Sequence[str] = ()
    env: Mapping[str, str] | None = None
    grace: float = 10.0
    log: Path | None = None
    restart: bool = True
    is_ready: Callable[[], bool] | None = None
    ready_within: float = 60.0
    #: Called in a fork of the supervisor, which must have no threads, instead of `argv`.
    run: Callable[[], object] | None = None

    def __post_init__(self) -> None:
        if bool(self.argv) == (self.run is not None):
            raise ValueError(f"{self.name}: expected either argv or run.")


def hold_nothing() -> None:
    """Nothing is open that a fork must not have."""


class KeptChild:
    """One child, and what is known of it just now."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.process: subprocess.Popen[bytes] | ForkedProcess | None = None
        self.log: IO[bytes] | None = None
        self.started_at = 0.0
        self.backoff = FIRST_BACKOFF
        self.start_at: float | None = 0.0
        self.kill_at: float | None = None
        self.unready = False

    def start(
        self, *, piped: bool, let_go: Callable[[], None] = hold_nothing
    ) -> subprocess.Popen[bytes] | ForkedProcess:
        """Start it; `let_go` closes what the caller has open, in a fork."""
        if self.child.log is not None and self.log is None:
            self.child.log.parent.mkdir(parents=True, exist_ok=True)
            self.log = self.child.log.open("ab", buffering=0)
        self.start_at, self.started_at = None, time.monotonic()
        self.unready = self.child.is_ready is not None
        env = {SUPERVISED: "1", **(self.child.env or {})}
        if self.child.run is not None:
            title = f"[jobs: {self.child.name}]"
            fork = Fork(run=self.child.run, title=title, env=env, let_go=let_go)
            self.process = ForkedProcess(fork, output=self.log, piped=piped)
        else:
            self.process = self._program(env, piped=piped)
        return self.process

    def _program(self, env: Mapping[str, str], *, piped: bool) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _SHIM, str(os.getpid()), *self.child.argv],
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if piped else self.log,
            stderr=subprocess.STDOUT if piped or self.log is not None else None,
            # Ctrl-C in the terminal reaches us alone, and a kill reaches all it started.
            process_group=0,
        )

    def reap(self) -> int | None:
        """The exit code, once: of a child that has ended since. What it leaves behind is killed."""
        process = self.process
        if process is None:
            return None
        # Looked at before it is reaped: until then nobody else can have got its group's number.
        look = os.WEXITED | os.WNOHANG | os.WNOWAIT
        if hasattr(os, "waitid"):
            if os.waitid(os.P_PID, process.pid, look) is None:
                return None
        elif process.poll() is None:  # macOS before Python 3.13
            return None
        self.kill()
        self.process = None
        return process.wait()

    def kill(self) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def plan_restart(self) -> float:
        """Set the time of the next start; answers in how many seconds."""
        now = time.monotonic()
        if now - self.started_at >= SETTLED_AFTER:
            self.backoff = FIRST_BACKOFF
        wait, self.backoff = self.backoff, min(self.backoff * 2, LONGEST_BACKOFF)
        self.start_at = now + wait
        return wait


def describe(code: int) -> str:
    """An exit code of `Popen` in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
