"""Reads rows of a fixed statement; values go in as parameters, never as text."""

from collections.abc import Mapping
from typing import Any

from django.db import connection


def fetch(statement: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
    """Return all rows of ``statement``."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
