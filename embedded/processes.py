"""Starting, recognising and ending server processes that outlive the command that started them.

A server is started through a shell that exits at once, so it is never our child: no zombie is left
for a command that runs for days, and Ctrl-C in the terminal does not reach it.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from embedded.accounts import Account

#: How often a condition is looked at again, in seconds: cold starts are counted in hundredths.
POLL = 0.02


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until `condition()` holds; false when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL)
    return True


def start(argv: Sequence[str], log: Path, account: Account | None = None) -> int:
    """Start `argv` apart from this process, with its output appended to `log`; answer its pid."""
    with log.open("ab") as output:
        done = _run(["/bin/sh", "-c", '"$@" >&2 & echo $!', "sh", *argv], output, account)
    return int(done.stdout)


def run(argv: Sequence[str], account: Account | None = None) -> subprocess.CompletedProcess[str]:
    """Run `argv` to its end; its output and errors are together in `stdout`."""
    return _run(argv, subprocess.STDOUT, account)


def _run(
    argv: Sequence[str], stderr: IO[bytes] | int, account: Account | None
) -> subprocess.CompletedProcess[str]:
    switch = account if os.geteuid() == 0 else None
    return subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        # The other account may be unable to enter our directory.
        cwd="/",
        env=clean_environment(),
        start_new_session=True,
        check=False,
        text=True,
        user=None if switch is None else switch.uid,
        group=None if switch is None else switch.gid,
        extra_groups=None if switch is None else [],
    )


def clean_environment() -> dict[str, str]:
    """What a server needs of our environment: PGPORT and its like must not reach it."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return {"PATH": os.defpath, **kept, "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def is_running(pid: int) -> bool:
    """Whether `pid` runs. A zombie does not: where process 1 reaps nothing, it stays for ever."""
    try:
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat").read_text()
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    except OSError:
        # Gone between the two lines, or a system without /proc.
        return not Path("/proc/self").exists()
    return status.rpartition(")")[2].split()[0] not in {"Z", "X"}


def read_pid(path: Path) -> int | None:
    """The process id in the first line of `path`; nothing when there is none."""
    try:
        return int(path.read_text().split(maxsplit=1)[0])
    except (OSError, ValueError, IndexError):
        return None


def command_line(pid: int) -> str:
    """The command line of `pid`; empty when it is gone. It tells a server from a reused pid."""
    import psutil  # a few hundredths of a second that the ordinary start does not pay

    try:
        return "\0".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return ""


def those(matches: Callable[[str, str], bool]) -> Iterator[int]:
    """The running processes for whose command line and working directory `matches` is true."""
    import psutil

    for process in psutil.process_iter():
        try:
            directory = process.cwd() or ""
            if process.pid != os.getpid() and matches("\0".join(process.cmdline()), directory):
                yield process.pid
        except psutil.Error:
            continue


def end(pid: int, steps: Sequence[tuple[signal.Signals, float]]) -> None:
    """Send each signal in turn, until `pid` is gone within that step's seconds."""
    for number, seconds in steps:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        if wait_until(lambda: not is_running(pid), seconds):
            return


def tail(log: Path, offset: int = 0, lines: int = 15) -> str:
    """The last lines written to `log` after `offset`, indented for a message."""
    try:
        with log.open("rb") as file:
            file.seek(offset)
            text = file.read().decode(errors="replace")
    except OSError:
        return "  (no log)"
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:]) or "  (the log is empty)"
