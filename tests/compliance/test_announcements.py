"""Who hears of a client whose risk rose, and how much of it."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from compliance.models import Client
from compliance.services import refresh_scores
from notifications.models import Notification
from tenants.models import Member, Role, Tenant, User

from .builders import DAY, add_issues, make_client, make_document, make_member, make_tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant() -> Tenant:
    """A tenant with one member of each role."""
    tenant = make_tenant()
    for role in Role:
        make_member(tenant, role)
    return tenant


def worsen(clients: list[Client], by: int) -> None:
    for client in clients:
        add_issues(client, by)


def test_owners_managers_and_accountants_are_told_and_nobody_else(tenant: Tenant) -> None:
    stranger = make_member(make_tenant(), Role.OWNER)
    client = make_client(tenant, name="Müller & Söhne")
    refresh_scores(as_of=DAY)
    worsen([client], 3)
    make_document(client, DAY, status="rejected")
    refresh_scores(as_of=DAY + timedelta(days=1))

    notices = Notification.objects.all()
    told = {notice.user.username.split("@")[0] for notice in notices}
    assert told == {"owner", "manager", "accountant"}
    assert stranger not in {notice.user for notice in notices}
    notice = notices[0]
    assert notice.title == "The compliance risk of Müller & Söhne has risen"
    assert notice.body == (
        f"{client.code} Müller & Söhne: low → medium, score 75 (4 missing or rejected, 1 expiring)"
    )
    assert (notice.priority, notice.day) == ("medium", DAY + timedelta(days=1))


def test_many_clients_make_one_notice_a_person_that_names_the_worst(tenant: Tenant) -> None:
    clients = [make_client(tenant) for _ in range(25)]
    refresh_scores(as_of=DAY)
    worsen(clients, 5)
    worsen(clients[20:], 10)

    done = refresh_scores(as_of=DAY)

    assert done.raised == 25
    assert Notification.objects.count() == 3
    notice = Notification.objects.all()[0]
    lines = notice.body.splitlines()
    assert notice.title == "The compliance risk of 25 clients has risen"
    assert [line.split()[0] for line in lines[:5]] == [client.code for client in clients[20:]]
    assert (len(lines), lines[-1]) == (11, "… and 15 more")
    assert notice.priority == "high"


def test_longest_names_still_fit_into_a_notice(tenant: Tenant) -> None:
    clients = [make_client(tenant, name="Ж" * 200) for _ in range(12)]
    refresh_scores(as_of=DAY)
    worsen(clients[:1], 30)
    refresh_scores(as_of=DAY)
    worsen(clients, 30)
    refresh_scores(as_of=DAY)

    assert Notification.objects.count() == 6


def test_a_first_score_a_fall_and_an_unchanged_risk_are_no_news(tenant: Tenant) -> None:
    clients = [make_client(tenant, issues=12) for _ in range(3)]
    refresh_scores(as_of=DAY)
    clients[0].documents.all().delete()
    worsen(clients[1:2], 2)
    refresh_scores(as_of=DAY + timedelta(days=1))

    assert not Notification.objects.exists()


def test_the_same_rise_is_told_once_a_day_and_another_one_too(tenant: Tenant) -> None:
    first, second = make_client(tenant), make_client(tenant)
    refresh_scores(as_of=DAY)
    for _ in range(2):
        worsen([first], 5)
        refresh_scores(as_of=DAY)
        refresh_scores(as_of=DAY)
        first.documents.all().delete()
        refresh_scores(as_of=DAY)
    assert Notification.objects.count() == 3

    worsen([second], 5)
    refresh_scores(as_of=DAY)
    assert Notification.objects.count() == 6


def test_more_rises_and_more_people_take_no_more_statements(tenant: Tenant) -> None:
    def statements(clients: list[Client]) -> int:
        worsen(clients, 5)
        with CaptureQueriesContext(connection) as queries:
            refresh_scores(as_of=DAY)
        return len(queries)

    clients = [make_client(tenant) for _ in range(40)]
    refresh_scores(as_of=DAY)
    one = statements(clients[:1])
    for number in range(10):
        user = User.objects.create(username=f"manager-{number}")
        Member.objects.create(tenant=tenant, user=user, role=Role.MANAGER)
    assert statements(clients[1:]) == one
