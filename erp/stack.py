"""Everything that runs on one machine in development: site, worker, beat and Flower.

Which processes these are, on which ports, and how it is seen that they serve; `manage.py stack`
runs them under a supervisor.
"""

import fcntl
import http.client
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from jobs.supervisor import Child

LOOPBACK = "127.0.0.1"
WEB_PORT, FLOWER_PORT = 8000, 5555


@dataclass(frozen=True)
class Stack:
    """What to run and where. Port 0 leaves that part out."""

    base_dir: Path
    data_dir: Path
    web_port: int
    flower_port: int
    flower_login: tuple[str, str] = field(repr=False)
    #: Whether database and broker are embedded, and have to be kept alive, too.
    embedded: bool = False
    #: Seconds that a stopping worker has for its jobs, and to give back what is left.
    worker_grace: float = 45.0

    @property
    def site_url(self) -> str:
        """The site's address; empty without one."""
        return f"http://{LOOPBACK}:{self.web_port}" if self.web_port else ""

    @property
    def flower_url(self) -> str:
        """Flower's address; empty without it."""
        return f"http://{LOOPBACK}:{self.flower_port}" if self.flower_port else ""

    def log(self, name: str) -> Path:
        """The log file of the process called `name`."""
        return self.data_dir / "log" / f"{name}.log"

    def children(self) -> list[Child]:
        """The processes, in the order of starting."""
        worker = self._child("worker", [*self._manage, "worker", "--all"], grace=self.worker_grace)
        beat = self._child("beat", [*self._manage, "beat"])
        servers = self._child(
            "servers",
            [sys.executable, "-m", "embedded", "keep", "--data-dir", str(self.data_dir)],
        )
        parts = [servers if self.embedded else None]
        parts += [self._web() if self.web_port else None, worker, beat]
        return [part for part in (*parts, self._flower() if self.flower_port else None) if part]

    @property
    def _manage(self) -> list[str]:
        return [sys.executable, str(self.base_dir / "manage.py")]

    def _child(self, name: str, argv: list[str], *, grace: float = 10.0, **more: str) -> Child:
        path = [str(self.base_dir), os.environ.get("PYTHONPATH", "")]
        environment = {
            "PYTHONPATH": os.pathsep.join(filter(None, path)),
            "PYTHONUNBUFFERED": "1",
            # Links in e-mails and on the dashboard lead to this very stack.
            "SITE_URL": os.environ.get("SITE_URL") or self.site_url,
            "FLOWER_URL": os.environ.get("FLOWER_URL") or self.flower_url,
        }
        return Child(name, argv, environment | more, grace, self.log(name))

    def _web(self) -> Child:
        options = {
            "--bind": f"{LOOPBACK}:{self.web_port}",
            "--worker-class": "gthread",
            "--workers": "2",
            "--threads": "4",
            "--graceful-timeout": "8",
            "--access-logfile": "-",
        }
        argv = [sys.executable, "-m", "gunicorn", "erp.wsgi:application", "--no-control-socket"]
        argv += [part for option in options.items() for part in option]
        child = self._child("web", argv)
        return with_readiness(child, self.web_port, "/api/health/live", 200)

    def _flower(self) -> Child:
        argv = [sys.executable, "-m", "celery", "-A", "erp.celery", "flower"]
        argv += [f"--address={LOOPBACK}", f"--port={self.flower_port}"]
        # Not an argument: every user of the machine sees those.
        child = self._child("flower", argv, FLOWER_BASIC_AUTH=":".join(self.flower_login))
        return with_readiness(child, self.flower_port, "/healthcheck", 200)


def with_readiness(child: Child, port: int, path: str, status: int) -> Child:
    """The same child, ready once `path` on its port answers with `status`."""
    return Child(
        child.name,
        child.argv,
        child.env,
        child.grace,
        child.log,
        is_ready=lambda: answers(port, path, status),
    )


def answers(port: int, path: str, status: int) -> bool:
    """Whether a GET of `path` is answered with `status`, soon: a supervisor waits for it."""
    with closing(http.client.HTTPConnection(LOOPBACK, port, timeout=0.3)) as connection:
        try:
            connection.request("GET", path)
            return connection.getresponse().status == status
        except (OSError, http.client.HTTPException):
            return False


class StackRuns(Exception):
    """A stack, or the demo, of this checkout runs already."""


@contextmanager
def only_one(data_dir: Path) -> Iterator[None]:
    """Hold the checkout's stack lock; the kernel gives it back whatever happens to us.

    Raises:
        StackRuns: somebody else holds it, with who and where.
    """
    facts = data_dir / "run" / "stack.json"
    facts.parent.mkdir(parents=True, exist_ok=True)
    with facts.with_name("stack.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            where = json.loads(facts.read_text()) if facts.exists() else {}
            raise StackRuns(
                f"A stack or a demo of this checkout runs already (process "
                f"{where.get('pid', 'unknown')}, {where.get('site') or 'no site'})"
            ) from None
        yield


def free_port(preferred: int, taken: set[int]) -> int:
    """`preferred` if it can be had on loopback, else any free port that is not in `taken`."""
    for port in (preferred, 0, 0, 0):
        if port and port in taken:
            continue
        with closing(socket.socket()) as probe:
            # As servers do it: connections of a server that has just ended do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            found = int(probe.getsockname()[1])
        if found not in taken:
            return found
    raise OSError("no free port on loopback")
