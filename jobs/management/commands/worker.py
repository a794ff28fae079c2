"""``manage.py worker``: carries the jobs of some queues, or of all."""

import atexit
import os
import socket
import sys
import threading
import time
from argparse import ArgumentParser
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any
from uuid import UUID, uuid4

import structlog
from billiard import util as billiard_util
from celery import Celery
from celery.app.utils import find_app
from celery.bin.base import CLIContext
from celery.bin.worker import worker as celery_worker
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection, connections

from jobs import listening
from jobs.carrier import share_memory, take_without_keeping
from jobs.conf import jobs_settings
from jobs.errors import UnknownQueue
from jobs.keeper import Keeper
from jobs.models import Worker
from jobs.queues import QUEUES, Pool, Queue, get_queue
from jobs.supervisor import Child, Event, Supervisor
from jobs.task import registry

log = structlog.get_logger(__name__)

#: Beyond the grace of the jobs, for the keeper to give back what is left.
_KEEPER_EXTRA_SECONDS = 10
#: How long a worker that starts waits for PostgreSQL, which may be starting, too.
_DATABASE_SECONDS = 60
#: What Celery, its pool's processes and tasks import when they need it.
_LOADED_LATE = (
    "celery.apps.worker",
    "celery.concurrency.prefork",
    "celery.concurrency.thread",
    "celery.worker.autoscale",
    "celery.worker.components",
    "celery.worker.consumer",
    "cffi.cparser",
    "jobs.executor",
    "jobs.listening",
    "jobs.result_backend",
    "jobs.strategy",
    "kombu.transport.redis",
)


@dataclass(frozen=True)
class Lane:
    """One Celery worker to start: the queues that want the same kind of pool."""

    pool: Pool
    queues: list[Queue]
    concurrency: int


def lanes(queues: list[Queue], *, development: bool, concurrency: int | None) -> list[Lane]:
    """Group queues by their pool, with the concurrency they were declared with, together.

    In development all queues share few processes: no more of each pool than the widest needs.
    """
    found = []
    for pool in ("threads", "prefork"):
        own = [queue for queue in queues if queue.pool == pool]
        if own:
            widths = [queue.concurrency for queue in own]
            width = max(widths) + 1 if development else sum(widths)
            found.append(Lane(own[0].pool, own, concurrency or width))
    return found


