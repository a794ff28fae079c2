"""Dramatiq with Redis, results not kept, with its own command for workers."""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.effects import note
from benchmarks.peers.asking import Peer, main

dramatiq.set_broker(RedisBroker(url=os.environ["REDIS_URL"]))


@dramatiq.actor(actor_name="nothing", queue_name="bench")
def nothing(number: int) -> None:
    """Do nothing."""
    note(number)


class DramatiqJobs(Peer):
    """Dramatiq alone."""

    def enqueue(self, number: int) -> None:
        """Send a message."""
        nothing.send(number)


if __name__ == "__main__":
    main(DramatiqJobs())
