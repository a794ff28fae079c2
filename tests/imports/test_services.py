"""Files are loaded in bulk: every row once, the bad ones with their reasons, or nothing."""

import io
from typing import Any

import pytest
from django.core.files.base import File

from imports.errors import UnknownKind, UnusableFile
from imports.models import ImportRun, RejectedRow
from imports.services import execute_import
from imports.task_helpers import queue_import
from inventory import importing
from inventory.models import Movement, Product, Stock
from jobs import operations
from jobs.models import Job
from jobs.testing import assert_enqueued, enqueued_jobs, run_jobs
from tenants.history import past_of
from tenants.models import Tenant
from tests.imports.builders import (
    PRODUCT_COLUMNS,
    csv_bytes,
    product,
    refused,
    run_import,
    xlsx_bytes,
)
from tests.tenants.builders import make_tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant() -> Tenant:
    """A company."""
    return make_tenant()


def counts(run: ImportRun) -> tuple[int, int, int, int, int]:
    """Return rows, created, updated, unchanged, rejected."""
    return run.rows, run.created, run.updated, run.unchanged, run.rejected


def test_the_file_is_kept_and_its_import_is_a_job(tenant: Tenant) -> None:
    content = csv_bytes([product(1)])
    run = queue_import(
        tenant=tenant, kind="products", file=File(io.BytesIO(content)), filename="../my file.csv"
    )
    job = assert_enqueued("imports.run_import", run_id=run.pk)
    assert (run.job_id, job.tenant, job.queue) == (job.id, tenant.slug, "imports")
    assert (run.filename, run.size, run.state) == ("my file.csv", len(content), "waiting")
    assert str(run.file.name).startswith(f"imports/{tenant.slug}/")
    with run.file.open("rb") as kept:
        assert kept.read() == content


def test_the_job_loads_the_file_and_its_result_has_the_counts(tenant: Tenant) -> None:
    queue_import(
        tenant=tenant,
        kind="products",
        file=File(io.BytesIO(csv_bytes([product(1), product(2)]))),
        filename="a.csv",
    )
    (job,) = run_jobs()
    assert job.state == "succeeded"
    assert job.result is not None
    assert (job.result["state"], job.result["created"]) == ("loaded", 2)
    assert job.progress == {"done": 2, "total": 2, "note": "rows checked"}


def test_rows_are_created_then_unchanged_then_updated(tenant: Tenant) -> None:
    rows = [product(1), product(2), product(3)]
    assert counts(run_import(tenant, csv_bytes(rows))) == (3, 3, 0, 0, 0)
    assert counts(run_import(tenant, csv_bytes(rows))) == (3, 0, 0, 3, 0)
    rows = [product(1, unit_price="18.01"), product(2, units_in_stock="40"), product(3)]
    assert counts(run_import(tenant, csv_bytes(rows))) == (3, 0, 2, 1, 0)
    assert Product.objects.filter(tenant=tenant).count() == 3


def test_new_products_leave_no_history_and_what_is_on_order_later_does(tenant: Tenant) -> None:
    rows = [product(1, units_on_order="5"), product(2, units_in_stock="0", units_on_order="6")]
    assert counts(run_import(tenant, csv_bytes(rows))) == (2, 2, 0, 0, 0)
    assert list(Stock.objects.order_by("id").values_list("on_order", flat=True)) == [5, 6]
    for model in (Product, Stock):
        assert not past_of(model)._base_manager.exists()

    rows[0] = product(1, units_on_order="7")
    Stock.objects.filter(on_order=6).delete()
    assert counts(run_import(tenant, csv_bytes(rows))) == (2, 0, 2, 0, 0)
    assert list(Stock.objects.order_by("id").values_list("on_order", flat=True)) == [7, 6]
    past: Any = past_of(Stock)
    kept = past._base_manager.filter(pgh_label="changed").order_by("on_order")
    assert list(kept.values_list("on_order", flat=True)) == [0, 5]


def test_a_run_that_is_done_does_nothing_again(tenant: Tenant) -> None:
    run = run_import(tenant, csv_bytes([product(1)]))
    Stock.objects.update(on_order=5)
    again = execute_import(run.pk)
    assert (again.finished_at, counts(again)) == (run.finished_at, counts(run))
    assert Stock.objects.get().on_order == 5


