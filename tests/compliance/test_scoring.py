"""The statement that computes scores agrees with the plain reference, whatever the data."""

import random
from datetime import date, timedelta

import pytest

from compliance.models import Client, ClientScore, ScoreHistory
from compliance.services import refresh_scores

from .builders import (
    DAY,
    add_issues,
    figures,
    make_client,
    make_document,
    make_filing,
    make_random_clients,
    make_tenant,
)
from .reference import Expected, expected_figures

pytestmark = pytest.mark.django_db

RISKS = ["low", "medium", "high"]


def scored(client: Client, day: date = DAY) -> Expected:
    refresh_scores(as_of=day)
    return figures(ClientScore.objects.get(client=client))


DAYS = [
    date(2026, 3, 1),
    date(2024, 2, 29),
    date(2024, 1, 30),
    date(2025, 1, 30),
    date(2025, 2, 28),
    date(2026, 12, 31),
    date(2028, 2, 29),
    date(1999, 12, 2),
]


@pytest.mark.parametrize(("seed", "day"), list(enumerate(DAYS)))
def test_random_data_gives_what_the_reference_gives(seed: int, day: date) -> None:
    dice = random.Random(seed)
    tenants = [make_tenant(timezone=zone) for zone in ("UTC", "Pacific/Apia", "America/New_York")]
    make_random_clients(dice, tenants, day, 40)
    known: dict[int, Expected] = {}

    for today in (day, day + timedelta(days=1), day + timedelta(days=dice.randint(2, 40))):
        done = refresh_scores(as_of=today)

        active = list(Client.objects.filter(is_active=True))
        expected = {client.pk: expected_figures(client, today) for client in active}
        scores = list(ClientScore.objects.all())
        assert {score.client_id: figures(score) for score in scores} == expected
        assert {score.as_of for score in scores} == {today}
        assert done.clients == len(active)
        assert done.changed == sum(known.get(pk) != now for pk, now in expected.items())
        assert done.raised == sum(
            RISKS.index(now.risk) > RISKS.index(known[pk].risk)
            for pk, now in expected.items()
            if pk in known
        )
        assert ScoreHistory.objects.filter(as_of=today).count() == done.changed

        known = expected
        make_random_clients(dice, tenants, today, 5)
        for client in dice.sample(active, 10):
            add_issues(client, dice.randint(1, 5))


@pytest.mark.parametrize(
    ("offset", "expiring"),
    [(-365, 1), (-1, 1), (0, 1), (1, 1), (29, 1), (30, 1), (31, 0), (32, 0)],
)
@pytest.mark.parametrize("day", [DAY, date(2024, 1, 30), date(2024, 2, 29), date(2023, 12, 31)])
def test_a_document_is_expiring_up_to_its_thirtieth_day(
    day: date, offset: int, expiring: int
) -> None:
    client = make_client(make_tenant())
    make_document(client, day + timedelta(days=offset))

    assert scored(client, day).expiring == expiring


@pytest.mark.parametrize(("offset", "overdue"), [(-400, 1), (-1, 1), (0, 0), (1, 0)])
def test_a_filing_is_overdue_from_the_day_after_it_was_due(offset: int, overdue: int) -> None:
    client = make_client(make_tenant())
    make_filing(client, DAY + timedelta(days=offset))

    assert scored(client).overdue == overdue


@pytest.mark.parametrize(
    ("status", "overdue"),
    [
        ("draft", 1),
        ("prepared", 1),
        ("submitted", 0),
        ("approved", 0),
        ("rejected", 0),
        ("archived", 0),
    ],
)
def test_only_filings_not_yet_handed_in_are_overdue(status: str, overdue: int) -> None:
    client = make_client(make_tenant())
    make_filing(client, DAY - timedelta(days=9), status=status)

    assert scored(client).overdue == overdue


@pytest.mark.parametrize(
    ("status", "missing"),
    [("valid", 0), ("expired", 0), ("pending_review", 1), ("rejected", 1)],
)
def test_documents_in_review_and_rejected_ones_are_missing(status: str, missing: int) -> None:
    client = make_client(make_tenant())
    make_document(client, status=status)

    assert scored(client).missing == missing


def test_the_latest_version_counts_even_when_it_expires_first() -> None:
    client = make_client(make_tenant())
    make_document(client, DAY + timedelta(days=900), DAY)
    make_document(client, DAY, DAY + timedelta(days=900))
    make_document(client, DAY, None)

    assert scored(client).expiring == 1


def test_a_document_that_is_both_missing_and_expired_is_two_issues() -> None:
    client = make_client(make_tenant())
    make_document(client, DAY - timedelta(days=1), status="rejected")

    assert scored(client) == Expected(90, "low", 1, 1, 0)


@pytest.mark.parametrize(
    ("issues", "score", "risk"),
    [
        (0, 100, "low"),
        (4, 80, "low"),
        (5, 75, "medium"),
        (10, 50, "medium"),
        (11, 45, "high"),
        (20, 0, "high"),
        (21, 0, "high"),
        (500, 0, "high"),
    ],
)
def test_every_issue_costs_five_points_down_to_zero(issues: int, score: int, risk: str) -> None:
    client = make_client(make_tenant(), issues=issues)

    assert scored(client) == Expected(score, risk, issues, 0, 0)
