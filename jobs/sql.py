"""Statements of the hot path: bound by the server and prepared once for each connection.

Django binds parameters into the text, so PostgreSQL would plan a statement anew each time; ours are
planned once, whatever their parameters: each has one good plan, by an index. They are not prepared
behind a pooler that changes the server connection between transactions
(``DATABASE_TRANSACTION_POOLING``), nor while somebody watches the connection's statements.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import count
from typing import Any

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from jobs import wire

_COMMENT = re.compile(r"--[^\n]*")
_PLACE = re.compile(r"%[s%]")


def is_pooled(connection: BaseDatabaseWrapper) -> bool:
    """Say whether a pooler may change the server connection between transactions."""
    return bool(connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"))


@lru_cache(maxsize=256)
def _compact(sql: str) -> str:
    """Return the statement on one line: psycopg parses a short one once, a long one each time."""
    return " ".join(_COMMENT.sub("", sql).split())


@lru_cache(maxsize=256)
def _numbered(sql: str) -> bytes:
    """Return the statement with the server's own names for its values: ``$1``, ``$2``, …"""
    numbers = count(1)
    return _PLACE.sub(
        lambda found: "%" if found[0] == "%%" else f"${next(numbers)}", _compact(sql)
    ).encode()


def _is_plain(ours: Any) -> bool:
    """Say whether nothing about Django's connection asks for a cursor of its own."""
    watched = ours.queries_logged or ours.execute_wrappers
    # Without a cursor times are read as those of UTC.
    elsewhere = ours.timezone_name != "UTC"
    return not (watched or elsewhere or is_pooled(ours)) and wire.can_speak(ours.connection)


def fetch(sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run a statement on Django's connection, and return its rows.

    Its text may be laid out and commented at will; its literals may hold no more than one space at
    a time.
    """
    ours = connections[DEFAULT_DB_ALIAS]  # each look through the proxy costs microseconds
    ours.close_if_health_check_failed()  # the first of a web request asks whether it still lives
    if ours.connection is not None and ours.connection.closed and not ours.in_atomic_block:
        ours.close()  # nothing was begun on it that could be lost
    if ours.connection is None:
        ours.ensure_connection()
    if _is_plain(ours):
        ours.validate_thread_sharing()
        ours.validate_no_broken_transaction()
        with ours.wrap_database_errors:
            return wire.fetch(ours.connection, _numbered(sql), values)
    cursor = psycopg.Cursor(ours.connection)  # Django's own binds into the text
    # In Django's wrapper: those who watch statements see it.
    with ours._prepare_cursor(cursor) as cursor:  # type: ignore[attr-defined]
        cursor.execute(_compact(sql), values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
