"""What the enqueuing processes say they did: one JSON line each, in a file that outlives them.

A transaction is announced before its commit (``intent``), and its end told after it. The one that a
kill or a restart left open is resolved by who finds it: all of its jobs are there, or none.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(kw_only=True)
class Intent:
    """One try of a transaction: the jobs it would enqueue, and what became of it."""

    unit: int
    #: Job id -> key, of those that are known before the commit.
    jobs: dict[str, int]
    #: Of all, those that a workflow starts later, too.
    keys: list[int]
    #: ``committed``, ``rolled back``, or nothing yet.
    outcome: str = ""
    #: When its end was told (seconds since the epoch), and how long it took.
    at: float = 0.0
    seconds: float = 0.0


@dataclass
class Journal:
    """The file of one enqueuing process, and of those that took its place."""

    path: Path
    _intents: list[Intent] = field(default_factory=list)

    def intent(self, unit: int, jobs: dict[str, int], keys: list[int]) -> None:
        """Announce a try."""
        self._write({"unit": unit, "jobs": jobs, "keys": keys})

    def ready(self) -> None:
        """Tell that this process takes transactions."""
        self._write({"ready": os.getpid()})

    def ready_process(self) -> int:
        """Return the process that told so last."""
        text = self.path.read_text() if self.path.exists() else ""
        ready = [line for line in text.splitlines() if line.startswith('{"ready"')]
        return int(json.loads(ready[-1])["ready"]) if ready else 0

    def outcome(self, unit: int, outcome: str, *, at: float, seconds: float = 0.0) -> None:
        """Tell how the last announced try ended."""
        self._write({"unit": unit, "outcome": outcome, "at": at, "seconds": seconds})

    def _write(self, told: dict[str, object]) -> None:
        # One call of the kernel: a kill leaves the line whole, or leaves none.
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, (json.dumps(told) + "\n").encode())
        finally:
            os.close(descriptor)

    def read(self) -> list[Intent]:
        """Return all tries, the oldest first."""
        intents: list[Intent] = []
        if not self.path.exists():
            return intents
        for line in self.path.read_text().splitlines():
            told = json.loads(line)
            if "jobs" in told:
                intents.append(Intent(**told))
            elif "unit" in told and intents and intents[-1].unit == told["unit"]:
                last = intents[-1]
                last.outcome, last.at, last.seconds = (
                    told["outcome"],
                    told["at"],
                    told["seconds"],
                )
        return intents
