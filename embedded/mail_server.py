"""The embedded mail server: `mail_sink` as a process of its own, kept like the other servers."""

import json
import socket
import sys
from pathlib import Path

from embedded import processes
from embedded.server import Server

#: Below the range from which systems give out ports, so that a port is still free next time.
FIRST_PORT, PORTS = 20_000, 10_000


class MailServer(Server):
    """An SMTP server on loopback that keeps every message as a file and delivers nothing."""

    name = "Mail sink"
    variable = "SMTP_URL"
    start_over = "If a package is missing, run `make demo`, which installs it."

    @property
    def ready_file(self) -> Path:
        """What the sink says about itself: its process id and its port."""
        return self.places.run / "mail-sink.json"

    @property
    def ident(self) -> str:
        """Its greeting, by which it is told from another checkout's sink on the same port."""
        return f"erp-mail-sink-{self.places.key}"

    def _fact(self, name: str) -> int | None:
        try:
            return int(json.loads(self.ready_file.read_text())[name])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @property
    def port(self) -> int:
        """The port in use last, or the one that will be tried first: derived from the checkout."""
        return self._fact("port") or FIRST_PORT + int(self.places.key, 16) % PORTS

    def url(self) -> str:
        """Loopback, without TLS or login."""
        return f"smtp://127.0.0.1:{self.port}"

    def answers(self) -> bool:
        """Whether it greets as this checkout's sink."""
        if self._fact("pid") is None:
            return False
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as client:
                greeting = client.recv(200).decode(errors="replace")
                client.sendall(b"QUIT\r\n")
                return self.ident in greeting
        except OSError:
            return False

    def _is_ours(self, command_line: str) -> bool:
        return self.ident in command_line.split("\0")

    def pid(self) -> int | None:
        """The sink's process id; nothing when its file names a process that is not it."""
        pid = self._fact("pid")
        if pid is None or not processes.is_running(pid):
            return None
        return pid if self._is_ours(processes.command_line(pid)) else None

    def launch(self) -> int:
        """Start the sink, on the port it had if that is free."""
        port = self.port
        self.ready_file.unlink(missing_ok=True)
        return processes.start(
            [
                # By path (it needs nothing of the project), with that path's neighbours hidden.
                sys.executable,
                "-P",
                str(Path(__file__).with_name("mail_sink.py")),
                "--dir",
                str(self.places.mail),
                "--port",
                str(port),
                "--ready-file",
                str(self.ready_file),
                "--ident",
                self.ident,
            ],
            self.log,
        )
