"""Everything that is known about one job."""

import uuid
from dataclasses import dataclass

from jobs.models import Attempt, AuditEntry, DeadLetter, Job, Worker
from jobs.selectors.limits import gate_in_words

#: Jobs of the same request that are listed.
RELATIVES = 20


@dataclass(frozen=True, kw_only=True)
class TimedAttempt:
    """An attempt and what it took."""

    attempt: Attempt
    #: Seconds it ran.
    seconds: float
    #: Host and process that ran it, as far as they are known.
    worker: str


@dataclass(frozen=True, kw_only=True)
class JobDetail:
    """One job with its history and its relatives."""

    job: Job
    attempts: list[TimedAttempt]
    #: Oldest first.
    audit: list[AuditEntry]
    dead_letter: DeadLetter | None
    replay_of: Job | None
    replays: list[Job]
    #: The job that enqueued it, if a job did.
    parent: Job | None
    #: Others with its correlation id, newest first, at most :data:`RELATIVES`.
    same_correlation: list[Job]
    #: Host and process that run it now, or ran it last.
    worker: str
    #: The limits it passes when it is claimed, and the one it waits for now (or empty), in words.
    gates: list[str]
    waits_at: str


def get_job(job_id: uuid.UUID | str) -> Job:
    """Return the job; raises ``Job.DoesNotExist``, also for what is no id at all."""
    try:
        key = job_id if isinstance(job_id, uuid.UUID) else uuid.UUID(job_id)
    except ValueError:
        raise Job.DoesNotExist(f"{job_id!r} is no job id") from None
    return Job.objects.get(id=key)


def job_detail(job_id: uuid.UUID | str) -> JobDetail:
    """Return the job with its history; raises ``Job.DoesNotExist``."""
    job = get_job(job_id)
    attempts = list(job.attempts.order_by("number"))
    wanted = {item.worker for item in attempts if item.worker} | {job.worker or uuid.UUID(int=0)}
    hosts = {row.id: row.host for row in Worker.objects.filter(id__in=wanted).only("id", "host")}
    relatives = Job.objects.none()
    if job.correlation_id:
        relatives = Job.objects.filter(Job.correlated_with(job.correlation_id)).exclude(id=job.id)
    return JobDetail(
        job=job,
        attempts=[
            TimedAttempt(
                attempt=item,
                seconds=(item.finished_at - item.started_at).total_seconds(),
                worker=_place(hosts, item.worker, item.pid),
            )
            for item in attempts
        ],
        audit=list(
            AuditEntry.objects.filter(subject_type="job", subject_id=str(job.id)).order_by("id")
        ),
        dead_letter=DeadLetter.objects.filter(job=job).first(),
        replay_of=Job.objects.filter(id=job.replay_of_id).first() if job.replay_of_id else None,
        replays=list(Job.objects.filter(replay_of=job.id).order_by("id")),
        parent=_parent(job),
        same_correlation=list(relatives.defer("secrets", "result").order_by("-id")[:RELATIVES]),
        worker=_place(hosts, job.worker, job.pid),
        gates=[gate_in_words(gate) for gate in job.gates or ()],
        waits_at=gate_in_words(job.gate) if job.parked else "",
    )


def _parent(job: Job) -> Job | None:
    kind, _, key = job.enqueued_by.partition(":")
    if kind != "job":
        return None
    try:
        return get_job(key)
    except Job.DoesNotExist:
        return None


def _place(hosts: dict[uuid.UUID, str], worker: uuid.UUID | None, pid: int | None) -> str:
    host = hosts.get(worker, "") if worker else ""
    return f"{host}:{pid}" if host and pid else host or (f"pid {pid}" if pid else "")
