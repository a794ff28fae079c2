"""XLSX sheets into rows of text. The first sheet is read; its cells become what a CSV would say."""

import math
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any
from xml.etree.ElementTree import ParseError

from imports.errors import UnusableFile

if TYPE_CHECKING:
    from imports.reading import RawRow


def is_workbook(start: bytes) -> bool:
    """Whether a file that begins with these bytes is a ZIP archive, as XLSX files are."""
    return start.startswith(b"PK\x03\x04")


@contextmanager
def read_workbook(file: IO[bytes]) -> "Iterator[tuple[Iterator[RawRow], int]]":
    """Open a workbook; return the rows of its first sheet and how many the sheet claims to have.

    Raises:
        UnusableFile: it is no workbook, or a damaged one; while the rows are read too.
    """
    import openpyxl  # large, and most processes read no workbook

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # styles and extensions that we do not need
            # Django's File is false when it has no name, which zipfile takes for closed.
            bare = getattr(file, "file", file)
            book = openpyxl.load_workbook(bare, read_only=True, keep_links=False)
    except (KeyError, ValueError, OSError, zipfile.BadZipFile, ParseError, EOFError) as error:
        raise UnusableFile(f"The file is not a workbook that can be read ({error}).") from None
    try:
        if not book.worksheets:
            raise UnusableFile("The workbook has no sheet.")
        sheet = book.worksheets[0]
        claimed = sheet.max_row or 0
        sheet.reset_dimensions()  # some programs write wrong ones, and rows would be lost
        yield _rows(sheet), claimed
    finally:
        book.close()


def _rows(sheet: Any) -> "Iterator[RawRow]":
    from imports.reading import RawRow

    rows = enumerate(sheet.iter_rows(), start=1)
    while True:
        try:
            number, cells = next(rows)
        except StopIteration:
            return
        except (KeyError, ValueError, zipfile.BadZipFile, ParseError, EOFError) as error:
            raise UnusableFile(f"The sheet is damaged ({error}).") from None
        texts: list[str] = []
        problems: dict[int, str] = {}
        for column, cell in enumerate(cells):
            text, problem = _text(cell)
            texts.append(text)
            if problem:
                problems[column] = problem
        while texts and not texts[-1].strip():
            texts.pop()
        if texts:
            yield RawRow(number, texts, problems)


def _text(cell: Any) -> tuple[str, str]:
    value = cell.value
    if value is None:
        return "", ""
    if cell.data_type == "f":
        return str(getattr(value, "text", value)), "contains a formula; paste its value instead"
    if cell.data_type == "e":
        return str(value), "contains an error of Excel's"
    return _plain(value), ""


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        # Excel keeps 9.8 as 9.8000000000000007; the shortest text for the same float is "9.8".
        if not math.isfinite(value):
            return str(value)
        return str(int(value)) if value.is_integer() else format(Decimal(repr(value)), "f")
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ")
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value)
