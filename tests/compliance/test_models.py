"""What the database refuses, whoever writes."""

from typing import Any

import pytest
from django.db import IntegrityError

from compliance.models import ClientDocument, ClientScore, DocumentVersion, Filing, ScoreHistory

from .builders import DAY, make_client, make_document, make_filing, make_tenant

pytestmark = pytest.mark.django_db

FIGURES: dict[str, Any] = {
    "score": 75,
    "risk": "medium",
    "missing": 5,
    "expiring": 0,
    "overdue": 0,
    "as_of": DAY,
}


def test_a_status_that_is_not_known_is_refused() -> None:
    document = make_document(make_client(make_tenant()))
    with pytest.raises(IntegrityError, match="compliance_document_status_known"):
        ClientDocument.objects.filter(pk=document.pk).update(status="lost")


def test_a_filing_status_that_is_not_known_is_refused() -> None:
    filing = make_filing(make_client(make_tenant()), DAY)
    with pytest.raises(IntegrityError, match="compliance_filing_status_known"):
        Filing.objects.filter(pk=filing.pk).update(status="lost")


def test_a_version_number_is_used_once() -> None:
    document = make_document(make_client(make_tenant()), DAY)
    with pytest.raises(IntegrityError, match="compliance_version_number"):
        DocumentVersion.objects.create(document=document, number=1)


@pytest.mark.parametrize(
    ("score", "risk"), [(80, "medium"), (79, "low"), (50, "high"), (49, "medium"), (105, "low")]
)
def test_a_score_and_its_risk_cannot_disagree(score: int, risk: str) -> None:
    client = make_client(make_tenant())
    with pytest.raises(IntegrityError, match="compliance_score_fits_risk"):
        ClientScore.objects.create(client=client, **{**FIGURES, "score": score, "risk": risk})


def test_a_client_has_one_history_entry_a_day() -> None:
    client = make_client(make_tenant())
    ScoreHistory.objects.create(client=client, **FIGURES)
    with pytest.raises(IntegrityError, match="compliance_history_day"):
        ScoreHistory.objects.create(client=client, **FIGURES)
