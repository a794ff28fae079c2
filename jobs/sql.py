"""Statements of the hot path: bound by the server and prepared once for each connection.

Django binds parameters into the text, so PostgreSQL would plan a statement anew each time; ours are
planned once, whatever their parameters: each has one good plan, by an index. Behind a pooler that
changes the server connection between transactions (``DATABASE_TRANSACTION_POOLING``) they are not
prepared.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import psycopg
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

_COMMENT = re.compile(r"--[^\n]*")


def is_pooled(connection: BaseDatabaseWrapper) -> bool:
    """Say whether a pooler may change the server connection between transactions."""
    return bool(connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"))


class _PreparedCursor(psycopg.Cursor[tuple[Any, ...]]):
    def execute(self, query: Any, params: Any = None, **options: Any) -> "_PreparedCursor":
        if is_pooled(connection):
            super().execute(query, params, **options)
            return self
        # Django switches preparing off for its connections; on, it would be on for the ORM, too.
        self.connection.prepare_threshold = 0
        try:
            super().execute(query, params, prepare=True, **options)
        finally:
            self.connection.prepare_threshold = None
        return self


@lru_cache(maxsize=256)
def _compact(sql: str) -> str:
    """Return the statement on one line: psycopg parses a short one once, a long one each time."""
    return " ".join(_COMMENT.sub("", sql).split())


def fetch(sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run a statement on Django's connection, and return its rows.

    Its text may be laid out and commented at will; its literals may hold no more than one space at
    a time.
    """
    sql = _compact(sql)
    connection.ensure_connection()
    wrapped = connection._prepare_cursor  # type: ignore[attr-defined] # errors and query log
    with wrapped(_PreparedCursor(connection.connection)) as cursor:
        cursor.execute(sql, values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
