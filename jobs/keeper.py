"""The keeper: the process beside each Celery worker that runs stager, lifeline and heartbeat.

A prefork parent must stay free of threads and database connections, so that a fork copies none
half-done; all that a worker needs between jobs happens here instead. Every host with a worker has a
keeper, so there is no single point of failure.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from uuid import UUID

import psutil
import structlog
from django.db import DatabaseError, InterfaceError, connection
from django.db.models.functions import Now

from jobs.conf import jobs_settings
from jobs.maintenance import lifeline
from jobs.maintenance.stager import Stager
from jobs.models import Worker

log = structlog.get_logger(__name__)

#: Processes between a child of Celery's pool and the command that started everything.
_DEPTH = 3


class Keeper:
    """Keeps the jobs of ``workers`` moving until told to stop."""

    def __init__(self, workers: Sequence[UUID], *, supervisor: int) -> None:
        self._workers = list(workers)
        self._supervisor = supervisor
        self._stopping = threading.Event()
        self._stager = Stager()
        self._beat_at = 0.0

    def run(self) -> None:
        """Work until SIGTERM or SIGINT, then give back what the workers did not finish."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopping.set())
        log.info("keeper_started", workers=[str(worker) for worker in self._workers])
        interval = jobs_settings().STAGER_INTERVAL.total_seconds()
        while not self._stopping.wait(interval) and os.getppid() == self._supervisor:
            for duty in (self._heartbeat, self._take_back, self._stager.run_once):
                self._safely(duty)
        self._outlive_the_workers()
        self._safely(self._stop)

    def _outlive_the_workers(self) -> None:
        """Keep on while the workers finish their jobs, as long as the supervisor lets them."""
        deadline = time.monotonic() + jobs_settings().SHUTDOWN_GRACE.total_seconds() + 5
        while time.monotonic() < deadline and self._siblings():
            self._safely(self._heartbeat)
            self._safely(self._take_back)
            time.sleep(0.1)

    def _siblings(self) -> bool:
        try:
            return any(
                child.pid != os.getpid() and child.status() != psutil.STATUS_ZOMBIE
                for child in psutil.Process(self._supervisor).children()
            )
        except psutil.Error:
            return False

    @staticmethod
    def _safely(duty: Callable[[], object]) -> None:
        try:
            duty()
        except (DatabaseError, InterfaceError) as error:
            log.warning("keeper_without_database", error=str(error).strip())
            connection.close()
        except Exception:
            log.exception("keeper_duty_failed")  # the next round tries again
            connection.close()

    def _heartbeat(self) -> None:
        if time.monotonic() < self._beat_at:
            return
        Worker.objects.filter(id__in=self._workers).update(heartbeat_at=Now(), stopped_at=None)
        self._beat_at = time.monotonic() + jobs_settings().HEARTBEAT.total_seconds()

    def _take_back(self) -> None:
        lifeline.take_back_from_gone_processes(self._workers, self._is_ours)
        lifeline.take_back_forsaken()

    def _is_ours(self, pid: int) -> bool:
        """Say whether the process lives and belongs to us: a number may have been given anew."""
        try:
            process: psutil.Process | None = psutil.Process(pid)
            for _ in range(_DEPTH):
                if process is None or process.status() == psutil.STATUS_ZOMBIE:
                    return False
                if process.ppid() == self._supervisor:
                    return True
                process = process.parent()
        except psutil.Error:
            return False
        return False

    def _stop(self) -> None:
        given_back = lifeline.give_back(self._workers)
        Worker.objects.filter(id__in=self._workers).update(stopped_at=Now())
        log.info("keeper_stopped", jobs_given_back=given_back)
