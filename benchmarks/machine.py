"""On what it was measured: ratios of one run are all that counts, but one wants to know."""

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import psutil

_VERSIONS = """
import importlib.metadata, platform, sys
print("Python", platform.python_version(), *(
    f", {name} {importlib.metadata.version(name)}" for name in sys.argv[1:]), sep=" ")
"""


def description() -> str:
    """Return the processor, its cores, and the memory."""
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"{platform.system()} {platform.release()}"
    )


def load() -> float:
    """Return how many processes wanted to run on average in the last minute."""
    return os.getloadavg()[0]


def versions(python: Path, packages: Sequence[str]) -> str:
    """Return the versions of Python and of these packages in an environment."""
    done = subprocess.run(
        [python, "-c", _VERSIONS, *packages], capture_output=True, text=True, check=False
    )
    return done.stdout.strip().replace(" , ", ", ") or "unknown"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.machine()
