"""The drain: carries jobs straight from the table while Redis is down.

The keeper starts one for each Celery worker beside it, with the same pool and concurrency, and ends
them when Redis answers. What a drain does is a worker's turn without a message: the same claim,
limits, attempt and settlement. Between looks at an empty table it waits ``IDLE`` seconds.
"""

import os
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

import structlog
from django.db import DatabaseError, InterfaceError, connection, connections

from jobs.executor import take_turn
from jobs.queues import Pool

log = structlog.get_logger(__name__)

#: Seconds between two looks at a table where nothing is due.
IDLE = 0.2


class Drain:
    """Runs the jobs of ``queues`` until told to stop."""

    def __init__(
        self, queues: Sequence[str], *, pool: Pool, concurrency: int, worker: UUID
    ) -> None:
        self._queues = list(queues)
        self._pool = pool
        self._concurrency = concurrency
        self._worker = worker
        self._stopping = threading.Event()

    def run(self) -> None:
        """Work until SIGTERM or SIGINT; jobs that run are finished."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopping.set())
        if self._pool == "threads":
            self._run_in_threads()
        else:
            self._run_in_processes()

    def _run_in_threads(self) -> None:
        threads = [
            threading.Thread(target=self._carry, args=(number,))
            for number in range(self._concurrency)
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):  # join() would keep signals out
            time.sleep(0.05)

    def _run_in_processes(self) -> None:
        connections.close_all()
        children: set[int] = set()
        while not self._stopping.is_set():
            while len(children) < self._concurrency:
                children.add(self._forked(len(children)))
            children -= self._ended(children)
            self._stopping.wait(IDLE)
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        for pid in children:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)

    def _forked(self, number: int) -> int:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            return pid
        try:
            self._carry(number, parent=parent)
        finally:
            os._exit(0)

    @staticmethod
    def _ended(children: set[int]) -> set[int]:
        ended = set()
        for pid in children:
            with suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG)[0]:
                    ended.add(pid)
                    log.warning("drain_process_ended", pid=pid)
        return ended

    def _carry(self, number: int, *, parent: int | None = None) -> None:
        """Take turns on each queue; they begin at different ones, so that none comes last."""
        first = number % len(self._queues)
        order = self._queues[first:] + self._queues[:first]
        while not self._stopping.is_set() and parent in {None, os.getppid()}:
            ran = False
            for queue in order:
                if not self._stopping.is_set():
                    ran = self._turn(queue) or ran
            if not ran:
                self._stopping.wait(IDLE)
        connection.close()

    def _turn(self, queue: str) -> bool:
        try:
            return sum(1 for _ in take_turn(queue, worker=self._worker)) > 0
        except (DatabaseError, InterfaceError) as error:
            log.warning("drain_without_database", error=str(error).strip())
            connection.close()
            return False
