"""Finding companies, their people, and their date."""

from datetime import UTC, date, datetime

import pytest

from jobs.errors import PermanentError
from tenants.errors import UnknownTenant
from tenants.models import Member, Role
from tenants.selectors import (
    active_tenants,
    display_name,
    get_tenant,
    local_date,
    people_of,
    zones_in_use,
)
from tests.tenants.builders import make_member, make_tenant, make_user

pytestmark = pytest.mark.django_db


def test_a_company_is_found_by_its_slug() -> None:
    tenant = make_tenant(slug="acme")

    assert get_tenant("acme") == tenant


def test_an_unknown_slug_is_a_permanent_error_that_suggests_the_nearest() -> None:
    make_tenant(slug="acme")

    with pytest.raises(UnknownTenant, match="Did you mean 'acme'") as caught:
        get_tenant("acne")
    assert isinstance(caught.value, PermanentError)


def test_only_companies_at_work_are_listed_and_by_zone_when_asked() -> None:
    berlin = make_tenant(slug="a", timezone="Europe/Berlin")
    tokyo = make_tenant(slug="b", timezone="Asia/Tokyo")
    make_tenant(slug="c", timezone="Asia/Tokyo", is_active=False)

    assert list(active_tenants()) == [berlin, tokyo]
    assert list(active_tenants(zone="Asia/Tokyo")) == [tokyo]
    assert zones_in_use() == ["Asia/Tokyo", "Europe/Berlin"]


def test_the_date_of_a_company_is_that_of_its_zone() -> None:
    instant = datetime(2026, 3, 31, 22, 30, tzinfo=UTC)

    assert local_date(make_tenant(timezone="Europe/Berlin"), instant) == date(2026, 4, 1)
    assert local_date(make_tenant(timezone="America/New_York"), instant) == date(2026, 3, 31)


def test_a_role_counts_in_the_company_where_it_is_held() -> None:
    here, there = make_tenant(), make_tenant()
    owner = make_member(here, Role.OWNER)
    viewer = make_member(here, Role.VIEWER)
    Member.objects.create(tenant=there, user=viewer, role=Role.OWNER)
    make_member(here, Role.OWNER, is_active=False)

    assert list(people_of(here)) == [owner, viewer]
    assert list(people_of(here, roles=[Role.OWNER])) == [owner]


def test_a_person_is_called_by_the_full_name_or_else_the_user_name() -> None:
    named = make_user(first_name="Zoë", last_name="Müller")

    assert display_name(named) == "Zoë Müller"
    assert display_name(make_user(username="kim")) == "kim"
