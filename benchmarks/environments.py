"""An environment for each peer: its pinned packages from PyPI, apart from the project's.

They are made on first use in ``.data/bench/venv-<name>`` and kept, until their pins change. What
cannot be had raises :class:`~benchmarks.errors.Unavailable`, and is left out of the run.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.errors import Unavailable

#: Seconds that making an environment may take.
PATIENCE = 300
PINS = Path(__file__).parent / "peers"

_VERSION = "import sys; print(*sys.version_info[:2])"


def interpreter(requirements: str | None, oldest: tuple[int, int], home: Path) -> Path:
    """Return the Python to run a system with; its environment is made when it is missing."""
    if requirements is None:
        return Path(sys.executable)
    pins = PINS / f"{requirements}.txt"
    place = home / f"venv-{requirements}"
    stamp = place / ".installed"
    checksum = hashlib.sha256(pins.read_bytes()).hexdigest()
    python = place / "bin" / "python"
    if not (stamp.exists() and stamp.read_text() == checksum and _version(python)):
        _make(place, pins, _base(oldest))
        stamp.write_text(checksum)
    return python


def _base(oldest: tuple[int, int]) -> Path:
    """Return a Python that is new enough: the one that runs this, or else the newest found."""
    if sys.version_info[:2] >= oldest:
        return Path(sys.executable)
    found = {path: version for path in _pythons() if (version := _version(path)) >= oldest}
    if not found:
        needed = ".".join(map(str, oldest))
        raise Unavailable(f"needs Python {needed} or newer, and none was found")
    return max(found, key=lambda path: found[path])


def _pythons() -> Iterator[Path]:
    for minor in range(20, 10, -1):
        if path := shutil.which(f"python3.{minor}"):
            yield Path(path)
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from (root / "versions").glob("3.*/bin/python3")


def _version(python: Path) -> tuple[int, int]:
    """Return its version; (0, 0) when it does not run, like a shim of pyenv's without a target."""
    try:
        done = subprocess.run(
            [python, "-c", _VERSION], capture_output=True, text=True, check=True, timeout=20
        )
    except (OSError, subprocess.SubprocessError):
        return 0, 0
    major, minor = done.stdout.split()
    return int(major), int(minor)


def _make(place: Path, pins: Path, base: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    python = place / "bin" / "python"
    quick: list[list[str | Path]] = [
        ["uv", "venv", "--quiet", "--python", base, place],
        ["uv", "pip", "install", "--quiet", "--python", python, "-r", pins],
    ]
    plain: list[list[str | Path]] = [
        [base, "-m", "venv", "--clear", place],
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", pins],
    ]
    # uv is quicker; where it is missing or does not work, pip does it.
    if _all_work(quick) is not None and (problem := _all_work(plain)) is not None:
        shutil.rmtree(place, ignore_errors=True)
        raise Unavailable(f"could not be installed from PyPI: {problem}")


def _all_work(commands: Sequence[Sequence[str | Path]]) -> str | None:
    """Run them in turn; returns the last line of the first that fails, None when all work."""
    for command in commands:
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=PATIENCE
            )
        except FileNotFoundError as error:
            return str(error)
        except subprocess.TimeoutExpired:
            return f"not done after {PATIENCE} s"
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["no message"])[-1]
    return None
