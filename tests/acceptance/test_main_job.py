"""The main job on real input: the Northwind catalogue, from CSV to the invoice in the mailbox."""

import io
import json
import os
import signal
from decimal import Decimal
from pathlib import Path

import psutil
import pypdf
import pytest
from django.db.models import F, Sum

from documents.selectors import read_document
from inventory.models import Product, Severity, StockAlert
from inventory.task_helpers import queue_stock_check
from jobs.models import AuditEntry, Job
from jobs.states import FINAL, State
from sales import services as sales
from sales.models import Customer, Invoice, Order, OrderLine
from tenants.models import Member, Role, Tenant, User
from tests.conftest import Live, Mailbox, wait_until

pytestmark = pytest.mark.processes

FILES = {
    "products": "products.csv",
    "customers": "customers.csv",
    "orders": "orders.csv",
    "order_lines": "order_details.csv",
}


@pytest.fixture
def tenant(live: Live) -> Tenant:
    answer = live.manage(
        "create_tenant", "northwind", "--timezone", "America/Los_Angeles", "--currency", "USD",
        "--locale", "en_US",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    return Tenant.objects.get(slug="northwind")


def import_all(live: Live, folder: Path) -> None:
    for kind, name in FILES.items():
        answer = live.manage(
            "import_csv", kind, str(folder / name), "--tenant", "northwind", "--json"
        )
        assert answer.returncode == 0, answer.stderr


def all_ended() -> bool:
    return not Job.objects.exclude(state__in=FINAL).exists()


def test_northwind_from_csv_to_the_invoice_in_the_mailbox(
    live: Live, tenant: Tenant, northwind: Path, mailbox: Mailbox
) -> None:
    live.worker("--all")
    for _ in range(2):
        import_all(live, northwind)
        assert Product.objects.count() == 77
        assert Customer.objects.count() == 91
        assert Order.objects.count() == 830
        assert OrderLine.objects.count() == 2155
    lines = list(OrderLine.objects.all())
    exact = F("unit_price") * F("quantity") * (1 - F("discount"))
    assert sum(line.amount for line in lines) == Decimal("1265793.29")
    assert OrderLine.objects.aggregate(total=Sum(exact))["total"] == Decimal("1265793.0395")

    owner = User.objects.create_user("owner", "owner@northwind.example", "x", first_name="Ann")
    Member.objects.create(tenant=tenant, user=owner, role=Role.OWNER)
    for _ in range(2):
        queue_stock_check(tenant=tenant)
        wait_until(all_ended)
        found = StockAlert.objects.values_list("severity", flat=True)
        assert sorted(found) == sorted(
            [Severity.CRITICAL] * 7 + [Severity.HIGH] * 9 + [Severity.MEDIUM]
        )
    assert len(mailbox.messages()) == 1, "the second check finds nothing new to tell"

    order = Order.objects.get(number="10248")
    Customer.objects.filter(pk=order.customer_id).update(email="vinet@vins.example")
    sales.confirm_order(order.pk)
    invoice = sales.issue_invoice(order.pk)
    wait_until(lambda: Invoice.objects.get(pk=invoice.pk).state == "sent")
    wait_until(all_ended)

    invoice = Invoice.objects.get(pk=invoice.pk)
    assert invoice.document is not None
    reader = pypdf.PdfReader(io.BytesIO(read_document(invoice.document)))
    text = reader.pages[0].extract_text()
    assert len(reader.pages) == 1
    assert "440.00" in text
    assert "32.38" in text
    assert "472.38" in text
    assert "Vins et alcools Chevalier" in text

    (message,) = [
        m for m in mailbox.messages() if m.get_content_maintype() and invoice.number in m["Subject"]
    ]
    assert message["To"].endswith("<vinet@vins.example>")
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert "472.38" in plain.get_content()
    assert "472.38" in html.get_content()
    (attached,) = message.iter_attachments()
    assert attached.get_content_type() == "application/pdf"
    assert attached.get_content() == read_document(invoice.document)

    steps = ["sales.render_invoice", "sales.email_invoice", "sales.record_invoice_sent"]
    jobs = [Job.objects.get(task=task) for task in steps]
    assert [job.state for job in jobs] == [State.SUCCEEDED] * 3
    assert len({job.correlation_id for job in jobs}) == 1
    assert AuditEntry.objects.filter(action="sales.invoice_sent").count() == 1


@pytest.mark.parametrize("victim", ["sales.render_invoice", "sales.email_invoice"])
def test_a_worker_killed_in_the_middle_of_invoicing_sends_one_invoice_all_the_same(
    live: Live, tenant: Tenant, mailbox: Mailbox, tmp_path: Path, victim: str
) -> None:
    order = small_order(tenant)
    sales.confirm_order(order.pk)
    quick = {"JOBS_BACKOFF_SCALE": "0.02", "JOBS_LEASE_SECONDS": "3", "JOBS_HEARTBEAT_SECONDS": "0.5",
             "JOBS_REPUBLISH_SECONDS": "1"}  # fmt: skip
    worker = live.worker("--all", **quick)
    wait_until(all_ended)
    invoice = sales.issue_invoice(order.pk)
    wait_until(
        lambda: Job.objects.filter(task=victim, state__in=[State.RUNNING, State.SUCCEEDED]).exists()
    )
    # Everything at once, keeper and all: what runs is found by the next worker's lifeline.
    for process in psutil.Process(worker.pid).children(recursive=True):
        try:
            os.kill(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    live.worker("--all", **quick)
    wait_until(lambda: Invoice.objects.get(pk=invoice.pk).state == "sent", within=60)
    messages = [m for m in mailbox.messages() if invoice.number in m["Subject"]]
    assert len({m["Message-ID"] for m in messages}) == 1
    assert 1 <= len(messages) <= 2, "twice only when the crash hid that it was sent"
    assert AuditEntry.objects.filter(action="sales.invoice_sent").count() == 1


def small_order(tenant: Tenant) -> Order:
    product = Product.objects.create(tenant=tenant, sku="1", name="Chai", unit_price=Decimal(18))
    customer = Customer.objects.create(
        tenant=tenant, code="ANN", company_name="Ann & Søn", email="ann@soen.example"
    )
    order = Order.objects.create(
        tenant=tenant,
        number="1",
        customer=customer,
        order_date="2026-01-31",
        freight=Decimal("1.50"),
    )
    OrderLine.objects.create(order=order, product=product, unit_price=Decimal(18), quantity=2)
    return order


def test_a_file_with_twelve_broken_rows_ends_with_exactly_those_rejected(
    live: Live, tenant: Tenant, tmp_path: Path
) -> None:
    header = "product_id,product_name,category_name,supplier,quantity_per_unit,unit_price,units_in_stock,units_on_order,reorder_level,discontinued"
    rows = [f"{n},Product {n},Food,Firm,box,18.00,39,0,10,0" for n in range(1, 41)]
    broken = {
        3: ("unit_price", "3,P,Food,Firm,box,abc,39,0,10,0"),
        5: ("unit_price", "5,P,Food,Firm,box,-1,39,0,10,0"),
        8: ("units_in_stock", "8,P,Food,Firm,box,18.00,-5,0,10,0"),
        9: ("units_in_stock", "9,P,Food,Firm,box,18.00,1.5,0,10,0"),
        11: ("product_id", ",P,Food,Firm,box,18.00,39,0,10,0"),
        14: ("product_name", "14,,Food,Firm,box,18.00,39,0,10,0"),
        17: ("product_id", "1,Again,Food,Firm,box,18.00,39,0,10,0"),
        20: ("discontinued", "20,P,Food,Firm,box,18.00,39,0,10,maybe"),
        23: ("reorder_level", "23,P,Food,Firm,box,18.00,39,0,many,0"),
        26: ("product_name", "26," + "x" * 5000 + ",Food,Firm,box,18.00,39,0,10,0"),
        31: ("units_on_order", "31,P,Food,Firm,box,18.00,39,,10,0".replace(",,", ",x,")),
        37: ("unit_price", "37,P,Food,Firm,box,18.001,39,0,10,0"),
    }
    for line, (_, row) in broken.items():
        rows[line - 1] = row
    path = tmp_path / "products.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8-sig")
    answer = live.manage("import_csv", "products", str(path), "--tenant", "northwind", "--json")
    assert answer.returncode == 0, answer.stderr
    shown = json.loads(answer.stdout)
    assert Product.objects.count() == 28
    rejected = {row["line"]: row for row in shown["rejected_rows"]}
    assert {line - 1 for line in rejected} == set(broken)
    for line, (field, _) in broken.items():
        assert rejected[line + 1]["field"] == field
        assert rejected[line + 1]["reason"]
