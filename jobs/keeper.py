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
from contextlib import suppress
from uuid import UUID

import psutil
import structlog
from django.db import DatabaseError, InterfaceError, connection
from django.db.models.functions import Now

from jobs import sessions
from jobs.conf import jobs_settings
from jobs.maintenance import enforcer, lifeline, strays
from jobs.maintenance.outage import Outage
from jobs.maintenance.rollup import Rollup
from jobs.maintenance.stager import Stager
from jobs.maintenance.watchman import Watchman
from jobs.models import Worker

log = structlog.get_logger(__name__)

#: Processes between a child of Celery's pool and the command that started everything.
_DEPTH = 3
#: Seconds between two looks for jobs whose task nobody knows.
_STRAYS_SECONDS = 5.0
#: Seconds beyond the grace of the jobs before the keeper kills a worker that does not end.
_MARGIN_SECONDS = 5


class Keeper:
    """Keeps the jobs of ``workers`` moving until told to stop."""

    def __init__(self, workers: Sequence[UUID], *, supervisor: int) -> None:
        self._workers = list(workers)
        self._supervisor = supervisor
        self._stopping = threading.Event()
        self._outage = Outage(workers)
        self._stager = Stager(self._outage)
        self._celery: list[psutil.Process] = []
        self._beat_at = 0.0
        self._judges_at = 0.0
        self._watchman = Watchman(workers)
        self._strays_at = 0.0
        self._rollup = Rollup(workers)

    def run(self) -> None:
        """Work until SIGTERM or SIGINT, then give back what the workers did not finish."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopping.set())
        log.info("keeper_started", workers=[str(worker) for worker in self._workers])
        interval = jobs_settings().STAGER_INTERVAL.total_seconds()
        self._look_around()
        while not self._stopping.wait(interval) and os.getppid() == self._supervisor:
            self._look_around()
            for duty in (
                self._heartbeat,
                self._take_back,
                self._end_by_force,
                self._stager.run_once,
                self._outage.look_after,
                self._look_after_strays,
                self._rollup.run_once,
            ):
                self._safely(duty)
        self._outage.close()
        self._outlive_the_workers()
        self._safely(self._stop)

    def _look_around(self) -> None:
        """Remember the Celery processes beside us: they may outlive who started them and us."""
        try:
            found = psutil.Process(self._supervisor).children()
            if os.getppid() == self._supervisor:
                self._celery = [process for process in found if process.pid != os.getpid()]
        except psutil.Error:
            return  # the supervisor has just died: what was known stays

    def _look_for_orphans(self) -> None:
        """Find the Celery processes that were started since the last look, by their names."""
        for process in psutil.process_iter():
            if process not in self._celery and any(
                _serves(process, worker) for worker in self._workers
            ):
                self._celery.append(process)

    def _outlive_the_workers(self) -> None:
        """Keep on while the workers finish their jobs, and kill what does not end in time.

        Nothing is given back before they are gone: whoever got it next would run it beside them.
        """
        self._look_around()
        if os.getppid() != self._supervisor:
            self._look_for_orphans()
        grace = jobs_settings().SHUTDOWN_GRACE.total_seconds() + _MARGIN_SECONDS
        deadline = time.monotonic() + grace
        while (
            living := [process for process in self._celery if _lives(process)]
        ) or self._outage.drains:
            self._outage.look_after()
            if time.monotonic() > deadline:
                self._outage.kill_drains()
                for process in living:
                    log.warning("worker_killed", pid=process.pid, reason="it did not end in time")
                    with suppress(psutil.Error):
                        process.kill()
            self._safely(self._heartbeat)
            self._safely(self._take_back)
            time.sleep(0.1)

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
        interval = jobs_settings().HEARTBEAT.total_seconds()
        try:
            Worker.objects.filter(id__in=self._workers).update(heartbeat_at=Now(), stopped_at=None)
        except (DatabaseError, InterfaceError):
            # The others may be as cut off as we are: they get time to tell that they live.
            self._judges_at = time.monotonic() + interval
            raise
        self._beat_at = time.monotonic() + interval

    def _take_back(self) -> None:
        lifeline.take_back_from_gone_processes(self._workers, self._is_ours)
        if time.monotonic() >= self._judges_at:
            sessions.end_those_of_silent_workers()
            lifeline.take_back_forsaken()

    def _end_by_force(self) -> None:
        enforcer.end_by_force(self._workers, self._is_ours)

    def _look_after_strays(self) -> None:
        if time.monotonic() >= self._strays_at:
            self._strays_at = time.monotonic() + _STRAYS_SECONDS
            strays.look_after()
            if self._stager.broker_is_up:
                for worker in self._watchman.deaf_workers():
                    self._end_celery_of(worker)

    def _end_celery_of(self, worker: UUID) -> None:
        """Kill the Celery worker, whose supervisor starts another."""
        for process in self._celery:
            if _serves(process, worker):
                with suppress(psutil.Error):
                    process.kill()

    def _is_ours(self, pid: int) -> bool:
        """Say whether the process lives and belongs to us: a number may have been given anew."""
        try:
            process: psutil.Process | None = psutil.Process(pid)
            for _ in range(_DEPTH):
                if process is None or not _lives(process):
                    return False
                # Equal only when the time of their start is equal, too.
                if process in self._celery or process.ppid() == self._supervisor:
                    return True
                process = process.parent()
        except psutil.Error:
            return False
        return False

    def _stop(self) -> None:
        given_back = lifeline.give_back(self._workers)
        Worker.objects.filter(id__in=self._workers).update(stopped_at=Now())
        log.info("keeper_stopped", jobs_given_back=given_back)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _serves(process: psutil.Process, worker: UUID) -> bool:
    """Say whether it is a Celery process of this worker, by the title that Celery gives it.

    Not by any word: who looks for a worker in its log names it, too, and must not be killed.
    """
    try:
        title = "".join(process.cmdline()[:1])
    except psutil.Error:
        return False
    return title.startswith("[celeryd: ") and f"-{worker.hex[:8]}@" in title
