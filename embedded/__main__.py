"""`python -m embedded status|urls|keep|stop|clean`: the embedded servers from the command line.

`status` and `urls` only look. `keep` starts again whichever dies, for as long as it runs. `stop`
ends the servers, `clean` also deletes the data directory; both refuse while another command uses
them, unless forced.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from embedded import EmbeddedError, Lease, servers, stop_all, urls
from embedded.errors import BusyError
from embedded.places import Places
from embedded.sharing import Membership, holders, mutex


def default_data_dir() -> Path:
    """DATA_DIR, or `.data` beside this package."""
    return Path(os.environ.get("DATA_DIR") or Path(__file__).resolve().parent.parent / ".data")


#: Seconds between two looks of `keep`.
LOOK_AROUND = 1.0


def status(places: Places) -> None:
    """Say of each server whether it runs and where."""
    for server in servers(places.data):
        pid = server.pid()
        if pid is None:
            state = "stopped"
        elif server.answers():
            state = f"running, process {pid}"
        else:
            state = f"NOT ANSWERING, process {pid}, see {server.log}"
        print(f"{server.name:<11} {state}\n{'':<11} {server.url()}")
    users = holders(places.run / "users.lock")
    print(f"{'used by':<11} {', '.join(map(str, users)) or 'nobody'}")


def stop(places: Places, *, force: bool) -> None:
    """Stop all servers. Raises `BusyError` when others use them."""
    places.check_owner()
    if not places.run.exists():
        return
    with mutex(places.run):
        membership = Membership(places.run)
        alone = membership.join()
        try:
            if not alone and not force:
                others = set(holders(membership.path)) - {os.getpid()}
                users = ", ".join(map(str, sorted(others))) or "unknown"
                raise BusyError(
                    f"The servers in {places.data} are in use (processes {users}). End those "
                    "commands first, or add --force."
                )
            stop_all(servers(places.data))
        finally:
            membership.leave()


def keep(places: Places) -> None:
    """Start servers again whenever they die, until SIGTERM; configured ones are not ours."""
    known = urls(places.data)
    embedded = {name for name, url in known.items() if os.environ.get(name, url) in {"", url}}
    lease = Lease(places.data)
    while True:
        try:
            lease.heal(embedded, lambda line: print(line, flush=True))
        except EmbeddedError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
        time.sleep(LOOK_AROUND)


def main() -> int:
    """Read the command line, do it, answer the exit code."""
    parser = argparse.ArgumentParser(prog="python -m embedded", description=__doc__)
    parser.add_argument("action", choices=["status", "urls", "keep", "stop", "clean"])
    parser.add_argument("--data-dir", type=Path, default=default_data_dir())
    parser.add_argument("--force", action="store_true", help="even while others use them")
    options = parser.parse_args()
    places = Places(options.data_dir)
    try:
        if options.action == "status":
            status(places)
        elif options.action == "urls":
            for name, url in urls(places.data).items():
                print(f"{name}={url}")
        elif options.action == "keep":
            keep(places)
        else:
            stop(places, force=options.force)
            if options.action == "clean":
                places.remove()
    except EmbeddedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
