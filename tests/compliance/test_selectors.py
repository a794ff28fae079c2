"""What can be asked about scores."""

from datetime import timedelta

import pytest

from compliance.models import Risk
from compliance.selectors import clients_by_risk, figures_on
from compliance.services import refresh_scores

from .builders import DAY, add_issues, make_client, make_tenant

pytestmark = pytest.mark.django_db


def test_the_figures_of_a_day_are_those_of_the_last_change() -> None:
    client = make_client(make_tenant())
    refresh_scores(as_of=DAY)
    refresh_scores(as_of=DAY + timedelta(days=1))
    add_issues(client, 2)
    refresh_scores(as_of=DAY + timedelta(days=5))

    def score(days: int) -> int | None:
        found = figures_on(client, DAY + timedelta(days=days))
        return found.score if found else None

    assert [score(days) for days in (-1, 0, 1, 4, 5, 500)] == [None, 100, 100, 100, 90, 90]


def test_clients_are_counted_by_risk() -> None:
    tenant = make_tenant()
    for issues in (0, 1, 5, 11, 12, 30):
        make_client(tenant, issues=issues)
    make_client(make_tenant(), issues=30)
    refresh_scores(as_of=DAY)

    assert clients_by_risk(tenant) == {Risk.LOW: 2, Risk.MEDIUM: 1, Risk.HIGH: 3}
    assert clients_by_risk(make_tenant()) == {Risk.LOW: 0, Risk.MEDIUM: 0, Risk.HIGH: 0}
