"""The mail sink, by sending it mail."""

import email
import smtplib
import time
from email.message import EmailMessage
from email.policy import SMTPUTF8, default
from pathlib import Path

import pytest

import embedded
from embedded.mail_sink import delay

pytestmark = pytest.mark.processes


def connect(data: Path) -> smtplib.SMTP:
    port = int(embedded.urls(data)["SMTP_URL"].rpartition(":")[2])
    return smtplib.SMTP("127.0.0.1", port, timeout=30)


def kept(data: Path) -> list[Path]:
    return sorted((data / "mail").glob("*.eml"))


def message(to: str = "ann@example.com", text: str = "Hello") -> EmailMessage:
    mail = EmailMessage(policy=SMTPUTF8)
    mail["From"], mail["To"], mail["Subject"] = "erp@example.com", to, "Grüße 世界"
    mail.set_content(text)
    return mail


def test_a_message_is_kept_whole_with_its_envelope(shared_data: Path) -> None:
    before = kept(shared_data)
    with connect(shared_data) as client:
        client.send_message(message(), "bounce@example.com", ["ann@example.com", "bcc@example.com"])
    (new,) = [path for path in kept(shared_data) if path not in before]
    mail = email.message_from_bytes(new.read_bytes(), policy=default)
    assert mail["X-Envelope-From"] == "bounce@example.com"
    assert mail.get_all("X-Envelope-To") == ["ann@example.com", "bcc@example.com"]
    assert mail["Subject"] == "Grüße 世界"
    assert mail.get_content().strip() == "Hello"


def test_files_sort_by_arrival_and_none_is_half(shared_data: Path) -> None:
    before = kept(shared_data)
    with connect(shared_data) as client:
        for number in range(20):
            client.send_message(message(text=f"number {number}"))
    new = [path for path in kept(shared_data) if path not in before]
    texts = [email.message_from_bytes(p.read_bytes(), policy=default).get_content() for p in new]
    assert [text.strip() for text in texts] == [f"number {n}" for n in range(20)]
    assert not list((shared_data / "mail").glob(".*"))


def test_addresses_and_bodies_in_other_scripts_are_accepted(shared_data: Path) -> None:
    before = kept(shared_data)
    with connect(shared_data) as client:
        client.send_message(message("用户@例子.example", "Ünïcødé " * 20))
    (new,) = [path for path in kept(shared_data) if path not in before]
    assert "X-Envelope-To: 用户@例子.example" in new.read_text()


def test_a_message_with_25_mb_of_attachments_is_kept(shared_data: Path) -> None:
    mail = message()
    mail.add_attachment(
        b"\0" * 25_000_000, maintype="application", subtype="pdf", filename="big.pdf"
    )
    with connect(shared_data) as client:
        client.send_message(mail)
    assert kept(shared_data)[-1].stat().st_size > 33_000_000


@pytest.mark.parametrize(("who", "code"), [("reject", 550), ("tempfail+3", 451)])
def test_some_recipients_are_refused(shared_data: Path, who: str, code: int) -> None:
    before = kept(shared_data)
    with connect(shared_data) as client, pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
        client.send_message(message(f"{who}@example.com"))
    assert caught.value.recipients[f"{who}@example.com"][0] == code
    assert kept(shared_data) == before


def test_slow_recipients_are_answered_late(shared_data: Path) -> None:
    with connect(shared_data) as client:
        began = time.monotonic()
        client.send_message(message("slow-1@example.com"))
        assert time.monotonic() - began >= 1


@pytest.mark.parametrize(
    ("address", "kind", "seconds"),
    [
        ("slow@x", "slow", 5),
        ("slow-30+tag@x", "slow", 30),
        ("late-2@x", "late", 2),
        ("late-2@x", "slow", 0),
        ("slowly@x", "slow", 0),
    ],
)
def test_delays_are_read_from_the_address(address: str, kind: str, seconds: float) -> None:
    assert delay(address, kind) == seconds
