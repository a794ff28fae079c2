"""Runs of schedules by hand as JSON, and what a dry run tells."""

from datetime import date
from typing import Any

from jobs.dry_run import Told
from jobs.representation.jobs import EnqueuedRow
from jobs.representation.rows import Row
from jobs.schedules.by_hand import Run, Trial


class RunRow(Row):
    """A run by hand."""

    schedule: str
    #: The local day it is for; null: its task takes none.
    day: date | None
    arguments: dict[str, Any]
    job: EnqueuedRow

    @classmethod
    def of(cls, run: Run) -> "RunRow":
        """Represent a run."""
        return cls(
            schedule=run.schedule,
            day=run.day,
            arguments=run.arguments,
            job=EnqueuedRow.of(run.job),
        )


class ToldRow(Row):
    """Something that would happen."""

    #: ``notice``, or the name of a task.
    what: str
    #: How often.
    count: int
    tenant: str
    #: Who would get it: an address, a user name; empty: nobody in particular.
    to: str
    #: What it would say; of a task its arguments, and its ``result`` or ``error``.
    detail: dict[str, Any]

    @classmethod
    def of(cls, told: Told) -> "ToldRow":
        """Represent something that would happen."""
        return cls.model_validate(told)


class TrialRow(Row):
    """What a run would do."""

    schedule: str
    day: date | None
    arguments: dict[str, Any]
    told: list[ToldRow]

    @classmethod
    def of(cls, trial: Trial) -> "TrialRow":
        """Represent a dry run."""
        return cls(
            schedule=trial.schedule,
            day=trial.day,
            arguments=trial.arguments,
            told=[ToldRow.of(told) for told in trial.told],
        )