class Command(BaseCommand):
    """Starts a Celery worker for each kind of pool that the queues want, and a keeper."""

    help = "Carry the jobs of these queues, until stopped (SIGTERM or Ctrl-C)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the queues."""
        parser.add_argument("queues", nargs="*", metavar="QUEUE", help=", ".join(QUEUES))
        parser.add_argument("--all", action="store_true", help="every queue, for development")
        parser.add_argument(
            "--concurrency", type=int, help="jobs at a time, instead of what the queues declare"
        )

    def check(self, *args: Any, **options: Any) -> None:
        """Run the system checks in a process of their own: they load every page of the site."""
        pid = os.fork()
        if not pid:
            code = 1
            try:
                super().check(*args, **options)
                code = 0
            except CommandError as error:  # SystemCheckError is one
                self.stderr.write(str(error))
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        if os.waitpid(pid, 0)[1]:
            raise CommandError("The worker was not started: mend what the checks found.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until told to stop."""
        queues = self._queues(options["queues"], all_of_them=options["all"])
        if options["concurrency"] is not None and options["concurrency"] < 1:
            raise CommandError("--concurrency: expected 1 or more.", returncode=2)
        started = lanes(queues, development=options["all"], concurrency=options["concurrency"])
        app = _load_what_forks_share()
        _wait_for_database()
        workers = [(self._register(lane), lane) for lane in started]
        connections.close_all()
        share_memory()
        children = [
            *(self._celery(app, worker, lane) for worker, lane in workers),
            self._keeper([worker for worker, _ in workers]),
        ]
        sys.exit(Supervisor(children, on_event=_log_event).run())

    @staticmethod
    def _queues(names: list[str], *, all_of_them: bool) -> list[Queue]:
        if all_of_them == bool(names):
            raise CommandError(
                f"Name the queues to work on ({', '.join(QUEUES)}), or give --all.", returncode=2
            )
        try:
            return [get_queue(name) for name in dict.fromkeys(names or QUEUES)]
        except UnknownQueue as error:
            raise CommandError(str(error), returncode=2) from None

    @staticmethod
    def _register(lane: Lane) -> UUID:
        # Before the first claim, so that the lifeline never meets a job of an unknown worker.
        worker = Worker.objects.create(
            id=uuid4(),
            host=socket.gethostname(),
            pid=os.getpid(),
            queues=[queue.name for queue in lane.queues],
            pool=lane.pool,
            concurrency=lane.concurrency,
            tasks=sorted(registry()),
        )
        return worker.id

    @staticmethod
    def _celery(app: Celery, worker: UUID, lane: Lane) -> Child:
        return Child(
            name=f"celery-{lane.pool}",
            run=partial(_run_celery, app, worker, lane),
            env=_environment() | {"JOBS_WORKER_ID": str(worker)},
            grace=jobs_settings().SHUTDOWN_GRACE.total_seconds(),
        )

    @staticmethod
    def _keeper(workers: list[UUID]) -> Child:
        supervisor = os.getpid()
        return Child(
            name="keeper",
            run=lambda: Keeper(workers, supervisor=supervisor).run(),
            env=_environment() | {"JOBS_WORKER_ID": str(workers[0])},
            grace=jobs_settings().SHUTDOWN_GRACE.total_seconds() + _KEEPER_EXTRA_SECONDS,
        )


def _load_what_forks_share() -> Celery:
    """Load now what each of them would load by itself; returns the Celery application.

    Raises:
        CommandError: a module has started threads, whose locks a fork would find shut for ever.
    """
    os.environ["CELERY_SKIP_CHECKS"] = "1"  # each fork would repeat what this command has checked
    app: Celery = find_app(settings.CELERY_APP)
    app.loader.import_default_modules()
    app.finalize()
    for module in _LOADED_LATE:
        import_module(module)
    if threading.active_count() > 1:
        names = ", ".join(one.name for one in threading.enumerate()[1:])
        raise CommandError(
            f"A module of yours starts threads when it is imported ({names}): a worker forks its"
            " processes, and cannot then. Start them when Celery sends worker_process_init."
        )
    return app


def _run_celery(app: Celery, worker: UUID, lane: Lane) -> None:
    """Be a Celery worker."""
    # A pool of threads does not wake the loop that fetches: without prefetching it would starve.
    prefetches = lane.pool != "prefork"
    if not prefetches:
        take_without_keeping(app)
        listening.teach(app)
    arguments = [
        *("--queues", ",".join(queue.name for queue in lane.queues)),
        *("--pool", lane.pool),
        *("--concurrency", str(lane.concurrency)),
        *("--hostname", f"{lane.pool}-{worker.hex[:8]}@%h"),
        *([] if prefetches else ["--disable-prefetch"]),
        "--without-gossip",
        "--without-mingle",
        *("--loglevel", "WARNING"),
    ]
    sys.argv = ["celery", "worker", *arguments]  # Celery shows it in `ps`
    # What it registered when it was imported is the supervisor's.
    atexit.register(billiard_util._exit_function)  # type: ignore[attr-defined]
    context = CLIContext(app=app, no_color=False, workdir=None)
    # Not by way of the `celery` command, which loads all others, and Flower with them.
    celery_worker.main(arguments, prog_name="celery worker", obj=context)


def _wait_for_database() -> None:
    """Wait while PostgreSQL starts; raises ``OperationalError`` when it has not after a minute."""
    deadline = time.monotonic() + _DATABASE_SECONDS
    told = False
    while True:
        try:
            connection.ensure_connection()
            return
        except OperationalError as error:
            if time.monotonic() > deadline:
                raise
            if not told:
                log.warning("worker_waits_for_database", error=str(error).strip())
            told = True
            time.sleep(0.5)


def _environment() -> dict[str, str]:
    path = os.pathsep.join(
        part for part in (str(settings.BASE_DIR), os.environ.get("PYTHONPATH", "")) if part
    )
    return {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def _log_event(event: Event, name: str, detail: str) -> None:
    told = log.warning if event in {Event.DIED, Event.KILLED, Event.LATE} else log.info
    told(f"process_{event.value}", process=name, detail=detail)
