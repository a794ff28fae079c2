"""A PgBouncer of the benchmark's own before its PostgreSQL, with transaction pooling.

It listens on a Unix socket alone, among the servers' sockets, which are deleted at the end. It runs
as the account that PostgreSQL runs as: neither runs as root, and PostgreSQL's socket is open to no
other.
"""

import os
import resource
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, SIGTERM
from urllib.parse import quote

import psycopg

from benchmarks.errors import Failed, Unavailable
from embedded import Places, processes

#: Workers that may be connected at a time, and files open: theirs, those to PostgreSQL, its own.
CLIENTS, FILES = 4_000, 5_000
#: Seconds for it to serve.
PATIENCE = 20
#: What the engine sets in a session of its own (:mod:`jobs.sessions`), and here each server
#: connection has: planned for its values, a claim may read the table where an index is at hand.
GENERIC = "SET plan_cache_mode = force_generic_plan"
#: Debian and its like keep it where only root's PATH leads.
_ELSEWHERE = "/usr/sbin"


def program() -> Path:
    """Return where ``pgbouncer`` is; raises ``Unavailable``, which says how to get it."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), _ELSEWHERE))
    found = shutil.which("pgbouncer", path=path)
    if found is None:
        raise Unavailable(
            "--pooler needs the program `pgbouncer`, which is neither on the PATH nor in "
            f"{_ELSEWHERE}. Install it (`apt-get install pgbouncer` on Debian and its like, `dnf "
            "install pgbouncer` on Fedora, `brew install pgbouncer` on macOS); its system service "
            "is not needed. Or measure without --pooler."
        )
    return Path(found)


def configuration(places: Places, server_connections: int) -> str:
    """Return the text of its ``pgbouncer.ini``."""
    target = f"host={places.postgres_socket} port=5432 user=postgres"
    databases = {"*": f"{target} connect_query='{GENERIC}'"}
    settings = {
        "listen_addr": "",
        "listen_port": 5432,
        "unix_socket_dir": home(places),
        "unix_socket_mode": "0700",
        # Who reaches the socket may all: as with the embedded PostgreSQL.
        "auth_type": "any",
        "pool_mode": "transaction",
        "default_pool_size": server_connections,
        "max_client_conn": CLIENTS,
        # A thousand workers connect in the same second; a Unix socket refuses who finds no room.
        "listen_backlog": CLIENTS,
        "log_connections": 0,
        "log_disconnections": 0,
    }
    return _section("databases", databases) + _section("pgbouncer", settings)


def home(places: Places) -> Path:
    """Return the directory of its socket and its configuration, with a name as long as ``pg``."""
    return places.sockets / "pb"


@dataclass(frozen=True)
class Pooler:
    """A PgBouncer that runs."""

    pid: int
    directory: Path

    def environment(self, database: str) -> dict[str, str]:
        """Return the variables of a worker that works through it."""
        host = quote(str(self.directory), safe="")
        return {
            "DATABASE_URL": f"postgresql://postgres@{host}/{database}",
            "DATABASE_TRANSACTION_POOLING": "true",
        }

    def answers(self) -> bool:
        """Say whether PostgreSQL is reached through it."""
        try:
            psycopg.connect(
                f"postgresql://postgres@/postgres?host={self.directory}", connect_timeout=2
            ).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def running(places: Places, server_connections: int) -> Iterator[Pooler]:
    """Run one before the PostgreSQL of ``places``, and stop it at the end, whatever happens."""
    binary, ini = program(), home(places) / "pgbouncer.ini"
    for leftover in processes.those(lambda line, _directory: str(ini) in line.split("\0")):
        processes.end(leftover, ((SIGTERM, 5), (SIGKILL, 5)))
    _prepare(places, ini, configuration(places, server_connections))
    log = places.log / "pgbouncer.log"
    pooler = Pooler(processes.start([str(binary), str(ini)], log, places.account), ini.parent)
    try:
        _wait(pooler, log)
        yield pooler
    finally:
        processes.end(pooler.pid, ((SIGTERM, 5), (SIGKILL, 5)))


def _prepare(places: Places, ini: Path, text: str) -> None:
    shutil.rmtree(ini.parent, ignore_errors=True)
    ini.parent.mkdir(mode=0o700)
    ini.write_text(text)
    if os.geteuid() == 0:
        for path in (ini, ini.parent):
            os.chown(path, places.account.uid, places.account.gid)
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= allowed < FILES:
        wanted = FILES if most == resource.RLIM_INFINITY else min(FILES, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _wait(pooler: Pooler, log: Path) -> None:
    def decided() -> bool:
        return pooler.answers() or not processes.is_running(pooler.pid)

    if not processes.wait_until(decided, PATIENCE) or not processes.is_running(pooler.pid):
        raise Failed(f"PgBouncer does not serve. The last lines of its log:\n{processes.tail(log)}")


def _section(name: str, values: Mapping[str, object]) -> str:
    lines = (f"{key} = {value}".rstrip() for key, value in values.items())
    return "\n".join((f"[{name}]", *lines, "", ""))
