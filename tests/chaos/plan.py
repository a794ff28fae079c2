"""What a run is made of: steps, each with its transactions, their jobs, and a fault.

A step hands its transactions to the enqueuing processes and begins its fault a moment later, so
that the fault meets work.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

#: Queue -> its share of the single jobs. The first two run in threads, the others in processes;
#: notifications have the jobs that are enqueued in bulk, all short, so that they go in chunks.
QUEUES = {"email": 0.4, "notifications": 0.0, "pdf": 0.35, "inventory": 0.25}
_EFFECTS = {"chaos.effect", "chaos.atomic_effect", "chaos.narrow_effect"}


@dataclass(frozen=True, kw_only=True)
class PlannedJob:
    """One job to enqueue, and by that how it must end."""

    key: int
    task: str = "chaos.effect"
    queue: str = "email"
    tenant: str = ""
    priority: int = 2
    sleep_ms: int = 0
    fail_times: int = 0
    permanent: bool = False
    #: Seconds before it is due.
    delay: float = 0.0
    #: Its row loses an argument that the task needs: the payload of an older release.
    old_shape: bool = False

    @property
    def reasons(self) -> frozenset[str]:
        """Why it may be dead in the end; nothing: it must have succeeded."""
        if self.permanent or self.old_shape:
            return frozenset({"permanent"})
        if self.task == "chaos.hopeless":
            return frozenset({"exhausted", "crashed"})
        if self.task == "chaos.poison":
            return frozenset({"crashed"})
        return frozenset()

    @property
    def atomic(self) -> bool:
        """Whether its effect happens exactly once."""
        return self.task in {"chaos.atomic_effect", "chaos.bulk_effect"}

    def arguments(self) -> dict[str, Any]:
        """Return what its task is called with."""
        told: dict[str, Any] = {"key": self.key}
        if self.task != "chaos.poison":
            told["sleep_ms"] = self.sleep_ms
        if self.task in _EFFECTS:
            told |= {"fail_times": self.fail_times, "permanent": self.permanent}
        return told


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One transaction: its jobs, and how it ends."""

    number: int
    jobs: list[PlannedJob]
    rolls_back: bool = False
    #: The process dies between the commit and the publishing.
    dies: bool = False
    #: All at once: jobs of one task, queue and tenant.
    bulk: bool = False
    #: A ``chain`` of the jobs, or a ``chord`` whose body is the last one.
    flow: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return what the enqueuing process is told."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> "Unit":
        """Read what :meth:`as_json` wrote."""
        return cls(**{**told, "jobs": [PlannedJob(**job) for job in told["jobs"]]})


@dataclass(frozen=True, kw_only=True)
class Step:
    """Some transactions, and the fault that meets them."""

    number: int
    fault: str
    #: Of the fault's own choices.
    seed: str
    #: Seconds between the transactions' handing over and the fault.
    pause: float
    #: All is calm before and after it: what it measures is the fault's alone.
    alone: bool
    units: list[Unit] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All of a run."""

    seed: int
    steps: list[Step]

    def jobs(self) -> dict[int, PlannedJob]:
        """Return the jobs that will be committed, by their keys."""
        units = [unit for step in self.steps for unit in step.units if not unit.rolls_back]
        return {job.key: job for unit in units for job in unit.jobs}

    def flows(self) -> list[Unit]:
        """Return the workflows that will be started."""
        return [unit for step in self.steps for unit in step.units if unit.flow]
