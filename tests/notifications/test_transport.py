"""The connection to the mail server: kept, given up in time, and made again."""

import socket
import threading
from collections.abc import Iterator

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from django.core.mail import EmailMessage
from pytest_django import Settings

from notifications import transport
from notifications.errors import Refused


class Server:
    """A mail server that counts connections and answers DATA as it is told."""

    def __init__(self) -> None:
        self.connections: set[int] = set()
        self.received: list[str] = []
        self.answer = "250 OK"
        self.controller = self._listen(0)

    def _listen(self, port: int) -> Controller:
        controller = Controller(self, hostname="127.0.0.1", port=port or _free_port())
        controller.start()
        return controller

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.connections.add(id(session))
        if self.answer.startswith("2"):
            self.received += envelope.rcpt_tos
        return self.answer

    def restart(self) -> None:
        """Go away with all connections, and come back."""
        self.controller.stop()
        self.controller = self._listen(self.controller.port)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def server(settings: Settings) -> Iterator[Server]:
    running = Server()
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", running.controller.port
    yield running
    transport.close()
    running.controller.stop()


def message(to: str = "ann@acme.example") -> EmailMessage:
    return EmailMessage("Hello", "World", "no-reply@erp.example", [to])


def test_messages_of_one_thread_share_a_connection(server: Server) -> None:
    for _ in range(3):
        transport.send(message())

    assert len(server.received) == 3
    assert len(server.connections) == 1


def test_each_thread_has_its_own_connection(server: Server) -> None:
    def send() -> None:
        transport.send(message())
        transport.close()

    transport.send(message())
    other = threading.Thread(target=send)
    other.start()
    other.join()

    assert len(server.connections) == 2


def test_a_server_that_has_gone_away_meanwhile_is_called_again(server: Server) -> None:
    transport.send(message())
    server.restart()
    transport.send(message())

    assert len(server.received) == 2


def test_a_connection_is_given_up_when_idle_or_used_up(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport.send(message())
    monkeypatch.setattr(transport, "IDLE_LIMIT", -1.0)
    transport.send(message())
    monkeypatch.setattr(transport, "IDLE_LIMIT", 60.0)
    monkeypatch.setattr(transport, "MESSAGES_LIMIT", 1)
    transport.send(message())

    assert len(server.received) == 3
    assert len(server.connections) == 3


def test_a_message_refused_for_good_says_what_the_server_said(server: Server) -> None:
    server.answer = "554 5.7.1 looks like spam"

    with pytest.raises(Refused, match=r"554 5\.7\.1 looks like spam"):
        transport.send(message())


def test_a_message_refused_for_now_is_an_error_to_retry(server: Server) -> None:
    server.answer = "452 4.3.1 no room"
    with pytest.raises(Exception, match="452") as caught:
        transport.send(message())
    assert not isinstance(caught.value, Refused)

    server.answer = "250 OK"
    transport.send(message())

    assert len(server.received) == 1


def test_without_a_server_the_error_comes_at_once(settings: Settings) -> None:
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", _free_port()

    with pytest.raises(ConnectionRefusedError):
        transport.send(message())
