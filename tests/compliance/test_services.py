"""Whose scores a refresh computes, for which day, and what it leaves behind."""

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from compliance import services
from compliance.models import (
    Client,
    ClientDocument,
    ClientScore,
    DocumentVersion,
    Filing,
    ScoreHistory,
)
from compliance.selectors import figures_on
from compliance.services import Refresh, refresh_scores
from notifications.models import Notification
from tenants.errors import UnknownTenant
from tenants.models import Member, Role, Tenant, User

from .builders import (
    DAY,
    add_issues,
    figures,
    make_client,
    make_document,
    make_filing,
    make_member,
    make_tenant,
)
from .reference import Expected, expected_figures

pytestmark = pytest.mark.django_db


def scored_for(client: Client) -> date | None:
    score = ClientScore.objects.filter(client=client).first()
    return score.as_of if score else None


def test_each_tenant_has_its_own_today() -> None:
    apia = make_client(make_tenant(timezone="Pacific/Apia"))
    new_york = make_client(make_tenant(timezone="America/New_York"))
    for client in (apia, new_york):
        make_document(client, date(2026, 4, 1))

    with time_machine.travel(datetime(2026, 3, 1, 11, 30, tzinfo=UTC), tick=False):
        refresh_scores()

    assert scored_for(apia) == date(2026, 3, 2)
    assert scored_for(new_york) == date(2026, 3, 1)
    assert [apia.score.expiring, new_york.score.expiring] == [1, 0]


def test_a_zone_is_refreshed_alone() -> None:
    berlin = make_client(make_tenant(timezone="Europe/Berlin"))
    tokyo = make_client(make_tenant(timezone="Asia/Tokyo"))

    refresh_scores(zone="Asia/Tokyo", as_of=DAY)

    assert [scored_for(berlin), scored_for(tokyo)] == [None, DAY]


def test_named_tenants_are_refreshed_alone() -> None:
    tenants = [make_tenant() for _ in range(3)]
    clients = [make_client(tenant) for tenant in tenants]

    done = refresh_scores(tenant_slugs=[tenants[0].slug, tenants[2].slug], as_of=DAY)

    assert done.tenants == 2
    assert [scored_for(client) for client in clients] == [DAY, None, DAY]


def test_inactive_tenants_and_clients_are_skipped_and_keep_what_was_known() -> None:
    sleeping = make_tenant(is_active=False)
    theirs = make_client(sleeping)
    gone = make_client(make_tenant(), is_active=False)
    former = make_client(gone.tenant)
    refresh_scores(as_of=DAY)
    Client.objects.filter(pk=former.pk).update(is_active=False)

    refresh_scores(as_of=DAY + timedelta(days=1))
    refresh_scores(tenant_slugs=[sleeping.slug], as_of=DAY)

    assert [scored_for(theirs), scored_for(gone), scored_for(former)] == [None, None, DAY]


def test_a_slug_that_is_nobodys_is_refused() -> None:
    make_tenant()
    with pytest.raises(UnknownTenant, match="nobody"):
        refresh_scores(tenant_slugs=["nobody"], as_of=DAY)


def test_nothing_to_do_is_no_error() -> None:
    nothing = Refresh(tenants=0, clients=0, changed=0, raised=0, failed=[])
    assert refresh_scores(as_of=DAY) == nothing
    assert refresh_scores(tenant_slugs=[], as_of=DAY) == nothing
    make_tenant()
    assert refresh_scores(as_of=DAY).tenants == 1


