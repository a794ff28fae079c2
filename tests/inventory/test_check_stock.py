"""Checking the stock tells the right people, once."""

from email.message import EmailMessage

import pytest
from django.db import connection, transaction

from inventory.models import Product, Stock, StockAlert
from inventory.services import check_stock, ensure_default_warehouse
from inventory.task_helpers import queue_stock_check
from jobs.testing import enqueued_jobs, run_jobs
from notifications.models import Notification
from tenants.models import Role, Tenant
from tests.conftest import Mailbox
from tests.inventory.builders import change_to, make_stock
from tests.tenants.builders import make_member, make_tenant

pytestmark = pytest.mark.django_db
#: What a planner forgoes that takes a full table for an empty one.
_BETTER_THAN_LOOPS = (
    "hashjoin", "mergejoin", "memoize", "material", "indexscan", "indexonlyscan", "bitmapscan",
)  # fmt: skip
EMAIL = "notifications.email_low_stock_alert"


def addressees(messages: list[EmailMessage]) -> list[str]:
    """Return who got a message, sorted."""
    return sorted(str(message["To"].addresses[0].addr_spec) for message in messages)


@pytest.fixture
def tenant() -> Tenant:
    """A company with three products that are low, and one person of each role."""
    company = make_tenant()
    for role in Role:
        make_member(company, role, username=f"{role.value}", email=f"{role.value}@acme.example")
    for quantity in (1, 6, 9):
        make_stock(company, quantity, 10)
    return company


def test_each_person_gets_one_digest_and_viewers_get_none(tenant: Tenant, mailbox: Mailbox) -> None:
    queue_stock_check(tenant=tenant)
    run_jobs()
    messages = mailbox.messages()
    expected = ["manager@acme.example", "owner@acme.example", "warehouse@acme.example"]
    assert addressees(messages) == expected
    assert "3 products low on stock, 1 critical" in str(messages[0]["Subject"])


def test_each_person_gets_a_notice_per_product_in_the_app(tenant: Tenant) -> None:
    check_stock(tenant=tenant.slug)
    told = Notification.objects.values_list("user__username", flat=True)
    assert sorted(told) == sorted(["manager", "owner", "warehouse"] * 3)


def test_a_second_check_sends_nothing(tenant: Tenant, mailbox: Mailbox) -> None:
    for _ in range(2):
        queue_stock_check(tenant=tenant)
        run_jobs()
    assert len(mailbox.messages()) == 3
    assert Notification.objects.count() == 9


def test_what_gets_worse_is_told_on_the_same_day_and_alone(tenant: Tenant) -> None:
    check_stock(tenant=tenant.slug)
    run_jobs()
    change_to(Stock.objects.get(quantity=9), 2)
    result = check_stock(tenant=tenant.slug)
    assert result["announced"] == {"critical": 1}
    assert [len(job.payload["items"]) for job in enqueued_jobs(EMAIL)] == [1, 1, 1]
    run_jobs()
    assert Notification.objects.count() == 12


def test_nothing_is_announced_when_the_transaction_rolls_back(tenant: Tenant) -> None:
    def fail_after_the_check() -> None:
        with transaction.atomic():
            check_stock(tenant=tenant.slug)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_the_check()
    assert enqueued_jobs() == []
    assert not StockAlert.objects.exists()


def test_a_company_without_anybody_to_tell_still_has_its_alerts() -> None:
    company = make_tenant()
    make_stock(company, 1, 10)
    assert check_stock(tenant=company.slug)["people_emailed"] == 0
    assert StockAlert.objects.count() == 1


def test_thousands_of_products_make_one_short_email_and_few_notices(tenant: Tenant) -> None:
    warehouse = ensure_default_warehouse(tenant)
    products = Product.objects.bulk_create(
        Product(tenant=tenant, sku=f"S{at}", name="Ж" * 200, threshold=10) for at in range(3_000)
    )
    Stock.objects.bulk_create(
        Stock(product=product, warehouse=warehouse, quantity=1) for product in products
    )
    assert check_stock(tenant=tenant.slug)["opened"] == 3_003
    assert len(enqueued_jobs(EMAIL)) == 3
    assert Notification.objects.count() == 3 * 51


def test_a_planner_that_only_loops_does_not_make_it_slow(tenant: Tenant) -> None:
    """After a bulk load the statistics mislead, and joins may be done row by row."""
    warehouse = ensure_default_warehouse(tenant)
    products = Product.objects.bulk_create(
        Product(tenant=tenant, sku=f"S{at}", name="Chai", threshold=10) for at in range(2_000)
    )
    Stock.objects.bulk_create(
        Stock(product=product, warehouse=warehouse, quantity=1) for product in products
    )
    with connection.cursor() as cursor:
        for method in _BETTER_THAN_LOOPS:
            cursor.execute(f"SET LOCAL enable_{method} = off")
        cursor.execute("SET LOCAL statement_timeout = '20s'")
    assert check_stock(tenant=tenant.slug)["opened"] == 2_003
    assert check_stock(tenant=tenant.slug)["closed"] == 0


def test_an_unknown_warehouse_ends_as_a_dead_letter_that_names_the_nearest(tenant: Tenant) -> None:
    queue_stock_check(tenant=tenant, warehouse="mian")
    (job,) = run_jobs()
    assert job.state == "dead"
    assert "Did you mean 'main'?" in job.error
