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
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

_COMMENT = re.compile(r"--[^\n]*")


def is_pooled(connection: BaseDatabaseWrapper) -> bool:
    """Say whether a pooler may change the server connection between transactions."""
    return bool(connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"))


class _PreparedCursor(psycopg.Cursor[tuple[Any, ...]]):
    def execute(self, query: Any, params: Any = None, **options: Any) -> "_PreparedCursor":
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
    ours = connections[DEFAULT_DB_ALIAS]  # each look through the proxy costs microseconds
    ours.ensure_connection()
    kind = psycopg.Cursor if is_pooled(ours) else _PreparedCursor
    # Django's wrapper: its errors and its log of statements.
    with ours._prepare_cursor(kind(ours.connection)) as cursor:  # type: ignore[attr-defined]
        cursor.execute(_compact(sql), values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
