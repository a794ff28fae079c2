"""Files into rows of text, one at a time: CSV in UTF-8 (with or without BOM) and XLSX.

What a file is, its first bytes say, not its name. A row that cannot be read is handed on with its
problem, and reading goes on; a file that cannot be trusted beyond some point raises
:class:`~imports.errors.UnusableFile`.
"""

import csv
import io
import zipfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import IO, Any

from imports.errors import UnusableFile, WrongColumns
from imports.workbook import is_workbook, read_workbook

#: Bytes a file may have, and its parts once unpacked.
MAX_BYTES = 100 * 2**20
MAX_UNPACKED_BYTES = 1024 * 2**20
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class RawRow:
    """A row as it stands in the file."""

    #: The line (or the sheet's row) it begins on; the header is line 1.
    line: int
    cells: list[str]
    #: Column number (from 0; -1 the row as a whole) -> why the cell cannot be read.
    problems: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """An open file: its header, and its rows still to be read."""

    header: list[str]
    rows: Iterator[RawRow]
    #: How many rows there may be; more or fewer may come.
    expected_rows: int

    def cells(self, row: RawRow) -> dict[str, str]:
        """Return a row's cells by column; cells beyond the header have none."""
        return dict(zip(self.header, row.cells, strict=False))


@contextmanager
def open_table(file: IO[bytes], *, required: Sequence[str] = ()) -> Iterator[Table]:
    """Open a file and read its header, in which case and blanks do not matter.

    Args:
        file: Seekable; it is read from its beginning and left open.
        required: Columns that the header must name.

    Raises:
        UnusableFile: it is empty, too large, or neither CSV in UTF-8 nor XLSX; in the block too,
            when that shows only further on.
        WrongColumns: required columns are missing.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    start = file.read(8)
    file.seek(0)
    if size > MAX_BYTES:
        raise UnusableFile(f"The file is larger than {MAX_BYTES // 2**20} MiB; split it.")
    if start.startswith(_OLD_EXCEL):
        message = (
            "This is an old or a password-protected Excel file; save it as .xlsx or CSV UTF-8."
        )
        raise UnusableFile(message)
    if start.startswith(_UTF16):
        raise UnusableFile("The file is UTF-16 text; save it as CSV UTF-8.")
    if is_workbook(start):
        _refuse_bombs(file)
        with read_workbook(file) as (rows, expected):
            yield _table(rows, expected, required, pad=True)
    else:
        lines = _count_lines(file)
        with closing(_read_csv(file)) as rows:
            yield _table(rows, lines, required)


def _table(
    rows: Iterator[RawRow], lines: int, required: Sequence[str], *, pad: bool = False
) -> Table:
    first = next(rows, None)
    if first is None:
        raise UnusableFile("The file is empty.")
    if first.problems:
        raise UnusableFile(f"The header cannot be read: {next(iter(first.problems.values()))}.")
    header = [cell.strip().lower() for cell in first.cells]
    while header and not header[-1]:
        header.pop()
    missing = [name for name in required if name not in header]
    if missing:
        hint = ""
        if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
            hint = "Columns are to be separated by commas."
        raise WrongColumns(missing, [name[:40] for name in header], hint)
    if twice := sorted({name for name in header if name and header.count(name) > 1}):
        raise UnusableFile(f"The header names {', '.join(twice)} more than once.")
    width = len(header)
    return Table(header, (_fitted(row, width, pad=pad) for row in rows), max(0, lines - 1))


def _fitted(row: RawRow, width: int, *, pad: bool) -> RawRow:
    """Return the row with as many cells as the header; a sheet leaves its last empty ones out."""
    cells = row.cells
    if len(cells) == width:
        return row
    while len(cells) > width and not cells[-1].strip():
        cells = cells[:-1]
    if pad:
        cells = cells + [""] * (width - len(cells))
    if len(cells) == width or row.problems:
        return replace(row, cells=cells)
    message = f"has {len(cells)} cells where the header has {width}"
    return replace(row, cells=cells, problems={-1: message})


def _refuse_bombs(file: IO[bytes]) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(item.file_size for item in archive.infolist())
    except zipfile.BadZipFile:
        raise UnusableFile("The file is a damaged Excel file.") from None
    finally:
        file.seek(0)
    if unpacked > MAX_UNPACKED_BYTES:
        message = f"The file takes more than {MAX_UNPACKED_BYTES // 2**20} MiB unpacked; split it."
        raise UnusableFile(message)


def _count_lines(file: IO[bytes]) -> int:
    last, lines = b"\n", 0
    file.seek(0)
    while block := file.read(2**20):
        lines += block.count(b"\n")
        last = block[-1:]
    file.seek(0)
    return lines + (last != b"\n")


def _read_csv(file: IO[bytes]) -> Generator[RawRow, None, None]:
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    reader: Any = csv.reader(text, strict=True)
    try:
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                if "unexpected end of data" in str(error):
                    message = f"Line {line}: a quotation mark opens here that is never closed."
                    raise UnusableFile(message) from None
                yield RawRow(line, [], {-1: _csv_problem(error, line, reader.line_num)})
                continue
            if any(cell.strip() for cell in cells):
                yield RawRow(line, cells)
    except UnicodeDecodeError as error:
        raise UnusableFile(_where_not_utf8(file, error)) from None
    finally:
        text.detach()


def _csv_problem(error: csv.Error, first: int, last: int) -> str:
    where = f" (lines {first} to {last})" if last > first else ""
    if "field larger" in str(error):
        return f"a cell is longer than {csv.field_size_limit()} characters{where}"
    return f"quotation marks are not paired{where}"


def _where_not_utf8(file: IO[bytes], error: UnicodeDecodeError) -> str:
    file.seek(0)
    for number, line in enumerate(file, start=1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as found:
            byte = line[found.start]
            return f"Line {number}: not UTF-8 text (byte 0x{byte:02X}); save it as CSV UTF-8."
    return f"The file is not UTF-8 text ({error.reason}); save it as CSV UTF-8."
