"""Events: what Flower, ``celery events`` and their like are told of the jobs a worker carries.

Celery would tell of messages. Here a message is a bell that leads to many jobs and need not lead to
the one it names, so tasks say ``send_events = False`` and a process tells of what it carries
itself: each attempt once, as ``task-received``, ``task-started`` and how it ended, in the form and
on the channel of Celery's own dispatcher (a test compares the bytes), by one publish for each
chunk. A lone job is told of before it runs, too, and so is one that makes its chunk late.

An event has no arguments and no result, and of an error its type: the rest is on the job's page.

Only who listens is told. Flower asks workers to send events, but that is known to a worker's main
process and not to those that run jobs; and Redis does not tell who listens to a pattern. But the
answer to each publish is how many heard it. When nobody did, there is silence for ``ASK_AGAIN``
seconds, and after an error for ``PAUSE`` seconds; then the beginning of a job is the question. So
``-E`` and ``celery control disable_events`` change nothing for jobs. Nobody waits for Redis longer
than by the timeouts of :mod:`jobs.bell`, and not at all while the breaker is open. Processes that
are no Celery worker, as drains and callers, tell nothing. Emits the log event ``events_failed``
(debug).
"""

import base64
import json
import os
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from threading import Lock
from typing import Any
from uuid import UUID

import structlog
from celery import current_app
from celery.utils.time import utcoffset

from jobs import bell
from jobs.breaker import PAUSE, breaker
from jobs.chunk import Done
from jobs.records import Claimed, Settlement
from jobs.states import State

log = structlog.get_logger(__name__)

#: Seconds for which nobody is told anything after nobody has listened.
ASK_AGAIN = 1.0

Event = dict[str, Any]


class _Listeners:
    """Whether somebody listens, as far as this process knows."""

    def __init__(self) -> None:
        self.there = False
        self._ask_at = 0.0

    def may_be_there(self) -> bool:
        """Say whether to tell: they heard the last time, or it is time to ask."""
        if breaker.is_open:
            return False
        now = time.monotonic()
        if not self.there and now < self._ask_at:
            return False
        self._ask_at = now + ASK_AGAIN  # others need not ask meanwhile
        return True

    def answered(self, heard: bool, *, ask_in: float = ASK_AGAIN) -> None:
        self.there = heard
        self._ask_at = time.monotonic() + ask_in


listeners = _Listeners()

#: The Celery worker that this process belongs to: its name and the process that bears it.
_node: tuple[str, int] | None = None


def remember_node(sender: str, **_: Any) -> None:
    """Keep the name of the Celery worker that starts here, for it and those it forks."""
    global _node
    _node = (sender, os.getpid())


class News:
    """What is to be told of one chunk. When nobody listens, its methods do nothing."""

    def __init__(self, jobs: Sequence[Claimed]) -> None:
        self._wanted = _node is not None and listeners.may_be_there()
        if not self._wanted:
            return
        self._at_once = len(jobs) == 1 or not listeners.there
        self._lock = Lock()
        self._received = time.time()
        self._begun: dict[UUID, tuple[Claimed, float]] = {}
        self._ended: dict[UUID, float] = {}
        self._told: set[tuple[UUID, str]] = set()

    def begins(self, jobs: Sequence[Claimed]) -> None:
        """Note that these jobs are run now."""
        if not self._wanted:
            return
        now = time.time()
        with self._lock:
            self._begun.update({job.id: (job, now) for job in jobs})
        if self._at_once:
            self._at_once = False
            self.tell([])

    def ended(self, jobs: Sequence[Claimed]) -> None:
        """Note that the bodies of these are over; how they ended is told when it is written."""
        if self._wanted:
            now = time.time()
            with self._lock:
                self._ended.update({job.id: now for job in jobs})

    def tell(self, done: Iterable[Done]) -> None:
        """Tell what was not told yet: the jobs that began, and how these ended. Never raises."""
        if not self._wanted:
            return
        try:
            with self._lock:
                events = self._untold({job.id: settlement for job, settlement in [*done]})
                self._wanted = not events or _publish(events)
        except Exception as error:  # noqa: BLE001 - a job does not pay for what is told of it
            log.debug("events_failed", error=type(error).__name__)
            self._wanted = False
            listeners.answered(False, ask_in=PAUSE)

    def _untold(self, done: dict[UUID, Settlement]) -> list[Event]:
        event, events = _maker(), []
        for id_, (job, began) in self._begun.items():
            named = str(id_)
            if (id_, "begin") not in self._told:
                self._told.add((id_, "begin"))
                events.append(event("task-received", self._received, named, _request(job)))
                events.append(event("task-started", began, named, {}))
            if id_ in done and (id_, "end") not in self._told:
                self._told.add((id_, "end"))
                ended = self._ended.get(id_) or time.time()
                kind, fields = _outcome(done[id_], max(0.0, ended - began))
                events.append(event(kind, ended, named, fields))
        return events


def _request(job: Claimed) -> Event:
    return {
        "name": job.task,
        "args": "",
        "kwargs": "",
        "root_id": str(job.root_id or job.id),
        "parent_id": None,
        "retries": job.failures + job.crashes,
        "eta": None,
        "expires": None,
    }


def _outcome(settlement: Settlement, runtime: float) -> tuple[str, Event]:
    match settlement.state:
        case State.SUCCEEDED:
            return "task-succeeded", {"result": "", "runtime": runtime}
        case State.CANCELLED:
            return "task-revoked", {"terminated": False, "signum": None, "expired": False}
        case State.DEAD:
            return "task-failed", {"exception": settlement.error_type, "traceback": ""}
        case _:
            return "task-retried", {"exception": settlement.error_type, "traceback": ""}


def _maker() -> Callable[[str, float, str, Event], Event]:
    assert _node is not None
    app: Any = current_app
    (name, pid), offset, forward = _node, utcoffset(), app.clock.forward

    def event(kind: str, at: float, job_id: str, fields: Event) -> Event:
        return {
            "hostname": name,
            "utcoffset": offset,
            "pid": pid,
            "clock": forward(),
            "uuid": job_id,
            **fields,
            "timestamp": at,
            "type": kind,
        }

    return event


def _publish(events: list[Event]) -> bool:
    """Publish them to whoever listens; returns whether somebody did."""
    client = bell.client(str(current_app.conf.broker_url))
    database = client.connection_pool.connection_kwargs.get("db") or 0
    exchange = str(current_app.conf.event_exchange)
    heard = client.publish(f"/{database}.{exchange}/task.multi", encoded(events, exchange))
    listeners.answered(bool(heard))
    return listeners.there


def encoded(events: list[Event], exchange: str) -> str:
    """Return events as kombu and Celery read them from Redis."""
    assert _node is not None
    return json.dumps(
        {
            "body": base64.b64encode(json.dumps(events).encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"hostname": _node[0]},
            "properties": {
                "delivery_mode": 1,
                "delivery_info": {"exchange": exchange, "routing_key": "task.multi"},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": str(uuid.uuid4()),
            },
        }
    )
