"""PostgreSQL alone: one committed INSERT for each job. What is durable cannot be faster."""

from collections.abc import Sequence

import psycopg

from benchmarks.peers.asking import Peer, dsn, main

INSERT = "INSERT INTO bench_job (payload) VALUES (%s)"


class Postgresql(Peer):
    """One table, with a key and a payload."""

    def prepare(self) -> None:
        """Create the table."""
        with psycopg.connect(dsn()) as connection:
            connection.execute("CREATE TABLE bench_job (id bigserial PRIMARY KEY, payload jsonb)")

    def open(self) -> None:
        """Connect."""
        self._connection = psycopg.connect(dsn(), autocommit=True)

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()

    def enqueue(self, number: int) -> None:
        """Insert one row, and commit."""
        self._connection.execute(INSERT, [f'{{"n": {number}}}'], prepare=True)

    def enqueue_many(self, numbers: Sequence[int]) -> None:
        """Copy many rows in."""
        with (
            self._connection.cursor() as cursor,
            cursor.copy("COPY bench_job (payload) FROM STDIN") as copy,
        ):
            for number in numbers:
                copy.write_row([f'{{"n": {number}}}'])


if __name__ == "__main__":
    main(Postgresql())
