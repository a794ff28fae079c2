"""A chunk: jobs claimed together, what of them was not begun, and what is not written yet.

Nothing waits inside a worker: when one job of a chunk takes longer than it should, a watchdog gives
back those behind it, for others to run, and writes the outcomes of those before it. A job leaves
the chunk either to be run or to be given back, under one lock, so never both.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import structlog
from django.db import DatabaseError, InterfaceError, connection

from jobs.records import Claimed, Settlement
from jobs.states import Move

log = structlog.get_logger(__name__)

#: Seconds that a claimed job may stand behind others of its chunk, and an outcome be unwritten.
PATIENCE = 0.25

#: A job and how its attempt ended.
Done = tuple[Claimed, Settlement]


class Chunk:
    """Claimed jobs, in their order. ``write`` settles outcomes and returns those that counted.

    ``late`` is called when one of them took too long, after what was done is written.
    """

    def __init__(
        self,
        jobs: Sequence[Claimed],
        write: Callable[[list[Done]], list[Done]],
        late: Callable[[list[Done]], None],
    ) -> None:
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._jobs = deque(jobs)
        self._unwritten: list[Done] = []
        self._write = write
        self._late = late
        self.deadline = time.monotonic() + PATIENCE
        #: How many were not given back.
        self.size = len(jobs)
        #: The outcomes that were written.
        self.done: list[Done] = []

    def next(self) -> Claimed | None:
        """Take the next job, to run it."""
        with self._lock:
            return self._jobs.popleft() if self._jobs else None

    def next_of(self, task: str) -> list[Claimed]:
        """Take all further jobs of this task that never crashed, to run them at once."""
        with self._lock:
            taken: list[Claimed] = []
            others: deque[Claimed] = deque()
            for job in self._jobs:
                (taken if job.task == task and not job.crashes else others).append(job)
            self._jobs = others
            return taken

    def put_back(self, jobs: Sequence[Claimed]) -> None:
        """Have the next ones be these, which were taken but not begun; if late, give all back."""
        with self._lock:
            self._jobs.extendleft(reversed(jobs))
        if time.monotonic() > self.deadline:  # the watchdog comes once
            self.give_way()

    def ended(self, done: Done) -> None:
        """Keep an outcome, to be written with others."""
        with self._lock:
            self._unwritten.append(done)

    def settle(self) -> None:
        """Write the outcomes there are."""
        with self._writing:
            with self._lock:
                unwritten, self._unwritten = self._unwritten, []
            if unwritten:
                self.done += self._write(unwritten)

    def give_way(self) -> None:
        """Give back all that was not begun, and write what was done."""
        self.give_back()
        self.settle()
        self._late(self.done)

    def give_back(self) -> None:
        """Give back all that was not begun. Costs them no attempt."""
        with self._lock:
            left = list(self._jobs)
            self._jobs.clear()
            self.size -= len(left)
        if left:
            self._write([(job, _released(job)) for job in left])
            log.info("jobs_given_back", jobs=len(left), queue=left[0].queue)


def _released(job: Claimed) -> Settlement:
    return Settlement(
        id=job.id,
        lease=job.lease,
        move=Move.RELEASED,
        error="another job of its chunk took long",
    )


class _Watchdog:
    """One thread of this process that looks after all its chunks."""

    def __init__(self) -> None:
        self._begin_anew()
        os.register_at_fork(after_in_child=self._begin_anew)  # a fork copies no threads

    def _begin_anew(self) -> None:
        self._chunks: set[Chunk] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, chunk: Chunk) -> None:
        with self._changed:
            self._chunks.add(chunk)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, daemon=True, name="chunks")
                self._thread.start()
            self._changed.notify()

    def remove(self, chunk: Chunk) -> None:
        with self._changed:
            self._chunks.discard(chunk)

    def _watch(self) -> None:
        while True:
            with self._changed:
                if not self._chunks:
                    self._changed.wait()
                now = time.monotonic()
                late = [chunk for chunk in self._chunks if chunk.deadline <= now]
                self._chunks.difference_update(late)
                if not late:
                    soonest = min((chunk.deadline for chunk in self._chunks), default=now)
                    self._changed.wait(max(0.0, soonest - now))
            for chunk in late:
                try:
                    chunk.give_way()
                except (DatabaseError, InterfaceError) as error:
                    # They stay with this process's lease until the lifeline takes them back.
                    log.warning("chunk_failed", error=str(error).strip())
                finally:
                    connection.close()  # this thread's own


_watchdog = _Watchdog()


@contextmanager
def watched(chunk: Chunk, *, size: int) -> Iterator[None]:
    """Have the watchdog look after the chunk of this many jobs while the block runs."""
    if size == 1:  # whatever happens to it, nobody waits behind it
        yield
        return
    _watchdog.add(chunk)
    try:
        yield
    finally:
        _watchdog.remove(chunk)
