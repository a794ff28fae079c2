"""At which instant records count for a day that is over."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from inventory.models import Product, Warehouse
from tenants.models import Tenant
from tenants.past import instants
from tests.inventory.builders import make_product

from .builders import make_tenant
from .past import happened

pytestmark = pytest.mark.django_db

DAY = date(2026, 3, 10)


def instant(tenant: Tenant, day: date) -> datetime:
    return instants({tenant: day}, Product, Warehouse)[tenant.pk]


@pytest.mark.parametrize(
    ("zone", "begins"),
    [
        ("Pacific/Apia", datetime(2026, 3, 9, 11, tzinfo=UTC)),
        ("UTC", datetime(2026, 3, 10, tzinfo=UTC)),
        ("Pacific/Honolulu", datetime(2026, 3, 10, 10, tzinfo=UTC)),
    ],
)
def test_it_is_the_beginning_of_the_day_where_the_company_is(zone: str, begins: datetime) -> None:
    tenant = make_tenant(timezone=zone)
    make_product(tenant)
    happened(begins - timedelta(days=90))

    assert instant(tenant, DAY) == begins


@pytest.mark.parametrize(
    ("zone", "ends"),
    [
        # The records came at noon of the 9th by UTC.
        ("Pacific/Apia", datetime(2026, 3, 10, 11, tzinfo=UTC)),
        ("UTC", datetime(2026, 3, 10, tzinfo=UTC)),
        ("Pacific/Honolulu", datetime(2026, 3, 10, 10, tzinfo=UTC)),
    ],
)
def test_it_is_never_before_the_end_of_the_day_on_which_records_came(
    zone: str, ends: datetime
) -> None:
    tenant = make_tenant(timezone=zone)
    make_product(tenant)
    happened(datetime(2026, 3, 9, 12, tzinfo=UTC))
    make_product(tenant)

    for day in (date.min, date(2020, 2, 29), date(2026, 3, 9)):
        assert instant(tenant, day) == ends
    assert instant(tenant, date(2026, 4, 1)) > ends


def test_the_first_record_counts_though_it_was_changed_or_deleted() -> None:
    changed, deleted = make_tenant(), make_tenant()
    for tenant in (changed, deleted):
        make_product(tenant)
    happened(datetime(2026, 3, 1, 12, tzinfo=UTC))
    Product.objects.filter(tenant=changed).update(tenant=make_tenant())
    Product.objects.filter(tenant=deleted).delete()
    for tenant in (changed, deleted):
        make_product(tenant)
    happened(datetime(2026, 5, 1, 12, tzinfo=UTC))

    for tenant in (changed, deleted):
        assert instant(tenant, DAY) == datetime(2026, 3, 10, tzinfo=UTC)


def test_one_statement_finds_it_for_all_companies_also_for_those_without_records() -> None:
    old, new, empty = (make_tenant(timezone="Asia/Tokyo") for _ in range(3))
    make_product(old)
    happened(datetime(2026, 1, 1, tzinfo=UTC))
    Warehouse.objects.create(tenant=new, code="main", name="Main")
    happened(datetime(2026, 6, 1, tzinfo=UTC))

    with CaptureQueriesContext(connection) as queries:
        found = instants(dict.fromkeys((old, new, empty), DAY), Product, Warehouse)

    begins = datetime(2026, 3, 9, 15, tzinfo=UTC)
    assert len(queries) == 1
    assert found == {
        old.pk: begins,
        new.pk: datetime(2026, 6, 1, 15, tzinfo=UTC),
        empty.pk: begins,
    }
