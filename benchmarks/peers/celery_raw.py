"""Celery with Redis, results ignored: the fastest it goes, and nothing is kept."""

import os

from celery import Celery

from benchmarks.effects import note
from benchmarks.peers.asking import Peer, main

app = Celery("celery_raw", broker=os.environ.get("BENCH_BROKER"))
app.conf.update(
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
    worker_prefetch_multiplier=int(os.environ.get("BENCH_PREFETCH", "4")),
)


@app.task(name="bench.nothing")
def nothing(*, number: int) -> None:
    """Do nothing."""
    note(number)


class CeleryRaw(Peer):
    """Celery alone."""

    def enqueue(self, number: int) -> None:
        """Send a message."""
        nothing.delay(number=number)


if __name__ == "__main__":
    main(CeleryRaw())
