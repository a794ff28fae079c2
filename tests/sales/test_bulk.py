"""Many orders at once: each for itself."""

import pytest

from sales import bulk, services
from tenants.models import Tenant
from tests.sales.builders import make_confirmed_order, make_order
from tests.tenants.builders import make_tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant() -> Tenant:
    """A company."""
    return make_tenant()


def test_many_orders_are_confirmed_and_one_that_is_refused_stops_no_other(tenant: Tenant) -> None:
    orders = [make_order(tenant) for _ in range(3)] + [make_confirmed_order(tenant)]
    orders[1].lines.all().delete()
    result = bulk.confirm_orders([order.pk for order in orders])
    assert (result.done, result.skipped, list(result.refused)) == (2, 1, [orders[1].pk])


def test_many_orders_are_invoiced_in_turn(tenant: Tenant) -> None:
    orders = [make_confirmed_order(tenant), make_order(tenant), make_confirmed_order(tenant)]
    services.issue_invoice(orders[0].pk)
    result = bulk.issue_invoices([order.pk for order in orders])
    assert (result.done, result.skipped, list(result.refused)) == (1, 1, [orders[1].pk])
