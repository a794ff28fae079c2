"""What faults can reach: the servers, the hosts, the enqueuing processes; and what was done to them."""

import base64
import json
import os
import random
import signal
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
import redis

from tests.chaos import timing
from tests.chaos.enqueuing import Enqueuing
from tests.chaos.hosts import MARK, Host, signal_all
from tests.chaos.plan import QUEUES, Unit
from tests.chaos.servers import LOOK, Servers

#: Messages that are kept to be sent again, late.
REMEMBERED = 200
#: Processes that enqueue.
ENQUEUERS = 2


@dataclass(kw_only=True)
class Strike:
    """One fault that was done: when, what, to whom. Times are seconds since the epoch."""

    number: int
    kind: str
    #: Nothing else was broken at the time.
    alone: bool = False
    at: float = 0.0
    #: When what was taken away was there again; zero: nothing was.
    whole_at: float = 0.0
    whom: str = ""
    #: Processes whose running jobs it concerns.
    pids: list[int] = field(default_factory=list)
    #: Jobs that it concerns, when they are known by name.
    jobs: list[str] = field(default_factory=list)

    def strikes(self, whom: str, pids: list[int] | None = None) -> None:
        """Note that it happens now."""
        self.at, self.whom, self.pids = time.time(), whom, pids or []

    def is_over(self) -> None:
        """Note that all is there again."""
        self.whole_at = time.time()

    def as_json(self) -> dict[str, Any]:
        """Return what the report keeps."""
        return asdict(self)


class World:
    """Everything that runs."""

    def __init__(self, folder: Path, *, hosts: int) -> None:
        self.run = uuid.uuid4().hex
        self.folder = folder
        self.servers = Servers(folder / "data")
        self.problems: list[str] = []
        #: The transactions of the step that is being played.
        self.units: list[Unit] = []
        self._messages: dict[str, list[bytes]] = {queue: [] for queue in QUEUES}
        self.environment = {
            **os.environ,
            **timing.ENVIRONMENT,
            MARK: self.run,
            "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
            "PYTHONUNBUFFERED": "1",
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "INFO",
        }
        self.hosts = [
            Host(f"host-{number + 1}", self.environment, folder / f"host-{number + 1}.log")
            for number in range(hosts)
        ]
        self.enqueuers = [
            Enqueuing(f"enqueuer-{number + 1}", self.servers, self.environment, folder)
            for number in range(ENQUEUERS)
        ]

    # --- choosing ---------------------------------------------------------------------------------

    def host(self, chance: random.Random) -> Host:
        """Choose a host, one that runs if there is any."""
        chosen = chance.choice(self.hosts)
        if chosen.down:
            return next((host for host in self.hosts if not host.down), chosen)
        return chosen

    def busy(self, pids: list[int]) -> list[int]:
        """Return those of the processes that run a job just now."""
        rows = self.servers.ask(
            "SELECT DISTINCT pid FROM jobs_job WHERE state = 'running' AND pid = ANY(%s)", pids
        )
        return [row[0] for row in rows]

    def pool_child(
        self, host: Host, chance: random.Random
    ) -> Generator[float, None, psutil.Process | None]:
        """Wait a moment for a process of a pool that runs a job; returns one that idles, else."""
        yield from self.until_busy(host.children)
        children = host.children()
        busy = self.busy([child.pid for child in children])
        working = [child for child in children if child.pid in busy]
        return chance.choice(working or children) if children else None

    def until_busy(self, processes: Callable[[], list[psutil.Process]]) -> Iterator[float]:
        """Wait a moment until one of the processes runs a job: it is to be hit at work."""
        for _ in range(50):
            if self.busy([process.pid for process in processes()]):
                return
            yield LOOK

    # --- messages ---------------------------------------------------------------------------------

    def remember_messages(self) -> None:
        """Keep some of the messages that wait, to send them again later."""
        with suppress(redis.RedisError):
            for queue, kept in self._messages.items():
                seen = self.servers.redis.lrange(queue, -3, -1)
                kept.extend(
                    one
                    for one in seen
                    if isinstance(one, bytes) and b'"headers"' in one and one not in kept
                )
                del kept[:-REMEMBERED]

    def lengths(self) -> dict[str, int]:
        """Return how many messages wait in each queue; nothing while Valkey is away."""
        with suppress(redis.RedisError):
            return {queue: int(self.servers.redis.llen(queue)) for queue in QUEUES}
        return {}

    def remembered(self, queue: str) -> list[bytes]:
        """Return old messages of a queue."""
        return self._messages[queue]

    def talkative_messages(self) -> int:
        """Return how many of the remembered messages hold arguments: they should be ids alone."""
        messages = [json.loads(one) for kept in self._messages.values() for one in kept]
        bodies = [base64.b64decode(one.get("body", "")) for one in messages]
        names = b"sleep_ms", b"fail_times"
        return sum(
            any(name in json.dumps(message).encode() + body for name in names)
            for message, body in zip(messages, bodies, strict=True)
        )

    # --- hosts ------------------------------------------------------------------------------------

    def start_again(self, host: Host, within: float = 15.0) -> Iterator[float]:
        """Start a host, and wait for its pools, so that the next fault finds one that works."""
        host.start()
        deadline = time.monotonic() + within
        while not host.ready and time.monotonic() < deadline:
            yield 0.1

    def stop_host(self, host: Host) -> Iterator[float]:
        """Stop a host as an operator does, and say so when it takes too long."""
        host.down = True
        if host.process is None:
            return
        family = host.family()
        host.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + timing.STOPPED_WITHIN
        while host.running:
            if time.monotonic() > deadline:
                self.problems.append(
                    f"{host.name} did not stop within {timing.STOPPED_WITHIN:g} s of SIGTERM"
                )
                signal_all(family, signal.SIGKILL)
                deadline += timing.STOPPED_WITHIN
            yield 0.05
        if host.process.returncode:
            self.problems.append(f"{host.name} stopped with exit code {host.process.returncode}")
        left = [one for one in family if _lives(one)]
        if left:
            self.problems.append(f"{host.name} stopped, but left {_named(left)} behind")
            signal_all(left, signal.SIGKILL)


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _named(processes: list[psutil.Process]) -> str:
    return ", ".join(f"process {one.pid}" for one in processes)
