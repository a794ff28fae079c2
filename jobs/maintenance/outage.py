"""An outage of the broker: workers go on from the table, and the books are balanced afterwards.

Each keeper starts a drain (:mod:`jobs.drain`) beside its Celery workers, and ends it when Redis
answers. Whoever is first then writes what happened meanwhile to the log (``broker_outage_over``)
and to the audit log (``broker.outage_over``): jobs enqueued, run and published again.
"""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from uuid import UUID

import structlog
from django.db import transaction

from jobs import audit
from jobs.child_process import Child, KeptChild
from jobs.models import Worker
from jobs.sql import fetch

log = structlog.get_logger(__name__)

_LOCK = 7_305_002

_BALANCE = """
    SELECT clock_timestamp(),
           (SELECT count(*) FROM jobs_job WHERE enqueued_at >= %s::timestamptz),
           (SELECT count(*) FROM jobs_attempt WHERE finished_at >= %s::timestamptz),
           (SELECT count(*) FROM jobs_job
            WHERE state IN ('available', 'queued', 'scheduled') AND enqueued_at >= %s::timestamptz)
"""

_TOLD = """
    SELECT pg_advisory_xact_lock(%s::bigint)
"""


class Outage:
    """What a keeper does while Redis is down."""

    def __init__(self, workers: Sequence[UUID]) -> None:
        self._workers = list(workers)
        self._drains: list[KeptChild] = []
        self._began: datetime | None = None

    def broker_went(self, silent_for: float) -> None:
        """Start to drain; Redis has not answered for so many seconds."""
        ((self._began,),) = fetch(
            "SELECT clock_timestamp() - make_interval(secs => %s::float8)", [silent_for]
        )
        for worker in Worker.objects.filter(id__in=self._workers):
            drain = KeptChild(_drain_of(worker))
            process = drain.start(piped=False)
            self._drains.append(drain)
            log.warning("drain_started", worker=str(worker.id), pid=process.pid)

    def broker_came_back(self, rang: int) -> None:
        """End the drains, and tell what happened meanwhile."""
        self.stop_drains()
        if self._began is not None:
            _balance(self._began, rang)
            self._began = None

    def look_after(self) -> None:
        """Start drains again that died, and forget those that ended as they were told."""
        for drain in list(self._drains):
            code = drain.reap()
            if code is None:
                continue
            if self._began is None:
                self._drains.remove(drain)
            else:
                log.warning("drain_died", code=code)
                drain.start(piped=False)

    def stop_drains(self) -> None:
        """Have the drains finish what they run, and end."""
        for drain in self._drains:
            if drain.process is not None:
                with suppress(ProcessLookupError):
                    os.kill(drain.process.pid, signal.SIGTERM)

    def close(self) -> None:
        """End the drains for good: the worker stops."""
        self._began = None
        self.stop_drains()

    def kill_drains(self) -> None:
        """End the drains at once, with their children."""
        for drain in self._drains:
            drain.kill()

    @property
    def drains(self) -> bool:
        """Say whether a drain lives."""
        return any(drain.process is not None for drain in self._drains)


def _drain_of(worker: Worker) -> Child:
    arguments = ["--worker", str(worker.id), "--pool", worker.pool]
    arguments += ["--concurrency", str(worker.concurrency), *worker.queues]
    return Child(
        name="drain",
        argv=[sys.executable, "-m", "django", "drain", *arguments],
        env={"JOBS_WORKER_ID": str(worker.id)},
    )


def _balance(began: datetime, rang: int) -> None:
    """Tell what happened since: once for an outage, whatever number of keepers saw it."""
    with transaction.atomic():
        fetch(_TOLD, [_LOCK])
        known = fetch(
            "SELECT 1 FROM jobs_auditentry WHERE action = 'broker.outage_over'"
            " AND at >= %s::timestamptz",
            [began],
        )
        if known:
            return
        ((now, enqueued, run, waiting),) = fetch(_BALANCE, [began, began, began])
        detail = {
            "began": began.isoformat(),
            "seconds": round((now - began).total_seconds(), 1),
            "enqueued": enqueued,
            "run": run,
            "still_waiting": waiting,
            "published_again": rang,
        }
        audit.record(
            action="broker.outage_over",
            subject_type="broker",
            subject_id="redis",
            detail=detail,
            tenant="",
            actor="keeper",
        )
    log.warning("broker_outage_over", **detail)
