"""Orders and invoices in the admin."""

from collections.abc import Iterable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from jobs.testing import run_jobs
from sales.models import Invoice, Order
from tenants.models import Tenant
from tests.inventory.builders import make_stock
from tests.sales.builders import make_confirmed_order, make_customer, make_order
from tests.tenants.builders import make_tenant, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant() -> Tenant:
    """A company."""
    return make_tenant()


@pytest.fixture
def browser() -> Client:
    """A browser in which an administrator is logged in."""
    client = Client()
    client.force_login(make_user(is_staff=True, is_superuser=True))
    return client


def act(browser: Client, model: str, action: str, records: Iterable[Any]) -> str:
    """Carry out an action on some rows, and return the page that follows."""
    form = {"action": action, "_selected_action": [record.pk for record in records]}
    answer = browser.post(reverse(f"admin:sales_{model}_changelist"), form, follow=True)
    return answer.content.decode()


def test_chosen_orders_are_confirmed_and_refusals_are_shown(
    browser: Client, tenant: Tenant
) -> None:
    good, empty = make_order(tenant), make_order(tenant)
    empty.lines.all().delete()
    page = act(browser, "order", "confirm", [good, empty])
    assert "1 confirmed." in page
    assert f"Order {empty} has no lines." in page
    good.refresh_from_db()
    assert good.state == "confirmed"


def test_chosen_orders_are_invoiced_the_oldest_first(browser: Client, tenant: Tenant) -> None:
    orders = [make_confirmed_order(tenant) for _ in range(3)]
    assert "3 invoiced." in act(browser, "order", "issue_invoices", reversed(orders))
    sequences = Invoice.objects.order_by("order_id").values_list("sequence", flat=True)
    assert list(sequences) == [1, 2, 3]


def test_an_invoice_shows_its_pdf_and_cannot_be_changed(browser: Client, tenant: Tenant) -> None:
    order = make_confirmed_order(tenant)
    act(browser, "order", "issue_invoices", [order])
    run_jobs()
    invoice = Invoice.objects.get()
    assert invoice.document is not None
    page = browser.get(reverse("admin:sales_invoice_change", args=[invoice.pk])).content.decode()
    assert reverse("admin:documents_document_download", args=[invoice.document.pk]) in page
    assert 'name="_save"' not in page


def test_an_invoiced_order_is_closed_and_a_draft_is_not(browser: Client, tenant: Tenant) -> None:
    draft, closed = make_order(tenant), make_confirmed_order(tenant)
    act(browser, "order", "issue_invoices", [closed])
    pages = [
        browser.get(reverse("admin:sales_order_change", args=[order.pk])).content.decode()
        for order in (draft, closed)
    ]
    assert ['name="_save"' in page for page in pages] == [True, False]


def test_a_new_order_is_typed_with_its_lines(browser: Client, tenant: Tenant) -> None:
    customer, stock = make_customer(tenant), make_stock(tenant, 5)
    form = {
        "tenant": tenant.pk,
        "number": "N-1",
        "customer": customer.pk,
        "order_date": "2026-03-01",
        "freight": "1.00",
        "lines-TOTAL_FORMS": 1,
        "lines-INITIAL_FORMS": 0,
        "lines-0-product": stock.product_id,
        "lines-0-unit_price": "2.50",
        "lines-0-quantity": 3,
        "lines-0-discount": "0",
    }
    answer = browser.post(reverse("admin:sales_order_add"), form)
    assert answer.status_code == 302, answer.content.decode()
    order = Order.objects.get(number="N-1")
    assert (order.state, [str(line.amount) for line in order.lines.all()]) == ("draft", ["7.50"])


def test_an_invoice_is_sent_once_its_customer_has_an_address(
    browser: Client, tenant: Tenant
) -> None:
    customer = make_customer(tenant, email="")
    order = make_confirmed_order(tenant, customer=customer)
    act(browser, "order", "issue_invoices", [order])
    invoice = Invoice.objects.get()
    assert "no e-mail address" in act(browser, "invoice", "send", [invoice])
    customer.email = "late@buyer.example"
    customer.save()
    assert "1 being sent." in act(browser, "invoice", "send", [invoice])


@pytest.mark.parametrize(
    "page",
    [
        "sales_customer", "sales_order", "sales_invoice", "inventory_product",
        "inventory_warehouse", "inventory_stock", "inventory_movement", "inventory_stockalert",
        "imports_importrun",
    ],
)  # fmt: skip
def test_every_list_can_be_opened_and_searched(browser: Client, tenant: Tenant, page: str) -> None:
    make_confirmed_order(tenant)
    make_stock(tenant, 1, 10)
    url = reverse(f"admin:{page}_changelist")
    assert browser.get(url).status_code == 200
    assert browser.get(url, {"q": "x"}).status_code == 200
