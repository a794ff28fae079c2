"""Whether the audit log tells how every job came to be what it is, and its archives are whole.

Each job's moves are played through ``TRANSITIONS`` and must lead to its row. Sequences have gaps
(what is rolled back takes its ids along), so that is how far the completeness of the table can be
known. A job that was pruned has no row any more; what is left of its entries must end.
"""

from dataclasses import dataclass, field

from jobs.models import AuditEntry
from jobs.selectors.audit_archives import read_archives, unknown_files
from jobs.selectors.job_histories import History, histories, vanished


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that does not fit."""

    #: ``job`` or ``archive``.
    kind: str
    #: The job's id, or the archive's name.
    subject: str
    problem: str


@dataclass(kw_only=True)
class AuditReport:
    """What was looked at, and what does not fit."""

    jobs: int = 0
    entries: int = 0
    archives: int = 0
    archived_entries: int = 0
    findings: list[Finding] = field(default_factory=list)
    #: Files among the archives that no row names. Nothing is missing because of them.
    unknown_files: list[str] = field(default_factory=list)


def check_audit() -> AuditReport:
    """Check the audit log of every job, and every archive. It reads all: minutes for millions."""
    report = AuditReport(entries=AuditEntry.objects.count())
    incomplete: dict[str, History] = {}
    for history in histories():
        report.jobs += 1
        if history.is_complete:
            report.findings += _of_job(history)
        else:
            incomplete[history.id] = history
    read = read_archives(incomplete.keys())
    report.archives, report.archived_entries = read.archives, read.entries
    report.findings += [
        Finding(kind="archive", subject=name, problem=problem) for name, problem in read.problems
    ]
    for id_, history in incomplete.items():
        report.findings += _of_job(history.with_archived(read.histories.get(id_, [])))
    report.findings += [
        Finding(kind="job", subject=id_, problem=f"it has no row, and its last move is {action}")
        for id_, action in vanished()
    ]
    report.unknown_files = unknown_files()
    return report


def _of_job(history: History) -> list[Finding]:
    return [
        Finding(kind="job", subject=history.id, problem=problem) for problem in history.problems()
    ]
