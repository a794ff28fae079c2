"""The memory of workers: the sum of their processes' PSS, in which shared pages count once."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

_PSS = re.compile(r"^Pss:\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Megabytes (of 1000 * 1000 bytes)."""

    total: float
    #: The part of the process beside the worker, when there is one (our keeper).
    keeper: float


def measure(family: Iterable[psutil.Process]) -> Memory:
    """Add up the processes that still live."""
    total = keeper = 0.0
    for process in family:
        try:
            size = pss(Path(f"/proc/{process.pid}/smaps_rollup").read_text())
            command = process.cmdline()
        except (OSError, psutil.Error):
            continue
        total += size
        keeper += size if "[jobs: keeper]" in " ".join(command) else 0.0
    return Memory(total=total, keeper=keeper)


def pss(rollup: str) -> float:
    """Return the megabytes that a ``smaps_rollup`` tells of."""
    found = _PSS.search(rollup)
    return int(found[1]) * 1024 / 1e6 if found else 0.0
