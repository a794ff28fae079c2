"""A run's evidence in small: what one job left behind, and what was planned for it."""

from collections import Counter
from typing import Any

from tests.chaos.evidence import AttemptRow, Entry, Evidence, JobRecord
from tests.chaos.journal import Intent
from tests.chaos.plan import PlannedJob

KEY = 7


def planned(**differences: Any) -> dict[int, PlannedJob]:
    """Return a plan of one job."""
    return {KEY: PlannedJob(**{"key": KEY, **differences})}


def entries(*moves: str, since: float = 100.0) -> list[Entry]:
    """Return audit entries of these moves, a second apart."""
    return [Entry(since + place, f"job.{move}", "somebody", {}) for place, move in enumerate(moves)]


def attempt(number: int, outcome: str, **differences: Any) -> AttemptRow:
    """Return an attempt that ran from second 101 to second 102, in process 1."""
    row = {"pid": 1, "started": 101.0, "ended": 102.0, "error_type": "", **differences}
    return AttemptRow(number=number, outcome=outcome, **row)


def job(**differences: Any) -> JobRecord:
    """Return a job that was enqueued, claimed once, and succeeded."""
    whole: dict[str, Any] = {
        "id": "a",
        "task": "chaos.effect",
        "queue": "email",
        "state": "succeeded",
        "tenant": "acme",
        "attempt": 1,
        "failures": 0,
        "crashes": 0,
        "result": KEY,
        "key": KEY,
        "entries": entries("enqueued", "claimed", "succeeded"),
        "attempts": [attempt(1, "succeeded")],
        "effects": [1],
        "letters": [],
        "results": ["SUCCESS"],
    }
    return JobRecord(**{**whole, **differences})


def evidence(*jobs: JobRecord, outcome: str = "committed", **differences: Any) -> Evidence:
    """Return what these jobs left, with the transaction of the job ``a``."""
    intents = [Intent(unit=1, jobs={"a": KEY}, keys=[KEY], outcome=outcome)]
    counted = dict(Counter(attempt.outcome for one in jobs for attempt in one.attempts))
    whole = {"counted": counted, **differences}
    return Evidence(jobs={one.id: one for one in jobs}, intents=intents, **whole)


def crashed_once(**differences: Any) -> JobRecord:
    """Return a job whose first attempt crashed after its work, and whose second succeeded."""
    return job(
        **{
            "attempt": 2,
            "crashes": 1,
            "entries": entries("enqueued", "claimed", "crashed", "claimed", "succeeded"),
            "attempts": [attempt(1, "crashed"), attempt(2, "succeeded", started=103, ended=104)],
            "effects": [1, 2],
            **differences,
        }
    )
