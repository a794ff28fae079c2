"""What a run left behind: the rows of every job, and the journals of those who enqueued them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg

from jobs.states import FINAL, Move, State
from tests.chaos.journal import Intent

Tables = psycopg.Connection[tuple[Any, ...]]

_JOBS = (
    "SELECT id::text, task, queue, state, tenant, attempt, failures, crashes, result, "
    "COALESCE((payload->>'key')::int, 0) FROM jobs_job"
)
_ENTRIES = """
    SELECT subject_id, extract(epoch FROM at)::float8, action, actor, COALESCE(detail, '{}')
    FROM jobs_auditentry WHERE subject_type = 'job' ORDER BY id
"""
_ATTEMPTS = """
    SELECT job_id::text, number, outcome, pid, extract(epoch FROM started_at)::float8,
           extract(epoch FROM finished_at)::float8, error_type
    FROM jobs_attempt ORDER BY job_id, number
"""
#: A bulk body knows neither job nor attempt, but keys.
_EFFECTS = (
    "SELECT COALESCE(job_id::text, ''), key, COALESCE(attempt, 0) FROM chaos_effect ORDER BY id"
)
#: Merged by keepers, and not merged yet.
_COUNTED = """
    SELECT outcome, sum(count)::int
    FROM (SELECT outcome, count FROM jobs_rolluptotal
          UNION ALL SELECT outcome, count FROM jobs_rollup WHERE shard <> 0) AS ever
    WHERE outcome <> '' GROUP BY outcome
"""
#: What a list of a job's record is filled from.
_LISTS = {
    "SELECT job_id::text, reason FROM jobs_deadletter": "letters",
    "SELECT task_id, status FROM django_celery_results_taskresult": "results",
}


@dataclass(frozen=True)
class Entry:
    """An entry of the audit log. ``at`` in seconds since the epoch."""

    at: float
    action: str
    actor: str
    detail: dict[str, Any]

    @property
    def move(self) -> Move | None:
        """The move that it tells of; nothing: it is about something else."""
        name = self.action.removeprefix("job.")
        return Move(name) if name in Move.values else None

    def __str__(self) -> str:
        told = " ".join(f"{name}={value}" for name, value in self.detail.items())
        return f"{self.at:.3f} {self.action} {told} by {self.actor}"


@dataclass(frozen=True)
class AttemptRow:
    """A row of ``jobs_attempt``."""

    number: int
    outcome: str
    pid: int | None
    started: float
    ended: float
    error_type: str


@dataclass
class JobRecord:
    """Everything about one job."""

    id: str
    task: str
    queue: str
    state: str
    tenant: str
    attempt: int
    failures: int
    crashes: int
    result: Any
    key: int = 0
    entries: list[Entry] = field(default_factory=list)
    attempts: list[AttemptRow] = field(default_factory=list)
    #: The attempts whose body left a row; zero: it was left by a bulk body.
    effects: list[int] = field(default_factory=list)
    #: Reasons of its dead letters, statuses in django_celery_results.
    letters: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)

    @property
    def final(self) -> bool:
        """Whether it has reached its end."""
        return State(self.state) in FINAL


@dataclass(kw_only=True)
class Evidence:
    """All of a run's."""

    jobs: dict[str, JobRecord]
    intents: list[Intent]
    #: Ids that have an effect or an audit entry, but no row.
    strays: set[str] = field(default_factory=set)
    #: How many attempts ended how, as the roll-ups say.
    counted: dict[str, int] = field(default_factory=dict)

    @classmethod
    def collect(cls, tables: Tables, intents: list[Intent]) -> "Evidence":
        """Read the tables."""
        found = cls(jobs={}, intents=intents)
        keys = {id_: key for intent in intents for id_, key in intent.jobs.items()}
        for row in tables.execute(_JOBS):
            job = JobRecord(*row)
            job.key = keys.get(job.id, job.key)
            found.jobs[job.id] = job
        for job, values in found._rows(tables, _ENTRIES):
            job.entries.append(Entry(*values))
        for job, values in found._rows(tables, _ATTEMPTS):
            job.attempts.append(AttemptRow(*values))
        ids = {key: id_ for intent in found.committed() for id_, key in intent.jobs.items()}
        for id_, key, attempt in tables.execute(_EFFECTS):
            if there := found._job(id_ or ids.get(key, "")):
                there.effects.append(attempt)
        for query, kept in _LISTS.items():
            for job, values in found._rows(tables, query):
                getattr(job, kept).append(values[0])
        found.counted = {str(outcome): count for outcome, count in tables.execute(_COUNTED)}
        return found

    def _rows(self, tables: Tables, query: str) -> Iterator[tuple[JobRecord, list[Any]]]:
        """Return the rows of a query whose first column is a job, without that column."""
        for id_, *values in tables.execute(query):
            job = self._job(id_)
            if job is not None:
                yield job, values

    def _job(self, id_: str) -> JobRecord | None:
        job = self.jobs.get(id_)
        if job is None:
            self.strays.add(id_)
        return job

    def told(self) -> str:
        """Return all of it as text, a line for each entry, attempt and effect."""
        lines = []
        for job in self.jobs.values():
            lines.append(f"{job.id} {job.task} {job.queue} {job.state} key {job.key}")
            lines += [f"{job.id} {entry}" for entry in job.entries]
            lines += [f"{job.id} {attempt}" for attempt in job.attempts]
            lines.append(f"{job.id} effects of attempts {job.effects}")
        return "\n".join(lines) + "\n"

    def committed(self) -> Iterable[Intent]:
        """Return the tries that were committed."""
        return (intent for intent in self.intents if intent.outcome == "committed")
