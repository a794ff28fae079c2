"""Which system account PostgreSQL runs as.

PostgreSQL refuses to run as root. A normal user runs it as itself. For root an account that every
system already has is borrowed, because creating accounts on somebody's machine is not ours to do.
"""

import grp
import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR

from embedded.errors import EmbeddedError

#: Tried in this order when root starts PostgreSQL: one is made for it, the other is always there.
BORROWED = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """A system account, as far as file permissions and setuid are concerned."""

    name: str
    uid: int
    gid: int

    def may(self, path: Path, bits: int) -> bool:
        """Whether the permission `bits` (an octal digit: 4 read, 1 enter) of `path` are ours."""
        status = path.stat()
        if status.st_uid == self.uid:
            return status.st_mode >> 6 & bits == bits
        if status.st_gid == self.gid:
            return status.st_mode >> 3 & bits == bits
        return status.st_mode & bits == bits

    def can_reach(self, directory: Path) -> bool:
        """Whether every existing directory on the way to `directory`, and itself, lets us in."""
        real = directory.resolve()
        return all(self.may(step, 1) for step in (real, *real.parents) if step.exists())

    def can_run_from(self, directory: Path) -> bool:
        """Whether we may enter and read all of `directory`, as a program's home needs."""
        if not self.can_reach(directory):
            return False
        return all(
            self.may(entry, 5 if S_ISDIR(entry.stat().st_mode) else 4)
            for entry in (directory, *directory.iterdir())
        )


def current() -> Account:
    """The account this process runs as."""
    uid, gid = os.geteuid(), os.getegid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"user {uid}"
    return Account(name, uid, gid)


def name_of(uid: int) -> str:
    """The name of user id `uid`, for messages."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def for_postgres(home: Path) -> Account:
    """The account that owns, or will own, the PostgreSQL files in `home`.

    The owner of existing files wins: a `postgres` account that appears later changes nothing.
    """
    me = current()
    if me.uid != 0:
        return me
    if home.exists() and (owner := home.stat().st_uid) != 0:
        return Account(name_of(owner), owner, home.stat().st_gid)
    for name in BORROWED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, grp.getgrgid(entry.pw_gid).gr_gid)
    raise EmbeddedError(
        "PostgreSQL does not run as root, and this system has neither a `postgres` nor a `nobody` "
        "account. Create one (`useradd --system postgres`), run as a normal user, or set "
        "DATABASE_URL to a server of yours."
    )
