"""The benchmark's own PostgreSQL and Valkey, with the settings that the product gives them.

Every measurement begins with a database that is a copy of an empty, prepared one, an empty Redis
database, and a checkpoint just made, so that none works on what another left behind. Growth alone
is measured on databases that stay; they get the empty Redis and the checkpoint, too.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
import redis

import embedded
from embedded import broker_url

#: Nothing of the benchmark is mailed.
NO_MAIL = "smtp://127.0.0.1:9"


class Servers:
    """PostgreSQL and Valkey of a data directory; names of databases are plain identifiers."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self._places = embedded.Places(data)
        self._redis = embedded.urls(data)["REDIS_URL"]

    def dsn(self, database: str) -> str:
        """Return the address as libpq and asyncpg read it."""
        return f"postgresql://postgres@/{database}?host={self._places.postgres_socket}"

    def environment(self, database: str, number: int) -> dict[str, str]:
        """Return the variables of a system that has this database, and this number in Redis."""
        host = quote(str(self._places.postgres_socket), safe="")
        redis_url = self._redis.replace("db=0", f"db={number}")
        return {
            "DATA_DIR": str(self.data),
            "DATABASE_URL": f"postgresql://postgres@{host}/{database}",
            "REDIS_URL": redis_url,
            "SMTP_URL": NO_MAIL,
            "BENCH_DSN": self.dsn(database),
            "BENCH_BROKER": broker_url(redis_url),
        }

    def connect(self, database: str) -> psycopg.Connection:
        """Return a connection in autocommit mode."""
        return psycopg.connect(self.dsn(database), autocommit=True)

    def create(self, database: str, template: str = "template1") -> None:
        """Create the database anew, as a copy of ``template``, and make a checkpoint."""
        with self.connect("postgres") as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
            # Copying files beats copying through the log when the template is large.
            connection.execute(f"CREATE DATABASE {database} TEMPLATE {template} STRATEGY file_copy")
            connection.execute("CHECKPOINT")

    def drop(self, database: str) -> None:
        """Drop the database, whoever is connected to it."""
        with self.connect("postgres") as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def checkpoint(self) -> None:
        """Make a checkpoint, so that none is due because of what was before."""
        with self.connect("postgres") as connection:
            connection.execute("CHECKPOINT")

    def version(self) -> str:
        """Return PostgreSQL's version and settings that matter here."""
        with self.connect("postgres") as connection:
            row = connection.execute(
                "SELECT current_setting('server_version'), current_setting('fsync'), "
                "current_setting('synchronous_commit'), current_setting('shared_buffers')"
            ).fetchone()
        assert row is not None
        return "PostgreSQL {}, fsync {}, synchronous_commit {}, shared_buffers {}".format(*row)

    def empty_redis(self, number: int) -> None:
        """Delete what is in this number of Redis."""
        with redis.Redis.from_url(self._redis.replace("db=0", f"db={number}")) as client:
            client.flushdb()


@contextmanager
def for_a_moment() -> Iterator[None]:
    """Run servers in a temporary place, and have Django's settings, not read yet, lead to them."""
    data = Path(tempfile.mkdtemp(prefix="erp-bench-"))
    os.environ |= {"DATA_DIR": str(data), "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
                   "LOG_LEVEL": "ERROR"}  # fmt: skip
    for variable in ("DATABASE_URL", "REDIS_URL", "SMTP_URL"):
        os.environ.pop(variable, None)
    lease = embedded.ensure(data)
    try:
        yield
    finally:
        if lease is not None:
            lease.release()
        shutil.rmtree(data, ignore_errors=True)


@contextmanager
def running(home: Path) -> Iterator[Servers]:
    """Run the servers below ``home``; their data is deleted at the end.

    Exits with a message when another benchmark of this checkout runs.
    """
    home.mkdir(parents=True, exist_ok=True)
    data = home / "data"
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit("Another benchmark of this checkout runs.") from None
        lease = embedded.ensure(data, {"SMTP_URL": NO_MAIL})
        try:
            yield Servers(data)
        finally:
            if lease is not None:
                lease.release()  # before its files go: nobody could stop the servers afterwards
            embedded.Places(data).remove()
