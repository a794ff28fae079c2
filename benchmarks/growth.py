"""Finished jobs by the million, made by SQL from jobs that the engine itself has carried.

A few hundred jobs are run by real workers. Then every row that they left, in the tables that grow
with jobs, is copied under new ids and at earlier instants, until there are as many as wanted. So
the rows are always as the engine writes them, whatever columns it has by now.

The jobs lie between nine days and some seconds back. The older half of them, a million at most, is
past the retention of seven days: the pruner has something to do.
"""

import re
import shutil
import time
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import psycopg

from benchmarks.errors import Failed
from benchmarks.servers import Servers

#: Tables that grow with jobs, with the column that says of which job a row is.
TABLES = {
    "jobs_job": "id",
    "jobs_attempt": "job_id",
    "jobs_auditentry": "subject_id",
    "django_celery_results_taskresult": "task_id",
}
#: Jobs in one transaction, and bytes on disk that one takes, with its indexes and the log.
_STEP, _BYTES = 200_000, 3_000
#: Bytes on disk for everything else.
_SPARE = 5_000_000_000
#: At most so many are past their retention.
MOST_OLD = 1_000_000
_DAY = 86_400
_WORDS, _FACTORS = re.compile(r"([0-9]+(?:\.[0-9]+)?)([km]?)"), {"": 1, "k": 1_000, "m": 1_000_000}

_COLUMNS = """
    SELECT attname, format_type(atttypid, NULL)
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped
      AND attidentity = '' AND attgenerated = ''
      AND COALESCE(pg_get_expr(adbin, adrelid), '') NOT LIKE 'nextval(%%'
    ORDER BY attnum
"""

#: Indexes that only serve queries: they are made again at the end, which is faster.
_INDEXES = """
    SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
    WHERE indrelid = %s::regclass AND NOT indisunique
"""


@dataclass(frozen=True)
class Ages:
    """How far back the jobs lie, in seconds, the first one furthest."""

    jobs: int

    @property
    def old(self) -> int:
        """How many are past their retention."""
        return min(self.jobs // 2, MOST_OLD)

    def sql(self, number: str) -> str:
        """Return the age of job ``number`` (from 0) as an expression."""
        recent = self.jobs - self.old
        return (
            f"CASE WHEN {number} < {self.old}"
            f" THEN {9 * _DAY} - {_DAY} * {number}::float8 / {max(1, self.old)}"
            f" ELSE {6.5 * _DAY} * (1 - ({number} - {self.old})::float8 / {recent}) + 10 END"
        )


def number_of(text: str) -> int:
    """Return the number of rows in words such as ``10k`` and ``1m``; raises ``ValueError``."""
    words = _WORDS.fullmatch(text.strip().lower())
    found = Decimal(words[1]) * _FACTORS[words[2]] if words else Decimal()
    if found < 1_000 or found != int(found):
        raise ValueError(f"expected 1000 rows or more, as in 10k, 1m, 2.5m, not {text!r}")
    return int(found)


def label(rows: int) -> str:
    """Return a number of rows in words."""
    if rows % 1_000_000 == 0:
        return f"{rows // 1_000_000} million"
    return f"{rows // 1_000} thousand" if rows % 1_000 == 0 else str(rows)


def check_room(folder: Path, rows: int) -> None:
    """Raise ``Failed`` when the disk of ``folder`` has no room for so many."""
    needed, free = rows * _BYTES + _SPARE, shutil.disk_usage(folder).free
    if free < needed:
        raise Failed(
            f"{rows} jobs need {_gigabytes(needed)} of disk, {_gigabytes(_SPARE)} to spare "
            f"included, and {_gigabytes(free)} are free"
        )


def _gigabytes(number: int) -> str:
    return f"{number / 1e9:.1f} GB"


def fill(servers: Servers, database: str, rows: int) -> float:
    """Multiply the finished jobs of ``database`` until there are ``rows``; returns the seconds."""
    began = time.monotonic()
    with servers.connect(database) as connection:
        connection.execute("SET maintenance_work_mem = '512MB'")
        connection.execute("SET synchronous_commit = off")
        connection.execute("SET session_replication_role = replica")  # no checks of foreign keys
        tables = [
            name
            for name in TABLES
            if connection.execute("SELECT to_regclass(%s)", [name]).fetchone() != (None,)
        ]
        indexes = [
            index for table in tables for index in connection.execute(_INDEXES, [table]).fetchall()
        ]
        _sample(connection, tables)
        statements = [_copy(connection, table) for table in tables]
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}")
        done = 0
        while done < rows:
            step = min(_STEP, rows - done)
            with connection.transaction():
                _choose(connection, done, step, rows)
                for statement in statements:
                    connection.execute(statement)
            done += step
        for _, definition in indexes:
            connection.execute(definition)
        for table in tables:
            connection.execute(f"VACUUM ANALYZE {table}")
        connection.execute("CHECKPOINT")
    return time.monotonic() - began


def _sample(connection: psycopg.Connection, tables: list[str]) -> None:
    """Put what the engine wrote aside: that is what is copied, and the copies are not."""
    connection.execute(
        "CREATE TEMP TABLE sample AS SELECT id, row_number() OVER (ORDER BY id) - 1 AS place "
        "FROM jobs_job WHERE state = 'succeeded'"
    )
    for table in tables:
        connection.execute(
            f"CREATE TEMP TABLE sample_{table} AS SELECT t.* FROM {table} AS t "
            f"JOIN sample ON sample.id::text = t.{TABLES[table]}::text"
        )


def _choose(connection: psycopg.Connection, first: int, step: int, rows: int) -> None:
    """Say which job each copy is of, its new id, and how far back it lies."""
    connection.execute("DROP TABLE IF EXISTS chosen")
    connection.execute(
        f"""
        CREATE TEMP TABLE chosen AS
        SELECT id AS old, uuidv7(-age) AS new, age FROM (
            SELECT id, make_interval(secs => {Ages(rows).sql("n")}) AS age
            FROM generate_series({first}, {first + step - 1}) AS n
            JOIN sample ON place = n % (SELECT count(*) FROM sample) ORDER BY n
        ) AS numbered
        """
    )
    connection.execute("ANALYZE chosen")


def _copy(connection: psycopg.Connection, table: str) -> str:
    """Return the statement that copies a table's rows of the chosen jobs."""
    own = TABLES[table]
    columns = connection.execute(_COLUMNS, [table]).fetchall()
    values = [_value(name, kind, own) for name, kind in columns]
    names = ", ".join(f'"{name}"' for name, _ in columns)
    return (
        f"INSERT INTO {table} ({names}) SELECT {', '.join(values)} "
        f"FROM chosen JOIN sample_{table} AS t ON t.{own}::text = chosen.old::text"
    )


def _value(name: str, kind: str, own: str) -> str:
    if name == own:
        return f"chosen.new::{kind}"
    if name == "correlation_id":
        return "replace(chosen.new::text, '-', '')"
    if kind == "timestamp with time zone":
        return f't."{name}" - chosen.age'
    return f't."{name}"'
