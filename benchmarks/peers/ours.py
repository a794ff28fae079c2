"""This project, as business code uses it: typed calls in a transaction of the caller's."""

import os
from collections.abc import Sequence

from benchmarks.peers.asking import Peer, main


class Ours(Peer):
    """The engine, set up as in production."""

    def __init__(self) -> None:
        import django

        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.settings")
        django.setup()
        from django.db import connection, transaction

        from benchmarks.tasks import nothing

        self._connection, self._transaction, self._task = connection, transaction, nothing

    def prepare(self) -> None:
        """Run the migrations."""
        from django.core.management import call_command

        call_command("migrate", verbosity=0, interactive=False)
        with self._connection.cursor() as cursor:
            cursor.execute("CREATE TABLE bench_row (id bigserial PRIMARY KEY, n integer)")

    def enqueue(self, number: int) -> None:
        """Ask for one job, in a transaction."""
        with self._transaction.atomic():
            self._task.enqueue(number=number)

    def enqueue_with_row(self, number: int) -> None:
        """Insert a row and ask for a job."""
        with self._transaction.atomic():
            with self._connection.cursor() as cursor:
                cursor.execute("INSERT INTO bench_row (n) VALUES (%s)", [number])
            self._task.enqueue(number=number)

    def enqueue_many(self, numbers: Sequence[int]) -> None:
        """Ask for many in one call."""
        self._task.enqueue_many({"number": number} for number in numbers)

    def enqueue_sample(self, jobs: int) -> None:
        """Ask for jobs of several queues and many tenants."""
        from benchmarks.grown import QUEUES, TENANTS

        with self._transaction.atomic():
            for number in range(jobs):
                queue, tenant = QUEUES[number % len(QUEUES)], f"tenant-{number % TENANTS}"
                self._task.using(queue=queue, tenant=tenant).enqueue(number=number)


if __name__ == "__main__":
    main(Ours())