def test_the_same_sku_of_another_company_is_another_product(tenant: Tenant) -> None:
    run_import(tenant, csv_bytes([product(1)]))
    other = make_tenant()
    assert counts(run_import(other, csv_bytes([product(1, product_name="X")]))) == (1, 1, 0, 0, 0)
    assert Product.objects.get(tenant=tenant).name == "Product 1"


def test_twelve_broken_rows_among_good_ones_are_exactly_those_refused(tenant: Tenant) -> None:
    broken = [
        product("", product_name="no id"),
        product(100, product_name=""),
        product(101, product_name="x" * 201),
        product(102, unit_price="12,50"),
        product(103, unit_price="12.505"),
        product(104, unit_price="-1"),
        product(105, units_in_stock="-5"),
        product(106, units_in_stock="many"),
        product(107, discontinued="2"),
        product(108, product_name="two\nlines"),
        product(109, supplier="NUL \0 inside"),
        product(1, product_name="the same again"),
    ]
    rows = []
    for number, row in enumerate(broken, start=1):
        rows += [product(number), row]
    run = run_import(tenant, csv_bytes(rows))
    assert counts(run) == (24, 12, 0, 0, 12)
    found = refused(run)
    # Each broken row stands behind a good one; from the one with a line break on, all are one later.
    assert list(found) == [3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 24, 26]
    assert [field for field, _ in found.values()] == [
        "product_id", "product_name", "product_name", "unit_price", "unit_price", "unit_price",
        "units_in_stock", "units_in_stock", "discontinued", "product_name", "supplier",
        "product_id",
    ]  # fmt: skip
    assert found[26][1] == "product_id names the same record as line 2"
    assert all(reason for _, reason in found.values())
    assert Product.objects.filter(tenant=tenant).count() == 12


def test_all_or_nothing_loads_nothing_when_a_row_is_refused(tenant: Tenant) -> None:
    content = csv_bytes([product(1), product(2, unit_price="x")])
    run = run_import(tenant, content, all_or_nothing=True)
    assert (run.state, counts(run)) == ("refused", (2, 0, 0, 0, 1))
    assert list(refused(run)) == [3]
    assert not Product.objects.exists()


def test_all_or_nothing_loads_a_file_that_is_good(tenant: Tenant) -> None:
    run = run_import(tenant, csv_bytes([product(1)]), all_or_nothing=True)
    assert run.state == "loaded"


def test_a_file_without_one_good_row_is_refused(tenant: Tenant) -> None:
    assert run_import(tenant, csv_bytes([product(1, unit_price="x")])).state == "refused"


def test_a_header_without_rows_loads_nothing_and_is_no_failure(tenant: Tenant) -> None:
    run = run_import(tenant, csv_bytes([]))
    assert (run.state, counts(run)) == ("loaded", (0, 0, 0, 0, 0))


def test_of_a_record_that_repeats_the_first_counts(tenant: Tenant) -> None:
    rows = [product(1, product_name="first"), product(2), product(1, product_name="later")]
    run = run_import(tenant, csv_bytes(rows))
    assert list(refused(run)) == [4]
    assert Product.objects.get(sku="1").name == "first"


def test_a_repeated_record_is_good_when_the_earlier_one_is_not(tenant: Tenant) -> None:
    rows = [product(1, unit_price="x"), product(1)]
    assert list(refused(run_import(tenant, csv_bytes(rows)))) == [2]


def test_a_wrong_file_is_refused_at_once_and_leaves_nothing(tenant: Tenant) -> None:
    with pytest.raises(UnusableFile, match="product_name"):
        run_import(tenant, b"product_id\n1\n")
    with pytest.raises(UnknownKind, match="Did you mean 'products'"):
        run_import(tenant, b"", kind="product")
    assert not ImportRun.objects.exists()
    assert enqueued_jobs() == []


def test_a_file_that_proves_unusable_further_on_fails_as_a_whole(tenant: Tenant) -> None:
    content = csv_bytes(product(n) for n in range(1_000)) + b"3,caf\xe9\n"
    run = run_import(tenant, content)
    assert (run.state, counts(run)) == ("failed", (0, 0, 0, 0, 0))
    assert run.problem.startswith("Line 1002: not UTF-8 text")
    assert not Product.objects.exists()


