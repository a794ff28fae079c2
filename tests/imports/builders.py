"""The one place where tests get files and imports from."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import openpyxl
from django.core.files.base import File

from imports.models import ImportRun
from imports.services import execute_import
from imports.task_helpers import queue_import
from tenants.models import Tenant

PRODUCT_COLUMNS = [
    "product_id", "product_name", "category_name", "supplier", "quantity_per_unit", "unit_price",
    "units_in_stock", "units_on_order", "reorder_level", "discontinued",
]  # fmt: skip


def product(number: int | str, **cells: str) -> dict[str, str]:
    """Return the cells of a good product row, changed by ``cells``."""
    good = {
        "product_id": str(number),
        "product_name": f"Product {number}",
        "category_name": "Beverages",
        "supplier": "Exotic Liquids",
        "quantity_per_unit": "10 boxes",
        "unit_price": "18.00",
        "units_in_stock": "39",
        "units_on_order": "0",
        "reorder_level": "10",
        "discontinued": "0",
    }
    return good | cells


def csv_bytes(rows: Iterable[Mapping[str, str]], columns: Sequence[str] = PRODUCT_COLUMNS) -> bytes:
    """Return the rows as CSV in UTF-8."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def xlsx_bytes(rows: Sequence[Sequence[Any]]) -> bytes:
    """Return the rows, the header first, as the first sheet of a workbook."""
    book = openpyxl.Workbook()
    sheet = book.active
    for row in rows:
        sheet.append(list(row))
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def run_import(
    tenant: Tenant,
    content: bytes,
    *,
    kind: str = "products",
    filename: str = "file.csv",
    all_or_nothing: bool = False,
) -> ImportRun:
    """Import the content here and now, and return the run."""
    run = queue_import(
        tenant=tenant,
        kind=kind,
        file=File(io.BytesIO(content)),
        filename=filename,
        all_or_nothing=all_or_nothing,
    )
    return execute_import(run.pk)


def refused(run: ImportRun) -> dict[int, tuple[str, str]]:
    """Return the refused rows: line to field and reason."""
    rows = run.rejected_rows.values_list("line", "field", "reason")
    return {line: (field, reason) for line, field, reason in rows}
