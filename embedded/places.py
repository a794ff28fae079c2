"""Where the embedded servers of one checkout keep their files and sockets.

Everything follows from the data directory (normally `<checkout>/.data`), so that every command of
a checkout finds the same servers without asking, and two checkouts never meet:

- `postgres/`, `valkey/`  data                 - `mail/`  the e-mails received
- `log/`                  one file per server  - `run/`   locks, process ids, sockets

Two things may have to live elsewhere. Sockets: a Unix socket's path is limited to about 100 bytes,
and goes into URLs; when the checkout's path is long or has unusual characters, a private directory
below /tmp is used. PostgreSQL's data, for root only: it runs as another account then, which must
be able to enter every parent; for a checkout below /root (mode 0700) the data goes to `/var/lib`,
and `.data/postgres` is a link to it. Nobody's parent directories are opened up.
"""

import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from embedded import accounts
from embedded.errors import EmbeddedError, NotOursError

#: Not `tempfile.gettempdir()`: two shells with different TMPDIRs must find the same sockets.
SHORT = Path("/tmp")  # noqa: S108
#: Not below /var/tmp: old files are swept from there, and a database is made of old files.
ROOTS_OWN = Path("/var/lib/erp-embedded")
#: `.s.PGSQL.5432` and a separator are added to it; the kernel allows 107 bytes in all.
LONGEST_SOCKET_DIRECTORY = 86
PLAIN = re.compile(r"[A-Za-z0-9_./-]+")


@dataclass(frozen=True)
class Places:
    """The files of one data directory. Reading a property creates nothing."""

    data: Path

    def __post_init__(self) -> None:
        """Follow links once, so that every way to name a checkout gives one set of servers."""
        object.__setattr__(self, "data", self.data.expanduser().resolve())

    @cached_property
    def key(self) -> str:
        """Twelve hexadecimal digits that stand for this data directory."""
        return hashlib.sha256(os.fsencode(self.data)).hexdigest()[:12]

    @property
    def run(self) -> Path:
        """Locks, process ids and, normally, sockets."""
        return self.data / "run"

    @property
    def log(self) -> Path:
        """One log file per server."""
        return self.data / "log"

    @property
    def mail(self) -> Path:
        """The e-mails that the mail sink accepted."""
        return self.data / "mail"

    @property
    def valkey(self) -> Path:
        """Valkey's append-only file."""
        return self.data / "valkey"

    @property
    def postgres(self) -> Path:
        """PostgreSQL's home: a directory, or a link to `roots_own` (see the module)."""
        return self.data / "postgres"

    @cached_property
    def roots_own(self) -> Path:
        """Where PostgreSQL's home is when its account cannot enter the checkout."""
        return ROOTS_OWN / self.key

    @cached_property
    def account(self) -> accounts.Account:
        """The account PostgreSQL runs as."""
        return accounts.for_postgres(self.postgres)

    @cached_property
    def reachable(self) -> bool:
        """Whether PostgreSQL's account can enter the data directory, whose own mode we set."""
        return self.account.can_reach(self.data.parent)

    @cached_property
    def sockets(self) -> Path:
        """The directory of the sockets."""
        path = str(self.run)
        plain = PLAIN.fullmatch(path) is not None
        if self.reachable and plain and len(path) <= LONGEST_SOCKET_DIRECTORY:
            return self.run
        return SHORT / f"erp-{os.geteuid()}-{self.key}"

    @property
    def postgres_socket(self) -> Path:
        """The directory of PostgreSQL's socket: its own, because its account writes there."""
        return self.sockets / "pg"

    @property
    def valkey_socket(self) -> Path:
        """Valkey's socket."""
        return self.sockets / "valkey.sock"

    def check_owner(self) -> None:
        """Refuse to touch what belongs to somebody else, rather than fail half-way through."""
        me = accounts.current()
        for path in (self.data, self.run, self.valkey, self.sockets):
            if not os.path.lexists(path):
                continue
            owner = path.lstat().st_uid
            if path == self.sockets and path.is_symlink():
                raise NotOursError(
                    f"{path} is a link, which somebody else may have laid. Remove it."
                )
            if owner != me.uid:
                whose = accounts.name_of(owner)
                raise NotOursError(
                    f"{path} belongs to {whose}, and you are {me.name}. Work as {whose}, or run "
                    f"`make clean` as {whose} (it deletes the development data), or set DATA_DIR "
                    "to a directory of yours."
                )

    def prepare(self) -> None:
        """Create the directories; raises `EmbeddedError` if one cannot be made or is not ours."""
        self.check_owner()
        # Root's PostgreSQL runs as another account: it may pass through, but not look around.
        mode = 0o711 if os.geteuid() == 0 else 0o700
        try:
            for path in (self.data, self.run, self.sockets):
                path.mkdir(mode=mode, parents=True, exist_ok=True)
                if path.stat().st_mode & mode != mode:
                    path.chmod(path.stat().st_mode | mode)
            for path in (self.log, self.mail, self.valkey):
                path.mkdir(mode=0o700, exist_ok=True)
            self.check_owner()
            self._prepare_for_postgres()
        except OSError as error:
            raise EmbeddedError(
                f"Cannot create {error.filename or self.data}: {error.strerror}. Make {self.data} "
                "writable, or set DATA_DIR to a directory that is."
            ) from error

    def _prepare_for_postgres(self) -> None:
        if not self.reachable and not os.path.lexists(self.postgres):
            # Left behind by a checkout that was deleted without `make clean`.
            shutil.rmtree(self.roots_own, ignore_errors=True)
            self.roots_own.mkdir(mode=0o700, parents=True)
            (self.roots_own / "belongs-to").write_text(f"{self.data}\n")
            self.postgres.symlink_to(self.roots_own)
        self.postgres.mkdir(mode=0o700, exist_ok=True)
        self.postgres_socket.mkdir(mode=0o700, exist_ok=True)
        if os.geteuid() == 0:
            for path in (self.postgres, self.postgres_socket):
                os.chown(path, self.account.uid, self.account.gid)

    def remove(self) -> None:
        """Delete the data directory, and what belongs to it elsewhere, of stopped servers."""
        self.check_owner()
        if self.sockets != self.run:
            shutil.rmtree(self.sockets, ignore_errors=True)
        if os.geteuid() == 0:
            shutil.rmtree(self.roots_own, ignore_errors=True)
        shutil.rmtree(self.data, ignore_errors=True)