def test_unknown_columns_are_ignored_and_named(tenant: Tenant) -> None:
    columns = ["colour", *PRODUCT_COLUMNS]
    run = run_import(tenant, csv_bytes([product(1, colour="red")], columns))
    assert (run.state, run.ignored_columns) == ("loaded", ["colour"])


def test_the_same_rows_as_a_workbook_are_unchanged(tenant: Tenant) -> None:
    run_import(tenant, csv_bytes([product(1), product(2)]))
    rows = [PRODUCT_COLUMNS]
    for number in (1, 2):
        cells = product(number)
        rows.append([cells[name] for name in PRODUCT_COLUMNS])
        rows[-1][5:] = [18.0, 39, 0, 10, 0]  # type: ignore[list-item]
    run = run_import(tenant, xlsx_bytes(rows), filename="products.xlsx")
    assert counts(run) == (2, 0, 0, 2, 0)


def test_a_formula_in_a_workbook_refuses_its_row_and_names_the_column(tenant: Tenant) -> None:
    cells: list[object] = list(product(1).values())
    cells[5] = "=9*2"
    run = run_import(tenant, xlsx_bytes([PRODUCT_COLUMNS, cells]), filename="products.xlsx")
    assert refused(run)[2] == (
        "unit_price",
        "unit_price contains a formula; paste its value instead",
    )


def test_texts_that_look_like_sql_csv_or_null_are_kept_as_they_are(tenant: Tenant) -> None:
    names = ["'; DROP TABLE x; --", "\\N", '"quoted", and comma', "%s {}", "NULL", "\\."]
    run = run_import(tenant, csv_bytes(product(n, product_name=t) for n, t in enumerate(names)))
    assert run.created == len(names)
    kept = Product.objects.filter(tenant=tenant).order_by("sku").values_list("name", flat=True)
    assert list(kept) == names


def test_the_stock_of_a_file_is_in_the_ledger_once(tenant: Tenant) -> None:
    for _ in range(2):
        run_import(tenant, csv_bytes([product(1), product(2, units_in_stock="0")]))
    run = run_import(tenant, csv_bytes([product(1, units_in_stock="30")]))
    stock = Stock.objects.get(product__sku="1")
    assert (stock.quantity, stock.warehouse.code) == (30, "main")
    entries = Movement.objects.order_by("id").values_list("stock", "change", "quantity", "reason")
    assert list(entries) == [(stock.pk, 39, 39, "import"), (stock.pk, -9, 30, "import")]
    assert Movement.objects.filter(reference=f"import:{run.pk}").count() == 1


def test_a_cancelled_import_stops_and_leaves_nothing(tenant: Tenant) -> None:
    run = queue_import(
        tenant=tenant,
        kind="products",
        file=File(io.BytesIO(csv_bytes(product(n) for n in range(3)))),
        filename="a.csv",
    )
    Job.objects.update(cancel_requested_at="2026-01-01T00:00Z")
    (job,) = run_jobs()
    assert job.state == "cancelled"
    run.refresh_from_db()
    assert run.state == "waiting"
    assert not Product.objects.exists()
    assert not RejectedRow.objects.exists()


def test_a_hundred_thousand_rows_are_loaded_with_the_bad_ones_named(tenant: Tenant) -> None:
    rows = (product(n, unit_price="x" if n % 10_000 == 0 else "1.50") for n in range(100_000))
    run = run_import(tenant, csv_bytes(rows))
    assert counts(run) == (100_000, 99_990, 0, 0, 10)
    assert list(refused(run)) == [n + 2 for n in range(0, 100_000, 10_000)]


def test_a_crash_in_the_middle_of_the_load_leaves_nothing_and_a_replay_loads_it(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = queue_import(
        tenant=tenant,
        kind="products",
        file=File(io.BytesIO(csv_bytes([product(1), product(2, unit_price="x")]))),
        filename="a.csv",
    )
    with monkeypatch.context() as patch:
        # The products are in by then, their stock is not.
        patch.setattr(importing, "_STOCK", "SELECT 1 / 0")
        (job,) = run_jobs()
    assert job.state == "dead"
    run.refresh_from_db()
    assert run.state == "waiting"
    assert not Product.objects.exists()
    assert not RejectedRow.objects.exists()

    replayed = operations.replay(job.id, actor="user:ann")
    run_jobs()
    run.refresh_from_db()
    assert (run.state, counts(run), run.job_id) == ("loaded", (2, 1, 0, 0, 1), replayed.id)
