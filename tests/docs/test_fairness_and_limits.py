"""What docs/explanation/fairness-and-limits.md works out is what the engine does."""

import pytest

from jobs import transitions
from jobs.tasks import probe
from tests.docs.page_code import DOCS

pytestmark = pytest.mark.django_db

PAGE = DOCS / "explanation" / "fairness-and-limits.md"


def enqueue(*labels: str) -> None:
    for label in labels:
        probe.using(queue="reports", tenant=label[0]).enqueue(label=label)


def claimed(number: int) -> str:
    line = transitions.claim_next("reports", number, worker=None, tasks=["jobs.probe"])
    return " ".join(job.payload["label"] for job in line.claimed)


def test_the_turns_of_two_tenants_and_of_one_who_comes_later_are_those_of_the_page() -> None:
    text = PAGE.read_text()
    enqueue("A1", "A2", "A3", "A4", "A5", "B1", "B2")
    first = claimed(3)
    enqueue("C1")
    rest = claimed(10)
    assert f"they run as {first} B2 A3 A4 A5" in text
    assert f"goes on as {rest}" in text
