"""Soft time limits: ``SoftTimeLimitExceeded`` is raised in a task's body when it takes too long.

Celery's own limits belong to a message, and a message may lead to many jobs; so the process that
runs a job sets its timer, and the keeper ends by force what outlives its hard limit. Threads cannot
be interrupted: a pool of threads has hard limits only.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Never

from celery.exceptions import SoftTimeLimitExceeded


@contextmanager
def soft_time_limit(seconds: float) -> Iterator[None]:
    """Interrupt the block after so many seconds, in the main thread of a worker's process.

    Raises:
        SoftTimeLimitExceeded: it took longer.
    """
    in_worker = "JOBS_WORKER_ID" in os.environ
    if not in_worker or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, _interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _interrupt(_number: int, _frame: FrameType | None) -> Never:
    raise SoftTimeLimitExceeded("it outlived its soft time limit")
