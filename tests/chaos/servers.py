"""PostgreSQL and Valkey of the suite's own, and what can be done to them."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import redis

import embedded
from embedded.postgres import Postgres
from embedded.server import Server
from embedded.valkey import Valkey

#: Seconds between two looks while something is waited for.
LOOK = 0.03
#: Variables by which the processes would find servers that are not ours.
FOREIGN = ("DATABASE_URL", "REDIS_URL", "SMTP_URL", "JOBS_ENCRYPTION_KEYS", "ERP_TESTS_DATA_DIR")


class Servers:
    """The two servers, under one temporary directory, named in this process's environment."""

    def __init__(self, data: Path) -> None:
        for variable in FOREIGN:
            os.environ.pop(variable, None)
        # The suite sends no e-mail: nothing listens there.
        os.environ |= {"DATA_DIR": str(data), "SMTP_URL": "smtp://127.0.0.1:9"}
        lease = embedded.ensure(data, announce=lambda _line: None)
        assert lease is not None
        self._lease = lease
        self.postgres: Server = next(one for one in lease.servers if isinstance(one, Postgres))
        self.valkey: Server = next(one for one in lease.servers if isinstance(one, Valkey))
        self.redis = redis.Redis.from_url(
            self.valkey.url(), socket_timeout=2, socket_connect_timeout=2
        )
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Return a new connection, in autocommit mode."""
        return psycopg.connect(
            self.postgres.url(),
            autocommit=True,
            connect_timeout=5,
            application_name="chaos-driver",
        )

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run SQL; returns the rows, if there are any. Raises ``psycopg.OperationalError``."""
        try:
            if self._connection is None:
                self._connection = self.connect()
            cursor = self._connection.execute(sql.encode(), values or None)
            return cursor.fetchall() if cursor.description else []
        except psycopg.OperationalError:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            raise

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run SQL; returns no rows while PostgreSQL is away."""
        try:
            return self.query(sql, *values)
        except psycopg.OperationalError:
            return []

    def restart(self, server: Server, number: signal.Signals, downtime: float) -> Iterator[float]:
        """Signal the server to its end, and start it again; yields the seconds to wait."""
        pid = server.pid()
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        while server.pid() is not None:
            yield LOOK
        yield downtime
        server.begin(alone=True)
        while not server.answers():
            yield LOOK
        server.wait()

    def thaw(self) -> None:
        """Let a stopped Valkey go on, with the memory it wants."""
        pid = self.valkey.pid()
        if pid is not None:
            os.kill(pid, signal.SIGCONT)

    def stop(self) -> None:
        """Stop both."""
        self.thaw()
        if self._connection is not None:
            self._connection.close()
        self.redis.close()
        self._lease.release()
