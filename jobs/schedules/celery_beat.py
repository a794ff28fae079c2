"""The scheduler as ``celery beat`` runs it: ``celery -A erp.celery beat``, or ``manage.py beat``.

Looks once a second (``JOBS_BEAT_SECONDS``) or when the next instant is due, whichever is sooner;
every few seconds it tells that it lives, and the beat that started last brings the table in step
with what is declared: during a deploy, older ones only fire.
Without PostgreSQL it waits: what is due meanwhile is seen to afterwards, by its rule.

Emits the log events ``beat_started``, ``beat_stopped``, ``beat_without_database`` and
``beat_look_failed``.
"""

import os
import socket
import time
from typing import Any
from uuid import uuid4

import structlog
from celery.beat import Scheduler
from django.db import DatabaseError, InterfaceError, connection
from django.db.models import Subquery
from django.db.models.functions import Now

from jobs.conf import jobs_settings
from jobs.models import Beat, Schedule
from jobs.schedules import scheduler
from jobs.schedules.sync import sync_schedules
from jobs.sql import fetch

log = structlog.get_logger(__name__)

#: The shortest rest between two looks, in seconds.
_REST = 0.02
_FORGET = "DELETE FROM jobs_beat WHERE ticked_at < now() - interval '1 day' RETURNING id"

# The zones' rules may be other ones since the last start, and so may ours.
_PLAN_ANEW = """
    UPDATE jobs_schedule SET wake_at = clock_timestamp()
    WHERE next_at > clock_timestamp() RETURNING periodic_task_id
"""


class DurableScheduler(Scheduler):
    """Celery's scheduler, with all its memory in PostgreSQL."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.id = uuid4()
        self._look_after_at = 0.0
        self._registered = False
        self._is_looking = False
        self._is_closed = False
        super().__init__(*args, **kwargs)

    def setup_schedule(self) -> None:
        """Leave everything to the first look: PostgreSQL may be starting still."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """See to what is due; returns the seconds until the next look."""
        self._is_looking = True
        try:
            return self._look()
        finally:
            self._is_looking = False

    def _look(self) -> float:
        most: float = jobs_settings().BEAT_INTERVAL.total_seconds()
        try:
            if not self._registered:
                self._register()
            looks_after = time.monotonic() >= self._look_after_at
            if looks_after and self._is_newest():
                sync_schedules()
            wait = scheduler.tick().wait
            if looks_after:
                Beat.objects.filter(id=self.id).update(ticked_at=Now(), stopped_at=None)
                heartbeat = jobs_settings().HEARTBEAT.total_seconds()
                self._look_after_at = time.monotonic() + heartbeat
        except (DatabaseError, InterfaceError) as error:
            log.warning("beat_without_database", error=str(error).strip())
            connection.close()
            return most
        except Exception:
            log.exception("beat_look_failed")  # the next look tries again
            connection.close()
            return most
        return most if wait is None else max(_REST, min(most, wait.total_seconds()))

    def _register(self) -> None:
        Beat.objects.create(id=self.id, host=socket.gethostname(), pid=os.getpid())
        fetch(_FORGET)
        fetch(_PLAN_ANEW)
        self._registered = True
        log.info("beat_started", schedules=Schedule.objects.exclude(wake_at=None).count())

    def _is_newest(self) -> bool:
        """Say whether no living beat started later: during a deploy, its declarations count."""
        lives = Now() - jobs_settings().LEASE
        mine = Beat.objects.filter(id=self.id).values("started_at")[:1]
        later = Beat.objects.filter(stopped_at=None, ticked_at__gt=lives)
        return not later.filter(started_at__gt=Subquery(mine)).exists()

    def close(self) -> None:
        """Tell that it stops.

        Celery calls this from the handler of SIGTERM first, wherever that interrupts us. In the
        middle of a look, its connection is locked, and waiting for it would be for ever; Celery
        calls again when the look is over.
        """
        if self._is_looking or self._is_closed:
            return
        self._is_closed = True
        if not connection.in_atomic_block:
            connection.close()  # a look that was interrupted has left a statement unanswered on it
        try:
            # Though it does not know of its row: it may have been interrupted right then.
            Beat.objects.filter(id=self.id).update(stopped_at=Now())
        except (DatabaseError, InterfaceError) as error:
            log.warning("beat_without_database", error=str(error).strip())
        log.info("beat_stopped")

    @property
    def info(self) -> str:
        """What Celery prints at the start."""
        return "    . schedules -> PostgreSQL (any number of beats may run)"
