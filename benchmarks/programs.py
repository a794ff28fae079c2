"""Runs a system's callers and workers, each with a deadline, and leaves none of them behind."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import psutil

from benchmarks.errors import Failed

ROOT = Path(__file__).resolve().parent.parent
#: Seconds that workers may take to stop before they are killed.
FAREWELL = 20


def ask(
    python: Path, arguments: Sequence[str], environment: Mapping[str, str], within: float
) -> dict[str, Any]:
    """Run a verb of :mod:`benchmarks.peers.asking`; returns its answer, raises ``Failed``."""
    with subprocess.Popen(
        [python, *arguments],
        cwd=ROOT,
        env=complete(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=within)
        except BaseException as error:
            _kill(process.pid)
            if isinstance(error, subprocess.TimeoutExpired):
                raise Failed(f"{arguments[2]}: not done after {within:.0f} s") from None
            raise
    if process.returncode:
        raise Failed(f"{arguments[2]}: {last_line(err)}")
    answer: dict[str, Any] = json.loads(out.splitlines()[-1])
    return answer


class Workers:
    """The workers of one system, from ``with`` to its end; their output goes to ``log``."""

    def __init__(
        self,
        python: Path,
        commands: Sequence[Sequence[str]],
        environment: Mapping[str, str],
        log: Path,
    ) -> None:
        self._argv = [[str(python), *command] for command in commands]
        self._environment = complete(environment)
        self._log = log
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Workers":
        """Start them."""
        try:
            with self._log.open("wb") as output:
                for argv in self._argv:
                    self._started.append(self._start(argv, output))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop them, gently first."""
        family = self.family()
        for process in self._started:
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + FAREWELL
        for process in self._started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        for process in self._started:
            process.wait()

    def family(self) -> list[psutil.Process]:
        """Return all of their processes, with the children of children."""
        found = []
        for process in self._started:
            with contextlib.suppress(psutil.NoSuchProcess):
                parent = psutil.Process(process.pid)
                found += [parent, *parent.children(recursive=True)]
        return found

    def check(self) -> None:
        """Raise ``Failed``, with what it said, when one has ended by itself."""
        for process in self._started:
            if process.poll() is not None:
                said = last_line(self._log.read_text(errors="replace"))
                raise Failed(f"a worker ended ({process.returncode}): {said}")

    def _start(self, argv: Sequence[str], output: IO[bytes]) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            argv,
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def last_line(text: str) -> str:
    """Return the last line that says something, shortened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


def complete(environment: Mapping[str, str]) -> dict[str, str]:
    """Return a whole environment: ours without the product's variables, and these."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DJANGO_", "JOBS_", "CELERY_", "BENCH_"))
    }
    return kept | {"LOG_LEVEL": "WARNING", "PYTHONPATH": str(ROOT)} | dict(environment)


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
