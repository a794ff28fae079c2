"""Processes that do one thing at a time: each a thread with a connection of its own.

A test tells each what to do, and sees whether that is done or waits for a lock of another. So
transactions overlap as the test wants, in the same way every time.
"""

from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from tests.conftest import query

#: Seconds before it is asked whether a call that is not done waits for a lock.
_MOMENT = 0.01


@dataclass(frozen=True)
class Answer:
    """What came of a call."""

    returned: Any = None
    error: BaseException | None = None

    @property
    def value(self) -> Any:
        """What the call returned; raises what it raised."""
        if self.error is not None:
            raise self.error
        return self.returned


class Session:
    """One process: its connection, its open transaction, and the call that it is about."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._come_alive()

    def _come_alive(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=self.name)
        self._call: Future[Any] | None = None
        self._atomic: Any = None
        self.backend: int = self._do(_backend)

    def _do(self, act: Callable[[], Any]) -> Any:
        return self._thread.submit(act).result(60)

    @property
    def is_open(self) -> bool:
        """Say whether a transaction has begun."""
        return self._atomic is not None

    def start(self, call: Callable[[], Any]) -> None:
        """Begin with a call; see :meth:`answer`."""
        self._call = self._thread.submit(call)

    def answer(self, others: Collection[int]) -> Answer | None:
        """Return what came of the call, or None when it waits for one of these backends."""
        assert self._call is not None
        while not wait([self._call], _MOMENT).done:
            sql = "SELECT pg_blocking_pids(%s) && %s::int[]"
            if query(sql, self.backend, list(others)) == [(True,)]:
                return None
        done, self._call = self._call, None
        error = done.exception()
        return Answer(error=error) if error else Answer(done.result())

    def interrupt(self) -> None:
        """Have the call that waits fail."""
        query("SELECT pg_cancel_backend(%s)", self.backend)
        self.answer(())

    def begin(self) -> None:
        """Begin a transaction, for the calls until :meth:`commit`, :meth:`roll_back`, :meth:`kill`."""
        self._atomic = transaction.atomic()
        self._do(self._atomic.__enter__)

    def commit(self) -> None:
        """Commit the transaction."""
        self._do(lambda: self._atomic.__exit__(None, None, None))
        self._atomic = None

    def roll_back(self) -> None:
        """Roll the transaction back."""

        def undo() -> None:
            transaction.set_rollback(True)
            self._atomic.__exit__(None, None, None)

        self._do(undo)
        self._atomic = None

    def kill(self) -> None:
        """Cut its connection, whatever it is about, and begin anew as another process."""
        query("SELECT pg_terminate_backend(%s, 10000)", self.backend)
        if self._call is not None:
            wait([self._call], 60)
        self.end()
        self._come_alive()

    def end(self) -> None:
        """Close the connection and end the thread."""
        self._do(_hang_up)
        self._thread.shutdown()


def _backend() -> int:
    connection.ensure_connection()
    return int(connection.connection.info.backend_pid)


def _hang_up() -> None:
    if connection.connection is not None:  # not Django's close(): a transaction may be open
        connection.connection.close()
        connection.connection = None
