"""Celery in Django with django-celery-results: what most people use today.

Tuned (`BENCH_TUNED=1`): database connections are kept, which Celery's Django fix-up otherwise
closes before and after each task; prefetching is as configured. Everything else is as it comes:
`CELERY_RESULT_EXTENDED` and `CELERY_TASK_TRACK_STARTED` are off by default.
"""

import os

import django

django.setup()

from celery import Celery  # noqa: E402 - Django comes first
from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402

from benchmarks.effects import note  # noqa: E402
from benchmarks.peers.asking import Peer, main  # noqa: E402
from benchmarks.peers.results_settings import TUNED  # noqa: E402

app = Celery("celery_results", broker=os.environ.get("BENCH_BROKER"))
app.conf.update(
    result_backend="django-db",
    broker_connection_retry_on_startup=True,
    worker_prefetch_multiplier=int(os.environ.get("BENCH_PREFETCH", "4")),
    **({"CELERY_DB_REUSE_MAX": 10**12} if TUNED else {}),
)


@app.task(name="bench.nothing")
def nothing(*, number: int) -> None:
    """Do nothing."""
    note(number)


class CeleryResults(Peer):
    """Celery with an outcome in the database."""

    def prepare(self) -> None:
        """Run the migrations."""
        call_command("migrate", verbosity=0, interactive=False)
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE bench_row (id bigserial PRIMARY KEY, n integer)")

    def enqueue(self, number: int) -> None:
        """Send a message after the commit of a transaction."""
        with transaction.atomic():
            nothing.delay_on_commit(number=number)  # type: ignore[attr-defined]

    def enqueue_with_row(self, number: int) -> None:
        """Insert a row, and send a message after the commit."""
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO bench_row (n) VALUES (%s)", [number])
            nothing.delay_on_commit(number=number)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(CeleryResults())
