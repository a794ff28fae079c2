"""What one run has found, and where it is kept."""

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from benchmarks.figures import Values


@dataclass(kw_only=True)
class Results:
    """One run of the benchmark. Everything in it is plain, to be kept as JSON."""

    #: Aware.
    began: datetime
    command: str
    machine: str
    servers: str
    #: Processes that wanted to run, on average of the minute before it began, and at its end.
    load_before: float
    load_after: float = 0.0
    repeats: int
    jobs: int
    pickups: int
    #: By system: how it was set up, and the versions of what it is made of.
    configurations: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    #: Systems that could not be had, and why.
    skipped: dict[str, str] = field(default_factory=dict)
    #: Measurements that did not work out: ``system: what``.
    failures: list[str] = field(default_factory=list)
    values: Values = field(default_factory=dict)
    #: Ours, by how many finished jobs were there.
    grown: Values = field(default_factory=dict)

    def keep(self, folder: Path) -> Path:
        """Write all figures to a file named for the date; returns it."""
        path = folder / f"{self.began:%Y-%m-%d-%H%M%S}.json"
        path.write_text(json.dumps(asdict(self), indent=1, default=str) + "\n")
        return path

    @classmethod
    def read(cls, path: Path) -> "Results":
        """Return a run that was kept; raises ``ValueError`` saying what the file lacks."""
        try:
            return TypeAdapter(cls).validate_json(path.read_bytes())
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror}") from None
        except ValidationError as error:
            faults = (
                f"{'.'.join(map(str, one['loc']))}: {one['msg']}".removeprefix(": ")
                for one in error.errors()
            )
            raise ValueError(f"{path}: {'; '.join(faults)}") from None
