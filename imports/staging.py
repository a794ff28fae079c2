"""The good rows of a file in a temporary table, where importers check and load them in bulk.

The table ``import_rows`` has a column ``line``, one for each column of the importer, and
``outcome``: null until :attr:`Importer.load` has said what became of the row (``created``,
``updated`` or ``unchanged``). It lives as long as the transaction.
"""

import types
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Union, get_args, get_origin

from django.db import connection
from psycopg import sql

from imports.checking import NULL, Checked
from imports.models import ImportRun
from imports.registry import Importer, Reference

_TYPES: dict[type, str] = {
    str: "text",
    int: "bigint",
    bool: "boolean",
    Decimal: "numeric",
    date: "date",
}
_BLOCK = 2**20


class Staging:
    """What an importer's functions work on: the staged rows of one run."""

    def __init__(self, run: ImportRun, importer: Importer, checked: Checked) -> None:
        self.run = run
        self.importer = importer
        #: The columns that the file has; the others are null in every row.
        self.columns = checked.columns
        self._checked = checked

    @property
    def tenant_id(self) -> int:
        """Whose records are loaded."""
        return self.run.tenant_id

    def execute(self, statement: str, values: Mapping[str, Any] | None = None) -> int:
        """Run a statement with ``%(tenant)s``, ``%(run)s`` and more values; return its rows."""
        given = {"tenant": self.run.tenant_id, "run": self.run.pk, **(values or {})}
        with connection.cursor() as cursor:
            cursor.execute(statement, given)
            return int(cursor.rowcount)

    def reject(self, query: str | sql.Composed, values: Mapping[str, Any] | None = None) -> int:
        """Refuse the rows that a query names as ``(line, field, reason)``; return how many.

        A row may come more than once, with one field each; ``reason`` reads on from the field's
        name, as in "does not exist".
        """
        statement = sql.SQL("""
            WITH refused (line, field, reason) AS MATERIALIZED ({query}), rows AS (
                DELETE FROM import_rows WHERE line IN (SELECT line FROM refused)
                RETURNING *
            )
            INSERT INTO imports_rejectedrow (run_id, line, field, reason, cells)
            SELECT %(run)s, rows.line, why.fields, why.reasons,
                   to_jsonb(rows) - 'line' - 'outcome'
            FROM rows JOIN (
                SELECT line, string_agg(field, ', ' ORDER BY field) AS fields,
                       string_agg(field || ' ' || reason, '; ' ORDER BY field) AS reasons
                FROM refused GROUP BY line
            ) why USING (line)
        """).format(query=query if isinstance(query, sql.Composed) else sql.SQL(query))
        with connection.cursor() as cursor:
            given = {"tenant": self.run.tenant_id, "run": self.run.pk, **(values or {})}
            cursor.execute(statement, given)
            return int(cursor.rowcount)

    # --- the run's own steps, in their order ---------------------------------------------------

    def fill(self) -> None:
        """Make the table and copy the good rows into it, the bad ones into ``RejectedRow``."""
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS pg_temp.import_rows")
            cursor.execute(_table(self.importer))
            _copy(
                cursor,
                self._checked.good,
                sql.SQL("import_rows ({})").format(_names(["line", *self.importer.columns])),
            )
            cursor.execute("""
                CREATE TEMPORARY TABLE import_rejections
                    (line bigint, field text, reason text, cells jsonb) ON COMMIT DROP
            """)
            _copy(cursor, self._checked.bad, sql.SQL("import_rejections"))
            cursor.execute(
                """
                INSERT INTO imports_rejectedrow (run_id, line, field, reason, cells)
                SELECT %s, line, field, reason, cells FROM import_rejections
                """,
                [self.run.pk],
            )
            cursor.execute("DROP TABLE import_rejections")
            cursor.execute("ANALYZE import_rows")

    def reject_unknown_references(self) -> None:
        """Refuse the rows that name records which do not exist in the tenant."""
        if self.importer.references:
            self.reject(sql.SQL(" UNION ALL ").join(map(_unknown, self.importer.references)))

    def reject_duplicates(self) -> None:
        """Refuse each row that names the same record as an earlier one."""
        key = _names(self.importer.key)
        query = sql.SQL("""
            SELECT line, {fields}, 'names the same record as line ' || first
            FROM (SELECT line, min(line) OVER (PARTITION BY {key}) AS first FROM import_rows) seen
            WHERE line > first
        """)
        self.reject(query.format(fields=sql.Literal(", ".join(self.importer.key)), key=key))

    def outcomes(self) -> dict[str, int]:
        """Count the staged rows by outcome."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT outcome, count(*) FROM import_rows GROUP BY outcome")
            return dict(cursor.fetchall())


def _unknown(reference: Reference) -> sql.Composed:
    meta = reference.model._meta
    return sql.SQL("""
        SELECT line, {field}, '“' || {column} || '” does not exist'
        FROM import_rows
        WHERE NOT EXISTS (
            SELECT FROM {table} record
            WHERE record.tenant_id = %(tenant)s AND record.{key} = import_rows.{column}
        )
    """).format(
        field=sql.Literal(reference.column),
        column=sql.Identifier(reference.column),
        table=sql.Identifier(meta.db_table),
        key=sql.Identifier(meta.get_field(reference.key).column),  # type: ignore[arg-type, union-attr]
    )


def _table(importer: Importer) -> sql.Composed:
    columns = [
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(_type(field.annotation)))
        for name, field in importer.row.model_fields.items()
    ]
    return sql.SQL(
        "CREATE TEMPORARY TABLE import_rows (line bigint PRIMARY KEY, outcome text, {}) "
        "ON COMMIT DROP"
    ).format(sql.SQL(", ").join(columns))


def _type(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _type(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        (kind,) = (kind for kind in get_args(annotation) if kind is not types.NoneType)
        return _type(kind)
    # EmailStr and the like are text to a type checker alone.
    return _TYPES.get(annotation, "text")


def _names(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _copy(cursor: Any, source: Any, target: sql.Composable) -> None:
    statement = sql.SQL("COPY {} FROM STDIN (FORMAT csv, NULL {})").format(
        target, sql.Literal(NULL)
    )
    with cursor.copy(statement) as copy:
        while block := source.read(_BLOCK):
            copy.write(block)
