"""A process that is a fork of this one: it starts at once, and shares the memory of what is loaded.

`ForkedProcess` is to its supervisor what `subprocess.Popen` is for a program, and the fork begins
as a program would: in its own process group, with no signal handlers, no input, and nobody's
functions to run at exit. It ends by `os._exit`, so nothing of the supervisor's is ended or written
twice. Who forks has no threads, whose locks would stay shut in the fork, and no connections;
`random` and `uuid_utils` see to their seeds themselves.
"""

import atexit
import ctypes
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, NoReturn

from setproctitle import setproctitle

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True, kw_only=True)
class Fork:
    """What a fork does, and what it begins with."""

    run: Callable[[], object]
    title: str
    env: Mapping[str, str]
    #: Closes what the supervisor has open, in the fork.
    let_go: Callable[[], None]


class ForkedProcess:
    """A fork that runs, or has ended."""

    def __init__(self, fork: Fork, *, output: IO[bytes] | None, piped: bool) -> None:
        """Start it. Its output and errors go to `output`, or can be read from `stdout`."""
        self._code: int | None = None
        self.stdout: IO[bytes] | None = None
        supervisor, write = os.getpid(), None
        if piped:
            read, write = os.pipe()
            self.stdout = os.fdopen(read, "rb", buffering=0)
        elif output is not None:
            write = os.dup(output.fileno())
        _flush()
        # What comes for the fork is for it, and not for handlers that it has from its supervisor.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self.pid = os.fork()
            if self.pid == 0:
                _live(self, fork, supervisor, write, blocked)
            with suppress(OSError):  # it may be gone
                os.setpgid(self.pid, self.pid)  # both do: neither knows who comes first
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            if write is not None:
                os.close(write)

    def poll(self) -> int | None:
        """Return how it ended, as `Popen` does, or None while it runs."""
        return self._ended(os.WNOHANG)

    def wait(self) -> int:
        """Wait for its end, and return how it ended: negative for a signal."""
        code = self._ended(0)
        assert code is not None
        return code

    def _ended(self, options: int) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self.pid, options)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code


def _live(
    self: ForkedProcess,
    fork: Fork,
    supervisor: int,
    output: int | None,
    blocked: set[int | signal.Signals],
) -> NoReturn:
    code = 1
    try:
        if self.stdout is not None:
            self.stdout.close()
        _begin(fork, supervisor, output)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        code = _exit_code(fork.run)
        # As the interpreter does at its end.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    except BaseException:  # noqa: BLE001 - there is nobody above us
        traceback.print_exc()
    finally:
        try:
            _flush()
        finally:
            os._exit(code)


def _begin(fork: Fork, supervisor: int, output: int | None) -> None:
    """Forget the supervisor."""
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != supervisor:  # it died before the kernel was told
        os._exit(128 + signal.SIGTERM)
    fork.let_go()
    atexit._clear()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    if output is not None:
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    os.environ.update(fork.env)
    setproctitle(fork.title)


def _exit_code(run: Callable[[], object]) -> int:
    """Run it, and answer what the interpreter would."""
    try:
        run()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 0xFF
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:  # noqa: BLE001 - there is nobody above us
        traceback.print_exc()
        return 1
    return 0


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
