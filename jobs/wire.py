"""Prepared statements straight through libpq, as psycopg offers it in :mod:`psycopg.pq`.

A cursor of psycopg inside one of Django's costs each statement a tenth of a millisecond of Python:
a quarter of an enqueue. This does for our statements what cursors do, with the same adaptation of
values: it begins the transaction when that is due, in the same trip; prepares each statement once
for each connection; waits so that signals are heard; and raises psycopg's errors.
"""

import select
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg.adapt import AdaptersMap, PyFormat, Transformer
from psycopg.errors import FeatureNotSupported, InvalidSqlStatementName, error_from_result
from psycopg.pq import ConnStatus, ExecStatus, PipelineStatus, TransactionStatus

if TYPE_CHECKING:
    from psycopg.abc import Buffer
    from psycopg.pq.abc import PGresult

Connection = psycopg.Connection[Any]

#: Statements kept prepared for one connection; when there are more, the server forgets them all.
MOST = 200
#: Milliseconds after which a wait looks whether a signal came just before it.
GLANCE = 100
#: Seconds that the server is given to hear that a statement was interrupted.
CANCEL_WITHIN = 1.0

#: In the names of statements, none of which is used twice.
_numbers = count(1)


def can_speak(connection: Connection) -> bool:
    """Say whether nobody asked this connection for what only psycopg itself does.

    Such as preparing statements: it would have the server forget all of them, ours too.
    """
    return (
        connection.prepare_threshold is None
        and connection.pgconn.pipeline_status == PipelineStatus.OFF
        and connection.isolation_level is None
        and connection.read_only is None
        and connection.deferrable is None
    )


def fetch(connection: Connection, statement: bytes, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run a statement, with ``$1``, ``$2``, … for its values, and return its rows.

    Raises:
        psycopg.Error: as a cursor would. Whatever else interrupts the wait, such as the handler of
            a signal, ends the connection: an answer is still to come on it.
    """
    with connection.lock:
        if connection.closed:
            raise psycopg.OperationalError("the connection is closed")
        wire = _wires.get(connection)
        if wire is None:
            wire = _wires[connection] = _Wire(connection)
        return wire.fetch(connection, statement, values)


@dataclass(frozen=True)
class _Adaptation:
    """How a connection adapts values, without the connection: it may be forgotten."""

    adapters: AdaptersMap
    connection: None = None


class _Wire:
    """What is kept for one connection."""

    def __init__(self, connection: Connection) -> None:
        self._server = connection.pgconn
        self._adapter = Transformer(_Adaptation(connection.adapters))
        #: The name of each statement that the server has prepared, with the types of its values.
        self._names: dict[tuple[bytes, tuple[int, ...]], bytes] = {}
        self._readable, self._both = select.poll(), select.poll()
        self._readable.register(self._server.socket, select.POLLIN)
        self._both.register(self._server.socket, select.POLLIN | select.POLLOUT)

    def fetch(
        self, connection: Connection, statement: bytes, values: Sequence[Any]
    ) -> list[tuple[Any, ...]]:
        adapter, server = self._adapter, self._server
        sent = adapter.dump_sequence(values, [PyFormat.AUTO] * len(values))
        key = (statement, adapter.types or ())
        is_first = server.transaction_status == TransactionStatus.IDLE
        results = self._ask(connection, key, sent, begin=is_first and not connection.autocommit)
        try:
            _raise_failure(results)
        except (InvalidSqlStatementName, FeatureNotSupported) as error:
            # The server was told to forget what it prepared, or a table was changed under it.
            known = self._names.pop(key, None)
            if isinstance(error, InvalidSqlStatementName):
                self._names.clear()
            if known is None or not is_first:
                raise
            if server.transaction_status == TransactionStatus.INERROR:
                server.exec_(b"ROLLBACK")
            results = self._ask(connection, key, sent, begin=not connection.autocommit)
            _raise_failure(results)
        adapter.set_pgresult(results[-1])
        rows: list[tuple[Any, ...]] = adapter.load_rows(0, results[-1].ntuples, tuple)
        adapter.set_pgresult(None)
        return rows

    def _ask(
        self,
        connection: Connection,
        key: tuple[bytes, tuple[int, ...]],
        sent: "Sequence[Buffer | None]",
        *,
        begin: bool,
    ) -> "list[PGresult]":
        """Run a statement with these values; returns the results, that of the statement last."""
        server = self._server
        known = self._names.get(key)
        name = known or b"jobs_%d" % next(_numbers)
        results: list[PGresult] = []
        try:
            server.enter_pipeline_mode()
            if begin:
                server.send_query_params(b"BEGIN", None)
            if known is None:
                if len(self._names) >= MOST:
                    self._names.clear()
                    server.send_query_params(b"DEALLOCATE ALL", None)
                server.send_prepare(name, *key)
            server.send_query_prepared(name, sent, self._adapter.formats)
            server.pipeline_sync()
            self._listen(results)
            server.exit_pipeline_mode()
        except psycopg.Error:
            connection.close()
            _raise_failure(results)  # why the server has ended the connection, if it said so
            raise
        except BaseException:
            try:
                connection.cancel_safe(timeout=CANCEL_WITHIN)
            except psycopg.Error:
                pass  # it ends anyway
            finally:
                connection.close()
            raise
        # Whatever became of it then; and the end of a transaction does not undo that.
        if known is None and results[-2].status == ExecStatus.COMMAND_OK:
            self._names[key] = name
        return results

    def _listen(self, results: "list[PGresult]") -> None:
        """Gather the results of what was sent, up to the synchronisation."""
        server = self._server
        while server.flush():  # it does not fit the socket; the server may want to be read, too
            if any(ready & select.POLLIN for _, ready in self._both.poll(GLANCE)):
                server.consume_input()
        while True:
            while server.is_busy():
                self._readable.poll(GLANCE)
                server.consume_input()
            result = server.get_result()
            if result is None:  # the end of one command's results
                if server.status == ConnStatus.BAD:
                    raise psycopg.OperationalError("the connection is lost")
            elif result.status == ExecStatus.PIPELINE_SYNC:
                return
            else:
                results.append(result)


_wires: WeakKeyDictionary[Connection, _Wire] = WeakKeyDictionary()


def _raise_failure(results: "Sequence[PGresult]") -> None:
    for result in results:
        if result.status == ExecStatus.FATAL_ERROR:
            raise error_from_result(result)
