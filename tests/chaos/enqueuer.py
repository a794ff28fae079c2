"""A process that enqueues: ``python -m tests.chaos.enqueuer JOURNAL``.

It reads transactions from its standard input, one JSON line each, and commits them, or rolls them
back, or dies between the commit and the publishing, as they say. What it did is in its journal.
"""

import json
import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

from tests.chaos.journal import Journal
from tests.chaos.plan import PlannedJob, Unit


class Undo(Exception):
    """The transaction is to be rolled back."""


def main() -> None:
    """Carry out what is read, until there is no more."""
    import django

    django.setup()
    journal = Journal(Path(sys.argv[1]))
    journal.ready()
    for line in sys.stdin:
        carry_out(Unit.from_json(json.loads(line)), journal)


def carry_out(unit: Unit, journal: Journal) -> None:
    """Make the transaction, again if PostgreSQL went away before its commit."""
    while not _Try(unit, journal).made():
        time.sleep(0.1)


class _Try:
    """One try of a transaction."""

    def __init__(self, unit: Unit, journal: Journal) -> None:
        self._unit = unit
        self._journal = journal
        self._ids: dict[str, int] = {}
        self._announced = False
        self._began = time.monotonic()

    def made(self) -> bool:
        """Carry it out; False: it must be tried again."""
        from django.db import InterfaceError, OperationalError, connection

        try:
            self._transact()
        except Undo:
            self._tell("rolled back")
        except (OperationalError, InterfaceError):
            connection.close()
            if not self._announced:
                return False
            committed = were_committed(list(self._ids))
            self._tell("committed" if committed else "rolled back")
            return committed or self._unit.rolls_back
        else:
            self._tell("committed")
        return True

    def _transact(self) -> None:
        from django.db import transaction

        with transaction.atomic():
            if self._unit.dies:
                transaction.on_commit(self._die)  # before the engine's own, which publishes
            if self._unit.flow:
                self._ids |= start(self._unit)
            elif self._unit.bulk:
                self._ids |= enqueue_in_bulk(self._unit.jobs)
            else:
                self._ids |= {enqueue(job): job.key for job in self._unit.jobs}
            keys = [job.key for job in self._unit.jobs]
            self._journal.intent(self._unit.number, self._ids, keys)
            self._announced = True
            if self._unit.rolls_back:
                raise Undo

    def _die(self) -> None:
        self._tell("committed")
        os.kill(os.getpid(), signal.SIGKILL)

    def _tell(self, outcome: str) -> None:
        seconds = time.monotonic() - self._began
        self._journal.outcome(self._unit.number, outcome, at=time.time(), seconds=seconds)


def enqueue(planned: PlannedJob) -> str:
    """Enqueue one job as an application would; returns its id."""
    from django.db import connection

    from jobs.models import Priority
    from jobs.task import get_task

    call = get_task(planned.task).using(
        queue=planned.queue,
        tenant=planned.tenant,
        priority=Priority(planned.priority),
        delay=timedelta(seconds=planned.delay) if planned.delay else None,
    )
    job = call.enqueue(**planned.arguments())
    if planned.old_shape:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE jobs_job SET payload = payload - 'key' WHERE id = %s", [job.id])
    return str(job.id)


def enqueue_in_bulk(planned: list[PlannedJob]) -> dict[str, int]:
    """Enqueue many jobs of one kind at once; returns their keys by their ids."""
    from jobs.definition import Options
    from jobs.task import get_task

    first = planned[0]
    options = Options(queue=first.queue, tenant=first.tenant)
    ids = get_task(first.task).enqueue_many([job.arguments() for job in planned], options)
    return {str(id_): job.key for id_, job in zip(ids, planned, strict=True)}


def start(flow: Unit) -> dict[str, int]:
    """Start a workflow by Celery's canvas; returns the keys of the jobs there are so far."""
    from celery import chain, chord
    from django.db import connection

    from jobs.task import get_task

    steps = [get_task(job.task).si(**job.arguments()).set(queue=job.queue) for job in flow.jobs]
    if flow.flow == "chain":
        chain(*steps).apply_async()
    else:
        chord(steps[:-1])(steps[-1])
    keys = [job.key for job in flow.jobs]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, (payload->>'key')::int FROM jobs_job WHERE (payload->>'key')::int = ANY(%s)",
            [keys],
        )
        return {str(id_): key for id_, key in cursor.fetchall()}


def were_committed(ids: list[str]) -> bool:
    """Say whether the rows are there, as soon as PostgreSQL can tell."""
    from django.db import InterfaceError, OperationalError, connection

    while True:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM jobs_job WHERE id = ANY(%s::uuid[])", [ids])
                return bool(cursor.fetchone()[0])
        except (OperationalError, InterfaceError):
            connection.close()
            time.sleep(0.1)


if __name__ == "__main__":
    main()
