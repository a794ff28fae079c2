"""Real servers for whoever has none: PostgreSQL, Valkey and a mail sink, under the data directory.

`ensure(data_dir)` starts those of the three that the environment does not configure, and sets their
variables, so that child processes inherit them and start nothing themselves:

| variable       | server                                         |
|----------------|------------------------------------------------|
| `DATABASE_URL` | PostgreSQL 18, database `erp`, on a Unix socket |
| `REDIS_URL`    | Valkey 9, on a Unix socket                     |
| `SMTP_URL`     | a mail sink on loopback, messages in `mail/`   |

Commands of one checkout share the servers, and the last to end stops them (see `sharing`). When
everything runs already, `ensure` takes a few milliseconds. This package imports no Django.
"""

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, MutableMapping
from pathlib import Path
from types import FrameType

from embedded.errors import BusyError, EmbeddedError, NotOursError, StartError
from embedded.mail_server import MailServer
from embedded.places import Places
from embedded.postgres import Postgres
from embedded.server import Server
from embedded.sharing import Membership, mutex
from embedded.urls import broker_url
from embedded.valkey import Valkey

__all__ = [
    "BusyError",
    "EmbeddedError",
    "Lease",
    "NotOursError",
    "Places",
    "StartError",
    "broker_url",
    "ensure",
    "servers",
    "urls",
]

#: In the order of starting: PostgreSQL's needs work of ours first, and the others start meanwhile.
KINDS: tuple[type[Server], ...] = (MailServer, Valkey, Postgres)


def servers(data_dir: Path, *, fsync: bool = True) -> list[Server]:
    """The three servers of `data_dir`, running or not."""
    places = Places(data_dir)
    return [kind(places, fsync=fsync) for kind in KINDS]


def urls(data_dir: Path) -> dict[str, str]:
    """The variables that `ensure` would set, found without starting anything.

    They depend on the directory alone, but for the mail sink's port when its own is taken.
    """
    return {server.variable: server.url() for server in servers(data_dir)}


class Lease:
    """This process's use of a data directory's servers, until `release` or the process's end."""

    def __init__(self, data_dir: Path, *, fsync: bool = True) -> None:
        """Describe it; `take` makes it real. `fsync` counts for servers that this lease starts."""
        self.places = Places(data_dir)
        self.servers = servers(data_dir, fsync=fsync)
        self._membership = Membership(self.places.run)
        self._owner: int | None = None

    def take(self, variables: set[str], announce: Callable[[str], None]) -> dict[str, str]:
        """Have the servers of `variables` running; answers their URLs."""
        wanted = [server for server in self.servers if server.variable in variables]
        self.places.prepare()
        with mutex(self.places.run):
            alone = self._membership.join()
            self._owner = os.getpid()
            atexit.register(self.release)
            missing = [server for server in wanted if not server.answers()]
            if missing:
                _start(missing, alone=alone, announce=announce)
        return {server.variable: server.url() for server in wanted}

    def heal(self, variables: set[str], announce: Callable[[str], None]) -> None:
        """Start again those of `variables` that have died meanwhile; raises `EmbeddedError`."""
        wanted = [server for server in self.servers if server.variable in variables]
        if all(server.answers() for server in wanted):
            return
        with mutex(self.places.run):
            missing = [server for server in wanted if not server.answers()]
            if missing:
                _start(missing, alone=False, announce=announce)

    def release(self) -> None:
        """Give the servers up; the last user of all stops them. A forked child has no say."""
        if self._owner != os.getpid():
            return
        self._owner = None
        atexit.unregister(self.release)
        try:
            # A data directory that was deleted took its servers' files along: `clean` stopped them.
            if self.places.run.exists():
                with mutex(self.places.run):
                    if self._membership.is_last():
                        stop_all(self.servers)
        finally:
            self._membership.leave()


def stop_all(which: list[Server]) -> None:
    """Stop servers side by side: each takes its time to write what it holds."""
    # No threads: Python starts none any more when exit handlers run.
    for server in which:
        server.ask_to_stop()
    for server in which:
        server.stop()


def _start(missing: list[Server], *, alone: bool, announce: Callable[[str], None]) -> None:
    began = time.monotonic()
    for server in missing:
        server.begin(alone=alone)
    for server in missing:
        server.wait()
    names = ", ".join(server.name for server in missing)
    where = missing[0].places.data
    announce(f"Started {names} in {where} ({time.monotonic() - began:.1f} s)")


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def ensure(
    data_dir: Path,
    environ: MutableMapping[str, str] | None = None,
    *,
    fsync: bool = True,
    announce: Callable[[str], None] = _to_stderr,
) -> Lease | None:
    """Have a server for every variable that `environ` leaves unset or empty, and set it there.

    The servers stay until this process ends (or until the lease's `release`). Nothing is done, and
    nothing answered, when all variables are set. `announce` gets one line, when something was
    started. Raises `EmbeddedError`, whose text is meant for the person who ran the command.
    """
    environ = os.environ if environ is None else environ
    unset = {kind.variable for kind in KINDS if not environ.get(kind.variable)}
    if not unset:
        return None
    lease = Lease(data_dir, fsync=fsync)
    try:
        found = lease.take(unset, announce)
    except BaseException:
        lease.release()
        raise
    environ.update(found)
    _end_normally_on_sigterm()
    return lease


def _end_normally_on_sigterm() -> None:
    """Let a plain `kill` run the exit handlers, unless the command has its own idea of SIGTERM."""

    def leave(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    ):
        signal.signal(signal.SIGTERM, leave)
