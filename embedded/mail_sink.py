"""An SMTP server that keeps every message it accepts as one `.eml` file, and delivers nothing.

    python -m embedded.mail_sink --dir DIR --port 0 --ready-file FILE

Files are named so that they sort by arrival, and appear whole: written under another name first.
The envelope is added on top, as `X-Envelope-From` and one `X-Envelope-To` per recipient, because
Bcc is nowhere else. It binds 127.0.0.1 only.

Recipients whose local part is one of these (also with a tag: `reject+7@…`) are answered as a real
server might, so that failures can be tried out:

- `reject`    550, for ever            - `tempfail`  451, try again later
- `slow`      answered after 5 s; `slow-30` after 30 s
- `late`      like `slow`, but the message is kept before the answer: the sender may give up on it

A file `refusals.json` in DIR, `{"address": "452 4.2.2 Mailbox full"}`, refuses whole addresses for
as long as it stands there.
"""

import argparse
import asyncio
import itertools
import json
import os
import re
import signal
from datetime import UTC, datetime
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

#: 25 MB of attachments are 35 MB on the wire; some room is left above that.
LARGEST_MESSAGE = 64 * 1024 * 1024
DELAY = re.compile(r"(slow|late)(?:-(\d{1,4}))?")
DEFAULT_DELAY = 5.0
REFUSALS = "refusals.json"
#: How often the sink looks whether it is still wanted, in seconds.
LOOK_AROUND = 2.0


def local_part(address: str) -> str:
    """The part before the @, without its +tag, in lower case."""
    return address.rpartition("@")[0].partition("+")[0].lower()


def delay(address: str, kind: str) -> float:
    """How long the answer about `address` is held back, in seconds, for `slow` or `late`."""
    found = DELAY.fullmatch(local_part(address))
    if found is None or found[1] != kind:
        return 0.0
    return float(found[2]) if found[2] else DEFAULT_DELAY


class Keeper:
    """Answers for aiosmtpd: which recipients are accepted, and where a message goes."""

    def __init__(self, directory: Path) -> None:
        """Keep messages in `directory`, which exists."""
        self.directory = directory
        self._numbers = itertools.count()

    async def handle_RCPT(  # noqa: N802 (aiosmtpd's names)
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        rcpt_options: list[str],
    ) -> str:
        """Accept the recipient, unless its name or `refusals.json` asks for something else."""
        if refusal := self.refusal(address):
            return refusal
        match local_part(address):
            case "reject":
                return "550 5.1.1 No such mailbox"
            case "tempfail":
                return "451 4.3.0 Try again later"
        await asyncio.sleep(delay(address, "slow"))
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(rcpt_options)
        return "250 OK"

    def refusal(self, address: str) -> str:
        """What `refusals.json` says about `address`; empty when nothing."""
        try:
            answers = json.loads((self.directory / REFUSALS).read_text(encoding="utf-8"))
            return str(answers.get(address.lower(), ""))
        except (OSError, ValueError, AttributeError):
            return ""

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep the message."""
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        name = await asyncio.to_thread(
            self.keep, envelope.mail_from or "", envelope.rcpt_tos, content
        )
        await asyncio.sleep(max((delay(to, "late") for to in envelope.rcpt_tos), default=0.0))
        return f"250 2.0.0 Kept as {name}"

    def keep(self, sender: str, recipients: list[str], content: bytes) -> str:
        """Write one message; answers its file name."""
        now = datetime.now(UTC)
        name = f"{now:%Y%m%dT%H%M%S.%fZ}-{os.getpid()}-{next(self._numbers):06}.eml"
        lines = [f"X-Envelope-From: {sender}", *(f"X-Envelope-To: {to}" for to in recipients)]
        head = "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape")
        unfinished = self.directory / f".{name}.part"
        unfinished.write_bytes(head + content)
        unfinished.rename(self.directory / name)
        return name


async def serve(directory: Path, port: int, ready_file: Path, ident: str) -> None:
    """Serve until SIGTERM or SIGINT, or until the ready file is gone or another's."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    keeper = Keeper(directory)

    def protocol() -> SMTP:
        return SMTP(
            keeper,
            data_size_limit=LARGEST_MESSAGE,
            enable_SMTPUTF8=True,
            decode_data=False,
            hostname="localhost",
            ident=ident,
            loop=loop,
        )

    try:
        server = await loop.create_server(protocol, "127.0.0.1", port)
    except OSError:
        server = await loop.create_server(protocol, "127.0.0.1", 0)
    facts = json.dumps({"pid": os.getpid(), "port": server.sockets[0].getsockname()[1]})
    unfinished = ready_file.with_suffix(".part")
    unfinished.write_text(facts)
    unfinished.rename(ready_file)
    async with server:
        while not stop.is_set() and _says(ready_file, facts):
            try:
                await asyncio.wait_for(stop.wait(), LOOK_AROUND)
            except TimeoutError:
                continue
    if _says(ready_file, facts):
        ready_file.unlink()


def _says(ready_file: Path, facts: str) -> bool:
    try:
        return ready_file.read_text() == facts
    except OSError:
        return False


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="An SMTP server that keeps messages as files.")
    parser.add_argument("--dir", type=Path, required=True, help="where the messages go")
    parser.add_argument("--port", type=int, default=0, help="another is taken when it is in use")
    parser.add_argument("--ready-file", type=Path, required=True, help="gets pid and port, as JSON")
    parser.add_argument("--ident", default="erp-mail-sink", help="the greeting")
    options = parser.parse_args()
    options.dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    asyncio.run(serve(options.dir, options.port, options.ready_file, options.ident))


if __name__ == "__main__":
    main()
