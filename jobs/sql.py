"""Statements of the hot path: bound by the server and prepared once for each connection.

Django binds parameters into the text, so PostgreSQL would plan a statement anew each time; ours are
planned once. Behind a pooler that changes the server connection between transactions they are not
prepared, unless the pooler follows them (``DATABASE_TRANSACTION_POOLING``).
"""

from collections.abc import Sequence
from typing import Any

import psycopg
from django.db import connection


class _PreparedCursor(psycopg.Cursor[tuple[Any, ...]]):
    def execute(self, query: Any, params: Any = None, **options: Any) -> "_PreparedCursor":
        pooled = connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS")
        options.setdefault("prepare", not pooled)
        super().execute(query, params, **options)
        return self


def fetch(sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run a statement on Django's connection, and return its rows."""
    connection.ensure_connection()
    wrapped = connection._prepare_cursor  # type: ignore[attr-defined] # errors and query log
    with wrapped(_PreparedCursor(connection.connection)) as cursor:
        cursor.execute(sql, values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
