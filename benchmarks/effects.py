"""What a measured task leaves behind: when it ran, which job it was, in which process.

The tasks of all systems do this and nothing else, so all are measured by it alike, those too that
keep no record of their own. A record is 16 bytes, written by one system call (about a microsecond).
Only the standard library is used here: it runs inside the peers' environments.
"""

import os
import struct
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

#: Names the file that tasks write to. Without it they do nothing at all.
VARIABLE = "BENCH_EFFECTS"

_RECORD = struct.Struct("<dii")
_files: dict[str, int] = {}


class Effect(NamedTuple):
    """One run of a task. The instant is in seconds since the epoch."""

    instant: float
    number: int
    pid: int


def note(number: int) -> None:
    """Write down that job ``number`` runs now; this is the body of every measured task."""
    path = os.environ.get(VARIABLE)
    if path is None:
        return
    file = _files.get(path)
    if file is None:
        # Whole records that are appended do not mix, whoever writes them.
        file = _files[path] = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(file, _RECORD.pack(time.time(), number, os.getpid()))


def count(path: Path) -> int:
    """Return how many records there are, without reading them."""
    return path.stat().st_size // _RECORD.size if path.exists() else 0


def read(path: Path) -> list[Effect]:
    """Return all records, the earliest first."""
    return sorted(Effect(*fields) for fields in _RECORD.iter_unpack(path.read_bytes()))


def rate(effects: Sequence[Effect], ended: float) -> float:
    """Return jobs per second, from the instant all processes were at work until ``ended``.

    Processes do not start at the same instant, and how long they take to start is not measured:
    the clock begins when the last of them runs its first job, and the jobs after that one count.
    A process that came when half of the jobs were done found too little to do to be waited for.
    """
    latest_start = len(effects) // 2
    seen: set[int] = set()
    first = 0
    for place, effect in enumerate(effects[: latest_start + 1]):
        if effect.pid not in seen:
            seen.add(effect.pid)
            first = place
    left = len(effects) - 1 - first
    seconds = ended - effects[first].instant if effects else 0.0
    return left / seconds if left > 0 and seconds > 0 else 0.0
