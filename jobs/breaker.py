"""A circuit breaker around the broker: after a failure, nobody waits for Redis for a while.

One per process. While it is open, jobs are inserted as ``available`` without a try to publish them,
and the stager publishes them when Redis answers again. It closes by itself after ``PAUSE`` seconds:
the next caller tries, and pays at most the timeouts of :mod:`jobs.publish`.
"""

import threading
import time

#: Seconds that it stays open after a failure.
PAUSE = 5.0


class Breaker:
    """Open after :meth:`trip`, for :data:`PAUSE` seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open_until = 0.0

    @property
    def is_open(self) -> bool:
        """Say whether the broker failed a moment ago."""
        return time.monotonic() < self._open_until

    def trip(self) -> None:
        """Remember that the broker failed."""
        with self._lock:
            self._open_until = time.monotonic() + PAUSE

    def reset(self) -> None:
        """Forget it: the broker answers."""
        self._open_until = 0.0


breaker = Breaker()
