"""Keyset pages: they cost the same at any depth, and stay right while rows come in."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.db.models import Model, Q, QuerySet

M = TypeVar("M", bound=Model)

#: Turns one column's part of a cursor back into its value; raises ``ValueError``.
READERS: dict[str, Callable[[str], Any]] = {
    "id": UUID,
    "job_id": UUID,
    "died_at": datetime.fromisoformat,
}


class BadCursor(ValueError):
    """The cursor was not made by the page before."""


@dataclass(frozen=True, kw_only=True)
class Page(Generic[M]):
    """One page, newest first, and the cursors of its neighbours (None: there is none)."""

    items: list[M]
    #: Pass as ``before`` to get what is older.
    older: str | None
    #: Pass as ``after`` to get what is newer.
    newer: str | None


def equal_to(**values: str) -> Q:
    """Restrict columns to these texts; an empty one does not restrict.

    No text in the database has a NUL character, and PostgreSQL refuses to compare with one.
    """
    if any("\0" in value for value in values.values()):
        return Q(pk__in=[])
    return Q(**{column: value for column, value in values.items() if value})


def keyset_page(
    rows: QuerySet[M],
    columns: tuple[str, ...],
    *,
    before: str,
    after: str,
    limit: int,
    more: bool = False,
) -> Page[M]:
    """Cut a page out of ``rows``, sorted by ``columns``, which are unique together.

    ``more`` says that there are more rows than a page has, though some may be gone since.

    Raises:
        BadCursor: ``before`` or ``after`` is not a cursor of these columns.
    """
    if after:
        ordered = rows.filter(_beyond(columns, after, "gt")).order_by(*columns)
        items = list(ordered[: limit + 1])
        more, items = more or len(items) > limit, items[:limit][::-1]
        return Page(
            items=items,
            older=_cursor(items[-1], columns) if items else None,
            newer=_cursor(items[0], columns) if more and items else None,
        )
    if before:
        rows = rows.filter(_beyond(columns, before, "lt"))
    items = list(rows.order_by(*(f"-{column}" for column in columns))[: limit + 1])
    more, items = more or len(items) > limit, items[:limit]
    return Page(
        items=items,
        older=_cursor(items[-1], columns) if more and items else None,
        newer=_cursor(items[0], columns) if before and items else None,
    )


def _cursor(row: Model, columns: tuple[str, ...]) -> str:
    values = (getattr(row, column) for column in columns)
    return "~".join(v.isoformat() if isinstance(v, datetime) else str(v) for v in values)


def cursor_values(columns: tuple[str, ...], cursor: str) -> list[Any]:
    """Return what the cursor says of each column; raises :class:`BadCursor`."""
    try:
        return [
            READERS[column](part) for column, part in zip(columns, cursor.split("~"), strict=True)
        ]
    except ValueError:
        raise BadCursor(f"{cursor!r} is no cursor of this list") from None


def _beyond(columns: tuple[str, ...], cursor: str, side: str) -> Q:
    """Rows that sort after the cursor: the first column decides, the next ones break ties."""
    values = cursor_values(columns, cursor)
    condition, same = Q(), Q()
    for column, value in zip(columns, values, strict=True):
        condition |= same & Q(**{f"{column}__{side}": value})
        same &= Q(**{column: value})
    # Said once more for the index: PostgreSQL does not derive it from the alternatives.
    return Q(**{f"{columns[0]}__{side}e": values[0]}) & condition
