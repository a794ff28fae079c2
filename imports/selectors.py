"""Reads of the imports."""

import csv
from collections.abc import Iterator
from typing import Any

from imports.models import ImportRun
from imports.registry import get_importer

#: A cell that begins with one of these is a formula to a spreadsheet program.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class _Echo:
    """A file that hands back what is written to it."""

    def write(self, text: str) -> str:
        return text


def summary(run: ImportRun) -> dict[str, Any]:
    """Return what became of a run, as JSON."""
    return {
        "run": run.pk,
        "state": run.state,
        "problem": run.problem,
        "rows": run.rows,
        "created": run.created,
        "updated": run.updated,
        "unchanged": run.unchanged,
        "rejected": run.rejected,
        "ignored_columns": run.ignored_columns,
    }


def rejections(run: ImportRun) -> Iterator[dict[str, Any]]:
    """Return the refused rows in the order of the file, as JSON."""
    rows = run.rejected_rows.order_by("line").values("line", "field", "reason")
    return (dict(row) for row in rows.iterator(chunk_size=2_000))


def rejections_csv(run: ImportRun) -> Iterator[str]:
    """Return the refused rows as lines of CSV: line, field, reason, then the file's own columns.

    Corrected, it can be imported as it is. No cell is a formula to a spreadsheet: those that would
    be get an apostrophe.
    """
    writer = csv.writer(_Echo())
    columns = get_importer(run.kind).columns
    yield "\ufeff" + writer.writerow(["line", "field", "reason", *columns])
    for row in run.rejected_rows.order_by("line").iterator(chunk_size=2_000):
        cells = [row.line, row.field, row.reason, *(row.cells.get(name) for name in columns)]
        yield writer.writerow([_safe(cell) for cell in cells])


def _safe(cell: Any) -> str:
    text = "" if cell is None else str(cell)
    return f"'{text}" if text.startswith(_FORMULA) else text
