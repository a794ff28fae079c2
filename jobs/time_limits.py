"""Soft time limits: ``SoftTimeLimitExceeded`` is raised in a task's body when it takes too long.

Celery's own limits belong to a message, and a message may lead to many jobs; so the process that
runs a job sets its timer, and the keeper ends by force what outlives its hard limit. Threads cannot
be interrupted: a pool of threads has hard limits only.
"""

import os
import signal
import threading
import time
from types import FrameType
from typing import Never

from celery.exceptions import SoftTimeLimitExceeded

#: Seconds of a timer that is due: zero would stop it.
_AT_ONCE = 1e-6


class soft_time_limit:  # noqa: N801 - it is called, as a function is
    """Interrupt the block after so many seconds, in the main thread of a worker's process.

    The handler stays: without a timer nothing calls it, and putting it back would cost each job. Of
    a block within another the sooner limit counts, and the outer one goes on afterwards.

    Raises:
        SoftTimeLimitExceeded: it took longer.
    """

    __slots__ = ("_began", "_is_set", "_outer", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        """Set the timer."""
        self._is_set = _can_be_interrupted()
        if self._is_set:
            if signal.getsignal(signal.SIGALRM) is not _interrupt:
                signal.signal(signal.SIGALRM, _interrupt)
            self._outer, _ = signal.setitimer(signal.ITIMER_REAL, self._seconds)
            if self._outer:
                self._began = time.monotonic()
                if self._outer < self._seconds:
                    signal.setitimer(signal.ITIMER_REAL, self._outer)

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        if not self._is_set:
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        if self._outer:
            left = self._outer - (time.monotonic() - self._began)
            signal.setitimer(signal.ITIMER_REAL, max(left, _AT_ONCE))


def _can_be_interrupted() -> bool:
    in_main_thread = threading.current_thread() is threading.main_thread()
    return in_main_thread and "JOBS_WORKER_ID" in os.environ


def _interrupt(_number: int, _frame: FrameType | None) -> Never:
    raise SoftTimeLimitExceeded("it outlived its soft time limit")