def row_versions() -> list[tuple[object, ...]]:
    """Every stored score, with the place and transaction of its row's last write."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 'score', client_id, ctid::text, xmin::text, xmax::text, cmin::text"
            "  FROM compliance_clientscore"
            " UNION ALL SELECT 'history', id, ctid::text, xmin::text, xmax::text, cmin::text"
            "  FROM compliance_scorehistory ORDER BY 1, 2"
        )
        return list(cursor.fetchall())


def test_a_second_run_writes_nothing() -> None:
    tenant = make_tenant()
    for issues in (0, 3, 12):
        make_client(tenant, issues=issues)
    first = refresh_scores(as_of=DAY)
    before = row_versions()

    second = refresh_scores(as_of=DAY)

    assert (first.changed, second.changed, second.raised) == (3, 0, 0)
    assert row_versions() == before


def test_a_day_without_a_change_adds_nothing_to_the_history() -> None:
    client = make_client(make_tenant(), issues=1)
    refresh_scores(as_of=DAY)

    done = refresh_scores(as_of=DAY + timedelta(days=1))

    assert done.changed == 0
    assert scored_for(client) == DAY + timedelta(days=1)
    assert list(client.score_history.values_list("as_of", flat=True)) == [DAY]


def test_a_change_on_the_same_day_replaces_the_days_entry() -> None:
    client = make_client(make_tenant())
    refresh_scores(as_of=DAY)
    add_issues(client, 7)

    refresh_scores(as_of=DAY)

    assert list(client.score_history.values_list("as_of", "score")) == [(DAY, 65)]


def test_a_day_before_the_first_records_counts_them_by_its_own_dates() -> None:
    client = make_client(make_tenant(), issues=1)
    make_document(client, DAY + timedelta(days=10))
    make_filing(client, DAY)
    past, today = DAY - timedelta(days=25), DAY + timedelta(days=1)
    refresh_scores(as_of=today)

    refresh_scores(as_of=past)

    then = client.score_history.get(as_of=past)
    assert (then.missing, then.expiring, then.overdue) == (1, 0, 0)
    assert figures(then) == expected_figures(client, past)


def test_a_past_day_leaves_the_score_and_every_other_day_as_they_were() -> None:
    client = make_client(make_tenant())
    refresh_scores(as_of=DAY)
    refresh_scores(as_of=DAY + timedelta(days=9))
    add_issues(client, 3)

    for _ in range(2):
        refresh_scores(as_of=DAY + timedelta(days=5))

    score = ClientScore.objects.get(client=client)
    assert (score.as_of, score.score) == (DAY + timedelta(days=9), 100)
    known = [figures_on(client, DAY + timedelta(days=days)) for days in (0, 4, 5, 6, 9)]
    assert [row.score for row in known if row] == [100, 100, 85, 100, 100]


@pytest.mark.parametrize("seed", range(3))
def test_looks_back_in_any_order_change_the_day_asked_for_and_no_other(seed: int) -> None:
    dice = random.Random(seed)
    client = make_client(make_tenant())
    days = [DAY + timedelta(days=number) for number in range(12)]
    for day in (days[0], days[4], days[11]):
        add_issues(client, dice.randint(0, 2))
        refresh_scores(as_of=day)
    current = figures(ClientScore.objects.get(client=client))

    def known() -> dict[date, Expected]:
        found = {day: figures_on(client, day) for day in days}
        return {day: figures(row) for day, row in found.items() if row}

    for _ in range(20):
        before, day = known(), dice.choice(days[:11])
        add_issues(client, dice.randint(0, 2))
        refresh_scores(as_of=day)
        assert known() == before | {day: expected_figures(client, day)}

    assert figures(ClientScore.objects.get(client=client)) == current


def test_a_past_day_tells_nobody_and_today_still_does() -> None:
    tenant = make_tenant()
    make_member(tenant, Role.OWNER)
    client = make_client(tenant)
    for days in (0, 9):
        refresh_scores(as_of=DAY + timedelta(days=days))
    add_issues(client, 12)

    back = refresh_scores(as_of=DAY + timedelta(days=5))
    assert (back.changed, back.raised, Notification.objects.count()) == (1, 0, 0)

    assert refresh_scores(as_of=DAY + timedelta(days=10)).raised == 1
    assert Notification.objects.count() == 1


def test_yesterdays_refresh_that_runs_late_is_as_good_as_one_in_time() -> None:
    tenant = make_tenant()
    make_member(tenant, Role.OWNER)
    client = make_client(tenant)
    with time_machine.travel(datetime(2026, 3, 3, 0, 5, tzinfo=UTC), tick=False):
        refresh_scores(as_of=date(2026, 3, 1))
        add_issues(client, 12)
        assert refresh_scores(as_of=date(2026, 3, 2)).raised == 1
    assert (scored_for(client), Notification.objects.count()) == (date(2026, 3, 2), 1)


def test_today_brings_the_score_back_from_a_day_still_to_come() -> None:
    client = make_client(make_tenant())
    make_document(client, DAY + timedelta(days=60))
    with time_machine.travel(datetime(2026, 3, 1, 12, tzinfo=UTC), tick=False):
        refresh_scores(as_of=DAY + timedelta(days=40))
        assert (scored_for(client), client.score.score) == (DAY + timedelta(days=40), 95)

        refresh_scores()

    score = ClientScore.objects.get(client=client)
    assert (score.as_of, score.score) == (DAY, 100)


def test_a_look_back_leaves_a_look_into_the_future_too() -> None:
    client = make_client(make_tenant())
    with time_machine.travel(datetime(2026, 3, 1, 12, tzinfo=UTC), tick=False):
        for days in (-9, 0, 40):
            refresh_scores(as_of=DAY + timedelta(days=days))
        add_issues(client, 12)
        assert refresh_scores(as_of=DAY - timedelta(days=5)).raised == 0

    assert (scored_for(client), client.score.score) == (DAY + timedelta(days=40), 100)
    known = [figures_on(client, DAY + timedelta(days=days)) for days in (-6, -5, -4, 0, 40)]
    assert [row.score for row in known if row] == [100, 40, 100, 100, 100]


def test_a_look_into_the_future_is_not_taken_for_a_rise_on_the_way_back() -> None:
    client = make_client(make_tenant())
    for _ in range(8):
        make_document(client, DAY + timedelta(days=40))
    with time_machine.travel(datetime(2026, 3, 1, 12, tzinfo=UTC), tick=False):
        refresh_scores(as_of=DAY)
        assert refresh_scores(as_of=DAY + timedelta(days=60)).raised == 1

        back = refresh_scores(as_of=DAY)
        rising = refresh_scores(as_of=DAY + timedelta(days=10))

    assert (back.raised, back.changed) == (0, 0)
    assert rising.raised == 1


@pytest.fixture
def cursed() -> Iterator[Tenant]:
    """A tenant whose scores the database refuses to store."""
    tenant = make_tenant()
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse_scores() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            "  IF (SELECT tenant_id FROM compliance_client WHERE id = NEW.client_id) ="
            f" {int(tenant.pk)} AND NEW.missing > 0 THEN RAISE 'cursed'; END IF;"
            "  RETURN NEW; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER refuse_scores BEFORE INSERT OR UPDATE ON compliance_clientscore"
            " FOR EACH ROW EXECUTE FUNCTION refuse_scores()"
        )
    yield tenant
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION refuse_scores CASCADE")


def test_a_tenant_that_fails_keeps_its_scores_and_costs_the_others_nothing(cursed: Tenant) -> None:
    before, after = make_tenant(), make_tenant()
    good = [make_client(tenant, issues=1) for tenant in (before, after)]
    fine_there = make_client(cursed)
    bad = make_client(cursed, issues=1)

    done = refresh_scores(as_of=DAY)

    assert done.failed == [cursed.slug]
    assert (done.tenants, done.clients) == (2, 2)
    assert [scored_for(client) for client in good] == [DAY, DAY]
    assert [scored_for(fine_there), scored_for(bad)] == [None, None]
    assert set(ScoreHistory.objects.values_list("client", flat=True)) == {c.pk for c in good}


def test_a_tenant_that_fails_alone_says_why(cursed: Tenant) -> None:
    make_client(cursed, issues=1)

    with pytest.raises(DatabaseError, match="cursed"):
        refresh_scores(tenant_slugs=[cursed.slug], as_of=DAY)
    assert not ClientScore.objects.exists()


def test_a_tenant_whose_zone_is_unknown_costs_the_others_nothing() -> None:
    lost = make_client(make_tenant(timezone="Atlantis/Capital"))
    found = make_client(make_tenant(timezone="Asia/Tokyo"))

    done = refresh_scores()

    assert done.failed == [lost.tenant.slug]
    assert [scored_for(lost), scored_for(found) is not None] == [None, True]


def bulk_clients(tenant: Tenant, many: int) -> None:
    clients = Client.objects.bulk_create(
        Client(tenant=tenant, code=f"B{number:06}", name="Bulk") for number in range(many)
    )
    documents = ClientDocument.objects.bulk_create(
        ClientDocument(client=client, kind="licence", status="valid") for client in clients
    )
    DocumentVersion.objects.bulk_create(
        DocumentVersion(document=document, expires_on=DAY + timedelta(days=number % 90))
        for number, document in enumerate(documents)
    )
    Filing.objects.bulk_create(
        Filing(
            client=client,
            kind="VAT",
            authority="Tax office",
            period_end=DAY,
            due_on=DAY + timedelta(days=number % 60),
        )
        for number, client in enumerate(clients)
    )


def statements_for(many: int) -> list[str]:
    """The SQL of a first refresh of that many clients, and of a second in which all rise."""
    tenant = make_tenant()
    owner = User.objects.create(username=f"owner-{many}")
    Member.objects.create(tenant=tenant, user=owner, role=Role.OWNER)
    bulk_clients(tenant, many)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        first = refresh_scores(tenant_slugs=[tenant.slug], as_of=DAY)
        connection.cursor().execute(
            "INSERT INTO compliance_clientdocument (client_id, kind, status)"
            " SELECT id, 'passport', 'rejected' FROM compliance_client, generate_series(1, 12)"
            " WHERE tenant_id = %s",
            [tenant.pk],
        )
        second = refresh_scores(tenant_slugs=[tenant.slug], as_of=DAY)
    assert (first.clients, first.changed, second.raised) == (many, many, many)
    return [query["sql"] for query in queries]


def test_ten_thousand_clients_take_as_many_statements_as_ten() -> None:
    assert len(statements_for(10)) == len(statements_for(10_000))


def test_more_tenants_take_no_more_statements_while_none_has_news() -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as queries:
            refresh_scores(as_of=DAY)
        return len(queries)

    make_client(make_tenant())
    one = statements()
    for _ in range(20):
        make_client(make_tenant())
    assert statements() == one


def test_a_client_and_its_papers_can_be_added() -> None:
    client = services.create_client(tenant=make_tenant(), code="A-1", name="Zoë Ødegård")
    document = services.add_document(
        client=client,
        kind="passport",
        status=ClientDocument.Status.VALID,
        expires_on=DAY - timedelta(days=1),
    )
    services.add_filing(client=client, kind="VAT", authority="HMRC", period_end=DAY, due_on=DAY)
    refresh_scores(as_of=DAY + timedelta(days=1))
    first = figures(ClientScore.objects.get(client=client))

    newer = services.add_document_version(
        document=document, status=ClientDocument.Status.VALID, expires_on=date(2036, 1, 1)
    )
    refresh_scores(as_of=DAY + timedelta(days=1))

    assert (newer.number, document.status) == (2, "valid")
    assert (first.expiring, first.overdue, first.score) == (1, 1, 90)
    assert ClientScore.objects.get(client=client).score == 95


def test_a_code_is_given_once_in_a_tenant() -> None:
    tenant, other = make_tenant(), make_tenant()
    services.create_client(tenant=tenant, code="A-1", name="One")
    services.create_client(tenant=other, code="A-1", name="Another's")

    with pytest.raises(IntegrityError, match="compliance_client_code"), transaction.atomic():
        services.create_client(tenant=tenant, code="A-1", name="Two")


def test_a_filing_for_a_period_is_replaced_only_after_it_was_archived() -> None:
    client = make_client(make_tenant())

    def add_again() -> Filing:
        return services.add_filing(
            client=client, kind="VAT", authority="HMRC", period_end=DAY, due_on=DAY
        )

    first = add_again()
    with pytest.raises(IntegrityError, match="compliance_filing_once"), transaction.atomic():
        add_again()

    Filing.objects.filter(pk=first.pk).update(status=Filing.Status.ARCHIVED)
    add_again()

    assert client.filings.count() == 2
