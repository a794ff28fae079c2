"""Scores as anybody would compute them by hand: client by client, in plain Python.

It is written from the rules alone, on purpose without anything of :mod:`compliance.scoring`.
"""

from dataclasses import dataclass
from datetime import date, timedelta

from compliance.models import Client, ClientDocument


@dataclass(frozen=True)
class Expected:
    """What a score should say."""

    score: int
    risk: str
    missing: int
    expiring: int
    overdue: int


def expected_figures(client: Client, day: date) -> Expected:
    """Return what ``client`` should have on ``day``."""
    missing = expiring = overdue = 0
    for document in client.documents.all():
        if document.status in {"pending_review", "rejected"}:
            missing += 1
        if expires_soon(document, day):
            expiring += 1
    for filing in client.filings.all():
        if filing.status in {"draft", "prepared"} and filing.due_on < day:
            overdue += 1
    score = max(0, 100 - 5 * (missing + expiring + overdue))
    risk = "low" if score >= 80 else "medium" if score >= 50 else "high"
    return Expected(score, risk, missing, expiring, overdue)


def expires_soon(document: ClientDocument, day: date) -> bool:
    """Whether the latest version has expired, or does within 30 days of ``day``."""
    versions = sorted(document.versions.all(), key=lambda version: version.number)
    if not versions or versions[-1].expires_on is None:
        return False
    return versions[-1].expires_on <= day + timedelta(days=30)
