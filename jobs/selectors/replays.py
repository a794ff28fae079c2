"""Replays of many dead letters, and how far they are."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from jobs.models import Job, ReplayBatch
from jobs.selectors.dead_letters import DeadLetterFilter

#: States in which it still goes on.
OPEN = (ReplayBatch.State.CANARY, ReplayBatch.State.RUNNING)


@dataclass(frozen=True, kw_only=True)
class ReplayView:
    """One replay of many, as an operator sees it."""

    batch: ReplayBatch
    #: (what was asked for, value), in the order of the filter.
    chosen: list[tuple[str, str]]
    #: The job that goes first, if there is one and it is still kept.
    first: Job | None

    @property
    def is_open(self) -> bool:
        """Whether it still goes on."""
        return self.batch.state in OPEN

    @property
    def progress(self) -> dict[str, Any]:
        """How many letters it has dealt with, as a job tells its progress."""
        done = self.batch.replayed + self.batch.refused
        return {"done": done, "total": self.batch.total}


def list_replays(limit: int = 50) -> list[ReplayView]:
    """Return the latest replays, the latest first."""
    return [_view(batch) for batch in ReplayBatch.objects.order_by("-id")[:limit]]


def get_replay(replay_id: int) -> ReplayView:
    """Return the replay; raises ``ReplayBatch.DoesNotExist``."""
    try:
        return _view(ReplayBatch.objects.get(id=replay_id))
    except ReplayBatch.DoesNotExist:
        raise ReplayBatch.DoesNotExist(f"There is no replay {replay_id}.") from None


def _view(batch: ReplayBatch) -> ReplayView:
    first = Job.objects.filter(id=batch.canary_id).first() if batch.canary_id else None
    return ReplayView(batch=batch, chosen=_chosen(batch), first=first)


def _chosen(batch: ReplayBatch) -> list[tuple[str, str]]:
    wanted = DeadLetterFilter.of_json(batch.filters)
    found = [(name, getattr(wanted, name)) for name in ("queue", "task", "tenant", "reason")] + [
        ("error", wanted.error_type),
        ("died since", _to_the_second(wanted.died_after)),
    ]
    # When it began is an end that nobody asked for.
    if wanted.died_before and batch.created_at - wanted.died_before > timedelta(seconds=1):
        found.append(("died before", _to_the_second(wanted.died_before)))
    if wanted.ids:
        found.append(("selected", str(len(wanted.ids))))
    return [(name, value) for name, value in found if value] or [("all", "that waited")]


def _to_the_second(at: datetime | None) -> str:
    return at.isoformat(sep=" ", timespec="seconds") if at else ""
