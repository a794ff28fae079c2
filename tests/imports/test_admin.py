"""Uploading a file in the admin, and fetching what was refused."""

import csv
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from imports.models import ImportRun
from jobs.testing import assert_enqueued, enqueued_jobs, run_jobs
from tenants.models import Tenant
from tests.imports.builders import csv_bytes, product, run_import
from tests.tenants.builders import make_tenant, make_user

ADD = "admin:imports_importrun_add"


@pytest.fixture
def tenant(db: None) -> Tenant:
    """A company."""
    return make_tenant()


@pytest.fixture
def browser(db: None) -> Client:
    """A browser in which an administrator is logged in."""
    client = Client()
    client.force_login(make_user(username="root", is_staff=True, is_superuser=True))
    return client


def upload(browser: Client, tenant: Tenant, content: bytes, kind: str = "products") -> Any:
    """Post the form."""
    form = {
        "tenant": tenant.pk,
        "kind": kind,
        "file": SimpleUploadedFile("products.csv", content, "text/csv"),
    }
    return browser.post(reverse(ADD), form, follow=True)


def test_the_form_offers_every_kind(browser: Client) -> None:
    page = browser.get(reverse(ADD)).content.decode()
    for kind in ("products", "customers", "orders", "order_lines"):
        assert f'value="{kind}"' in page


def test_an_uploaded_file_is_imported_by_a_job_in_the_name_of_who_is_logged_in(
    browser: Client, tenant: Tenant
) -> None:
    page = upload(browser, tenant, csv_bytes([product(1)]))
    assert page.status_code == 200
    run = ImportRun.objects.get()
    assert (run.requested_by, run.filename) == ("user:root", "products.csv")
    assert_enqueued("imports.run_import", run_id=run.pk)
    run_jobs()
    run.refresh_from_db()
    assert (run.state, run.created) == ("loaded", 1)


def test_a_workbook_of_another_kind_is_refused_on_the_page_and_nothing_is_kept(
    browser: Client, tenant: Tenant
) -> None:
    page = upload(browser, tenant, csv_bytes([product(1)]), kind="customers").content.decode()
    assert "Columns customer_id" in page
    assert not ImportRun.objects.exists()
    assert enqueued_jobs() == []


def test_the_page_of_an_import_shows_counts_reasons_and_downloads(
    browser: Client, tenant: Tenant
) -> None:
    run = run_import(tenant, csv_bytes([product(1), product(2, unit_price="x")]))
    page = browser.get(reverse("admin:imports_importrun_change", args=[run.pk])).content.decode()
    assert "is not a number such as 12.50" in page
    assert reverse("admin:imports_importrun_rejects", args=[run.pk]) in page
    assert str(run.job_id) in page
    listing = browser.get(reverse("admin:imports_importrun_changelist"))
    assert listing.status_code == 200


def test_the_refused_rows_are_a_file_without_formulas(browser: Client, tenant: Tenant) -> None:
    bad = [
        product(n, product_name=f"{start}cmd", unit_price="x")
        for n, start in enumerate(["=", "+", "-", "@"])
    ]
    run = run_import(tenant, csv_bytes(bad))
    answer = browser.get(reverse("admin:imports_importrun_rejects", args=[run.pk]))
    text = b"".join(answer.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["line"] for row in rows] == ["2", "3", "4", "5"]
    assert [row["product_name"] for row in rows] == ["'=cmd", "'+cmd", "'-cmd", "'@cmd"]


def test_the_file_is_sent_as_it_came(browser: Client, tenant: Tenant) -> None:
    content = csv_bytes([product(1)])
    run = run_import(tenant, content)
    answer = browser.get(reverse("admin:imports_importrun_file", args=[run.pk]))
    assert b"".join(answer.streaming_content) == content  # type: ignore[attr-defined]
    assert "attachment" in answer["Content-Disposition"]


def test_who_may_not_look_at_imports_reaches_nothing(tenant: Tenant) -> None:
    run = run_import(tenant, csv_bytes([product(1, unit_price="x")]))
    client = Client()
    user = make_user(is_staff=True)
    client.force_login(user)
    urls = [
        reverse("admin:imports_importrun_rejects", args=[run.pk]),
        reverse("admin:imports_importrun_file", args=[run.pk]),
    ]
    assert [client.get(url).status_code for url in urls] == [403, 403]
    user.user_permissions.add(Permission.objects.get(codename="view_importrun"))
    assert [client.get(url).status_code for url in urls] == [200, 200]
