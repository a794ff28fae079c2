"""How maintenance works: in short transactions, and not for long at a time.

A batch is one transaction that gives up rather than wait for somebody's lock. After a slow batch
the database gets a rest. After ``BUDGET`` the run ends and asks to be continued, so that other jobs
of its queue get their turn, and it never meets its time limit.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db import connection, transaction

from jobs.errors import RetryLater
from jobs.running import current_job

#: For how long one run goes on.
BUDGET = timedelta(seconds=30)
#: Until it is continued.
PAUSE = timedelta(seconds=1)

#: Seconds that a quick batch takes at most, and that the rest after a slow one lasts at most.
_QUICK, _LONGEST_REST = 0.25, 5.0

_TIMEOUTS = """
    SELECT set_config('lock_timeout', '1s', true), set_config('statement_timeout', '60s', true)
"""


@contextmanager
def bounded() -> Iterator[None]:
    """Run the block in a transaction that waits a second for a lock at most.

    Raises:
        OperationalError: somebody holds a lock for longer, or a statement takes more than a minute.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_TIMEOUTS)
        yield


class Shift:
    """One run of maintenance, batch after batch."""

    def __init__(self, budget: timedelta = BUDGET, *, rests: bool = True) -> None:
        self._began = self._last = time.monotonic()
        self._budget = budget.total_seconds()
        self._rests = rests

    def go_on(self, done: int, total: int, note: str) -> None:
        """Tell how far it is, and rest if the last batch was slow; call it between batches.

        Raises:
            RetryLater: the run has lasted long enough. Let it pass: the job is continued.
            Cancelled, LeaseLost: see :meth:`~jobs.running.RunningJob.progress`.
        """
        now = time.monotonic()
        if running := current_job():
            running.progress(done, max(done, total), note)
        if now - self._began >= self._budget:
            raise RetryLater("There is more to do; others get their turn first.", after=PAUSE)
        took = now - self._last
        if self._rests and took > _QUICK:
            time.sleep(min(took, _LONGEST_REST))
        self._last = time.monotonic()
