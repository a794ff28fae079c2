"""What can be read, which line a row is on, and what is said of a file that cannot be used."""

import io
import zipfile
from datetime import date, datetime

import pytest

from imports import reading
from imports.errors import UnusableFile, WrongColumns
from imports.reading import RawRow, open_table
from tests.imports.builders import xlsx_bytes


def read(content: bytes, *required: str) -> tuple[list[str], list[RawRow]]:
    """Return the header and the rows of a file."""
    with open_table(io.BytesIO(content), required=required) as table:
        return table.header, list(table.rows)


def test_csv_is_read_with_and_without_a_byte_order_mark() -> None:
    for mark in (b"", b"\xef\xbb\xbf"):
        header, rows = read(mark + "id,name\n1,Žižkov 東京\n".encode(), "id", "name")
        assert header == ["id", "name"]
        assert rows == [RawRow(2, ["1", "Žižkov 東京"])]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_line_endings_of_all_systems_are_read(ending: str) -> None:
    _, rows = read(ending.join(["id,name", "1,a", "2,b"]).encode())
    assert [(row.line, row.cells) for row in rows] == [(2, ["1", "a"]), (3, ["2", "b"])]


def test_the_header_counts_in_any_case_with_blanks_around() -> None:
    header, _ = read(b" ID , Name\n", "id", "name")
    assert header == ["id", "name"]


def test_blank_lines_are_no_rows_but_count_as_lines() -> None:
    _, rows = read(b"id,name\n\n1,a\n,\n2,b\n")
    assert [row.line for row in rows] == [3, 5]


def test_a_row_begins_where_its_first_line_is() -> None:
    _, rows = read(b'id,name\n1,"two\nlines"\n2,b\n')
    assert [(row.line, row.cells[1]) for row in rows] == [(2, "two\nlines"), (4, "b")]


def test_a_row_with_too_few_or_too_many_cells_says_so() -> None:
    _, rows = read(b"id,name\n1\n1,a,x\n1,a,\n")
    assert rows[0].problems == {-1: "has 1 cells where the header has 2"}
    assert rows[1].problems == {-1: "has 3 cells where the header has 2"}
    assert rows[2] == RawRow(4, ["1", "a"])


def test_a_row_with_unpaired_quotes_is_one_bad_row() -> None:
    _, rows = read(b'id,name\n1,"a"b\n2,c\n')
    assert [(row.line, bool(row.problems)) for row in rows] == [(2, True), (3, False)]


def test_a_quote_that_is_never_closed_makes_the_file_unusable_and_names_its_line() -> None:
    with pytest.raises(UnusableFile, match=r"^Line 3: .* never closed"):
        read(b'id,name\n1,a\n2,"b\n3,c\n')


def test_latin_1_is_refused_with_the_line() -> None:
    with pytest.raises(UnusableFile, match=r"^Line 3: not UTF-8 text \(byte 0xE9\)"):
        read("id,name\n1,a\n2,café\n".encode("latin-1"))


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(content: bytes) -> None:
    with pytest.raises(UnusableFile, match="The file is empty"):
        read(content, "id")


def test_a_header_without_rows_is_read() -> None:
    assert read(b"id,name") == (["id", "name"], [])


def test_missing_columns_are_named() -> None:
    with pytest.raises(WrongColumns, match=r"Columns name, price missing.*Found: id") as caught:
        read(b"id\n1\n", "id", "name", "price")
    assert caught.value.missing == ["name", "price"]


def test_other_separators_are_explained() -> None:
    with pytest.raises(WrongColumns, match="separated by commas"):
        read(b"id;name\n1;a\n", "id", "name")


def test_a_header_that_names_a_column_twice_is_refused() -> None:
    with pytest.raises(UnusableFile, match="names id more than once"):
        read(b"id,name,ID\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xd0\xcf\x11\xe0rest", "old or a password-protected Excel"),
        ("id,name".encode("utf-16"), "UTF-16"),
        (b"PK\x03\x04rest", "damaged Excel"),
    ],
)
def test_other_formats_are_named(content: bytes, message: str) -> None:
    with pytest.raises(UnusableFile, match=message):
        read(content)


def test_a_zip_archive_that_is_no_workbook_is_refused() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a.txt", "a")
    with pytest.raises(UnusableFile, match="not a workbook"):
        read(content.getvalue())


def test_a_zip_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_UNPACKED_BYTES", 1000)
    with pytest.raises(UnusableFile, match="unpacked"):
        read(xlsx_bytes([["id"]]))


def test_a_file_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_BYTES", 10)
    with pytest.raises(UnusableFile, match="larger than"):
        read(b"id,name,price\n")


def test_cells_of_a_workbook_become_what_a_csv_would_say() -> None:
    content = xlsx_bytes(
        [
            ["id", "price", "share", "day", "moment", "flag", "text"],
            [11, 14.0, 0.15, date(2026, 2, 28), datetime(2026, 2, 28, 9, 30), True, "東京"],
            [10_248, 9.8, 1e-05, None, None, False, None],
        ]
    )
    _, rows = read(content, "id")
    assert [row.cells for row in rows] == [
        ["11", "14", "0.15", "2026-02-28", "2026-02-28 09:30:00", "1", "東京"],
        ["10248", "9.8", "0.00001", "", "", "0", ""],
    ]
    assert [row.line for row in rows] == [2, 3]


def test_formulas_and_errors_of_a_workbook_are_problems_of_their_cells() -> None:
    _, rows = read(xlsx_bytes([["id", "price"], ["=1+1", 2], [1, "#REF!"]]))
    assert rows[0].problems == {0: "contains a formula; paste its value instead"}
    assert rows[1].problems == {1: "contains an error of Excel's"}


def test_empty_rows_of_a_workbook_are_no_rows() -> None:
    _, rows = read(xlsx_bytes([["id", "name"], [None, None], [1, "a"], ["", " "]]))
    assert [row.line for row in rows] == [3]


def test_only_the_first_sheet_is_read_and_an_empty_one_is_refused() -> None:
    with pytest.raises(UnusableFile, match="The file is empty"):
        read(xlsx_bytes([]))
