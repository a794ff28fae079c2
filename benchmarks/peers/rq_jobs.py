"""RQ: Redis alone, results kept there for 500 seconds as is its default."""

import os
from collections.abc import Sequence

from redis import Redis
from rq import Queue, SimpleWorker, Worker

from benchmarks.effects import note
from benchmarks.peers.asking import Peer, main

#: RQ finds a task by its path, and refuses those of ``__main__``.
TASK = "benchmarks.peers.rq_jobs.nothing"


def nothing(number: int) -> None:
    """Do nothing."""
    note(number)


class RqJobs(Peer):
    """Its workers fork for each job (default), or do not (`simple`)."""

    def open(self) -> None:
        """Connect."""
        self._queue = Queue("bench", connection=Redis.from_url(os.environ["REDIS_URL"]))

    def enqueue(self, number: int) -> None:
        """Ask for one job."""
        self._queue.enqueue(TASK, number)

    def enqueue_many(self, numbers: Sequence[int]) -> None:
        """Ask for many in one call."""
        self._queue.enqueue_many([Queue.prepare_data(TASK, args=(n,)) for n in numbers])

    def work(self, *options: str) -> None:
        """Run a worker."""
        self.open()
        kind = SimpleWorker if options[0] == "simple" else Worker
        kind([self._queue], connection=self._queue.connection).work(logging_level="WARNING")


if __name__ == "__main__":
    main(RqJobs())
