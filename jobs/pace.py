"""How many jobs of a queue this process claims at once: as many as take 50 ms, by experience.

A queue of short jobs is claimed and settled in chunks, which costs a fraction of the statements; a
queue of long ones, job by job, so that none waits behind another.
"""

from threading import Lock

#: Seconds that the jobs of one claim should take together.
WORTH = 0.05
#: A statement for so many costs little more, for each of them, than one for more.
MOST = 400
#: What the duration of one new job counts against all before.
_WEIGHT = 0.2


class Pace:
    """The mean duration of a queue's jobs in this process, the newer the heavier."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._means: dict[str, float] = {}
        self._sizes: dict[str, int] = {}

    def jobs_at_once(self, queue: str) -> int:
        """Return how many jobs to claim."""
        return self._sizes.get(queue, 1)

    def learn(self, queue: str, duration: float, jobs: int = 1) -> None:
        """Take the mean duration (seconds) of a claim's jobs into account.

        The size of a claim at most doubles each time, and falls at once.
        """
        with self._lock:
            mean = self._means.get(queue, duration)
            weight = 1 - (1 - _WEIGHT) ** jobs
            mean = max(duration, mean + weight * (duration - mean))
            self._means[queue] = mean
            wanted = int(WORTH / max(mean, WORTH / MOST))
            self._sizes[queue] = max(1, min(wanted, 2 * self._sizes.get(queue, 1), MOST))


pace = Pace()
