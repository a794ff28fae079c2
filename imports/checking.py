"""Every row of a file checked, before anything is locked or written.

It takes most of an import's time, so it happens outside of the transaction, where progress can be
seen. What it finds goes to two temporary files in the form that PostgreSQL copies: memory stays
small whatever the size of the file.
"""

import csv
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import IO, Any

from imports.reading import RawRow, Table, open_table
from imports.registry import Importer
from imports.rows import RefusedRow, check_row

#: Stands for NULL in the temporary files. No cell has it: control characters are refused.
NULL = "\x01"
#: Rows between two reports of progress.
REPORT_EVERY = 2_000
#: Characters of a refused cell that are kept.
KEPT_CHARACTERS = 1_000


@dataclass(kw_only=True)
class Checked:
    """The rows of a file, parted. The files are CSV without a header, with ``NULL`` for null."""

    #: Columns of the file that the importer knows, in the importer's order.
    columns: list[str]
    ignored_columns: list[str]
    #: ``line`` and the importer's columns, all of them.
    good: IO[str]
    #: ``line, field, reason, cells`` (JSON).
    bad: IO[str]
    rows: int = 0
    rejected: int = 0


@contextmanager
def checked_rows(
    importer: Importer, file: IO[bytes], report: Callable[[int, int], None]
) -> Iterator[Checked]:
    """Check every row of the file; the temporary files go with the block.

    Args:
        importer: Says what is good.
        file: CSV or XLSX, opened for reading bytes.
        report: Called now and then with the rows checked and the rows expected.

    Raises:
        UnusableFile: the file as a whole cannot be used.
    """
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as good,
        tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as bad,
        open_table(file, required=importer.required_columns) as table,
    ):
        known = set(importer.columns)
        checked = Checked(
            columns=[name for name in importer.columns if name in table.header],
            ignored_columns=[name for name in table.header if name and name not in known],
            good=good,
            bad=bad,
        )
        _check(importer, table, checked, report)
        good.seek(0)
        bad.seek(0)
        yield checked


def _check(
    importer: Importer, table: Table, checked: Checked, report: Callable[[int, int], None]
) -> None:
    good, bad = csv.writer(checked.good), csv.writer(checked.bad)
    for raw in table.rows:
        checked.rows += 1
        try:
            values = _values(importer, table, raw)
        except RefusedRow as refused:
            checked.rejected += 1
            bad.writerow(_rejection(raw, table, refused.problems))
        else:
            good.writerow([raw.line, *values])
        if checked.rows % REPORT_EVERY == 0:
            report(checked.rows, max(checked.rows, table.expected_rows))
    report(checked.rows, checked.rows)


def _values(importer: Importer, table: Table, raw: RawRow) -> list[Any]:
    if raw.problems:
        names = dict(enumerate(table.header))
        raise RefusedRow({names.get(at, ""): reason for at, reason in raw.problems.items()})
    row = check_row(importer.row, table.cells(raw))
    return [_copied(getattr(row, name)) for name in importer.columns]


def _copied(value: str | int | bool | Decimal | date | None) -> str | int:
    if value is None:
        return NULL
    if isinstance(value, bool):
        return "t" if value else "f"
    return value if isinstance(value, int) else str(value)


def _rejection(raw: RawRow, table: Table, problems: dict[str, str]) -> list[str | int]:
    reasons = "; ".join(f"{name} {why}" if name else why for name, why in problems.items())
    values = {name: _kept(text) for name, text in table.cells(raw).items()}
    fields = ", ".join(name for name in problems if name)
    return [raw.line, fields, reasons.replace("\0", "␀"), json.dumps(values, ensure_ascii=False)]


def _kept(text: str) -> str:
    # PostgreSQL keeps no NUL; its picture (U+2400) shows where it was.
    text = text.replace("\0", "␀")
    return text if len(text) <= KEPT_CHARACTERS else f"{text[: KEPT_CHARACTERS - 1]}…"
