"""The suite's hosts: one ``manage.py worker`` each, with all the processes that it started."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from tests.chaos.plan import QUEUES

ROOT = Path(__file__).resolve().parents[2]
#: Jobs at a time of each kind of pool.
CONCURRENCY = 2
#: Marks every process of a run in its environment, so that none is left behind.
MARK = "CHAOS_RUN"


class Host:
    """A worker group that can be killed, frozen, stopped and started again."""

    def __init__(self, name: str, environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.release = "1"
        self._environment = dict(environment)
        self._log = log
        self.process: subprocess.Popen[bytes] | None = None
        #: Somebody has stopped it on purpose, and starts it again.
        self.down = True

    def start(self) -> None:
        """Start it, with the release it has."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "worker", *QUEUES, "--concurrency", str(CONCURRENCY)],
                cwd=ROOT,
                env={
                    **self._environment,
                    "CHAOS_NAME": f"chaos-{self.name}",
                    "CHAOS_RELEASE": self.release,
                    "SPT_NOENV": "1",  # a process's new title leaves its environment readable
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.down = False

    @property
    def running(self) -> bool:
        """Whether the command that started everything lives."""
        return self.process is not None and self.process.poll() is None

    @property
    def ready(self) -> bool:
        """Whether its pool of processes is complete: the threads are sooner ready."""
        return len(self.children()) >= CONCURRENCY

    def family(self) -> list[psutil.Process]:
        """Return its processes, the first one first."""
        if self.process is None or not self.running:
            return []
        try:
            first = psutil.Process(self.process.pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def keeper(self) -> psutil.Process | None:
        """Return the keeper, if it runs just now."""
        return next((one for one in self._below() if _title(one) == "[jobs: keeper]"), None)

    def pool(self, kind: str) -> list[psutil.Process]:
        """Return the Celery worker with this kind of pool, and the pool's processes."""
        for worker in self._below():
            if _title(worker).startswith(f"[celeryd: {kind}-"):
                with suppress(psutil.NoSuchProcess):
                    # Celery names its own; what else it starts is not the pool's.
                    forks = [one for one in worker.children() if "[celeryd:" in _title(one)]
                    return [worker, *forks]
        return []

    def children(self) -> list[psutil.Process]:
        """Return the processes of the prefork pool."""
        return self.pool("prefork")[1:]

    def _below(self) -> list[psutil.Process]:
        pid = self.process.pid if self.process is not None else 0
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(pid).children() if self.running else []
        return []


def _title(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline()).strip()
    return ""


def signal_all(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    """Send a signal to those that still live."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def marked(run: str) -> list[psutil.Process]:
    """Return every process of this run, wherever it hangs by now."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if (
                process.pid != os.getpid()
                and process.status() != psutil.STATUS_ZOMBIE
                and process.environ().get(MARK) == run
            ):
                found.append(process)
    return found


def end_all(run: str) -> int:
    """Kill every process of this run; returns how many were left."""
    count = 0
    while left := marked(run):
        count += len(left)
        signal_all(left, signal.SIGKILL)
        psutil.wait_procs(left, timeout=5)
    return count
