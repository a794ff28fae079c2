"""The stager puts due jobs in line and rings the bell of queues whose messages are lost.

Every keeper runs one; they share the work by ``SKIP LOCKED``. While Redis does not answer, jobs
whose time comes are put in line without a message, for the drain. Options: ``STAGER_INTERVAL``,
``STAGER_BATCH``, ``REPUBLISH_AFTER`` (see :mod:`jobs.conf`). Emits the log events ``staged`` and
``rang_again``.
"""

import time
from typing import Protocol

import redis
import structlog
from django.conf import settings
from django.db import transaction

from jobs import gates, transitions, workflows
from jobs.conf import jobs_settings
from jobs.publish import publish, ring
from jobs.queues import QUEUES
from jobs.sql import fetch
from jobs.task import registry

log = structlog.get_logger(__name__)

#: Written at every look.
_PROBE = "jobs:stager"
#: Rows that expire in one statement.
_EXPIRED_AT_ONCE = 500
#: Messages for one queue whose own are lost: each takes a process for a turn, and is passed on.
_BELLS = 64

# A queue is forlorn when the job whose turn it is, in any class, was published long ago.
_FORLORN = f"""
    SELECT q.name FROM unnest(%s::text[]) AS q(name)
    WHERE EXISTS (
        SELECT 1 FROM generate_series(0, 3) AS p(priority)
        CROSS JOIN LATERAL (
            SELECT j.published_at FROM jobs_job AS j
            WHERE j.queue = q.name AND j.priority = p.priority AND {transitions.IN_LINE}
              AND j.task = ANY(%s::text[]) AND {transitions.NOT_PAUSED}
            ORDER BY j.seat, j.scheduled_at LIMIT 1) AS head
        WHERE head.published_at < clock_timestamp() - make_interval(secs => %s::float8))
"""


class Watcher(Protocol):
    """Who wants to know of the broker; called when that changes."""

    def broker_went(self, silent_for: float) -> None:
        """Redis does not answer any more, for so many seconds."""

    def broker_came_back(self, rang: int) -> None:
        """Redis answers again; so many messages were sent at once."""


class Stager:
    """Puts due jobs in line, batch by batch."""

    def __init__(self, watcher: Watcher | None = None) -> None:
        self._redis = redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2
        )
        self._watcher = watcher
        self._rang_at: dict[str, float] = {}
        self._answered_at = time.monotonic()
        self.broker_is_up = True

    def run_once(self) -> int:
        """Put in line everything that is due now; returns how many jobs."""
        self._expire()
        gates.let_through()
        was_up = self.broker_is_up
        silent = self._ask_redis()
        staged = self._stage()
        rang = self._ring_again(silent) if silent else 0
        if self.broker_is_up and not was_up:
            log.info("redis_up", published=staged, rang=rang)
            if self._watcher:
                self._watcher.broker_came_back(staged + rang)
        return staged

    def _ask_redis(self) -> list[str] | None:
        """Return the queues without a message; None while Redis does not answer."""
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                # Answering is not enough: when it is full it refuses to write.
                pipeline.set(_PROBE, "1", ex=60)
                for name in QUEUES:
                    pipeline.llen(name)
                _, *lengths = pipeline.execute()
        except redis.RedisError as error:
            self._broker_went(str(error))
            return None
        self.broker_is_up = True
        self._answered_at = time.monotonic()
        return [name for name, length in zip(QUEUES, lengths, strict=True) if length == 0]

    def _broker_went(self, error: str) -> None:
        if self.broker_is_up:
            self.broker_is_up = False
            log.warning("redis_down", error=error)
            if self._watcher:
                self._watcher.broker_went(time.monotonic() - self._answered_at)

    def _stage(self) -> int:
        batch = jobs_settings().STAGER_BATCH
        total = 0
        while True:
            with transaction.atomic():
                messages = transitions.stage(batch, broker_is_up=self.broker_is_up)
            if messages and self.broker_is_up and not publish(messages, insist=True):
                self._broker_went("it did not take the messages")
                break
            total += len(messages)
            if len(messages) < batch:
                break
        if total:
            log.info("staged", jobs=total)
        return total

    def _ring_again(self, silent: list[str]) -> int:
        patience = jobs_settings().REPUBLISH_AFTER.total_seconds()
        now = time.monotonic()
        silent = [name for name in silent if now - self._rang_at.get(name, -patience) >= patience]
        total = 0
        for (name,) in fetch(_FORLORN, [silent, sorted(registry()), patience]):
            self._rang_at[name] = now
            rang = ring(name, _BELLS, insist=True)
            total += rang
            log.info("rang_again", queue=name, messages=rang)
        return total

    @staticmethod
    def _expire() -> None:
        while expired := workflows.expire(_EXPIRED_AT_ONCE):
            log.info("expired", jobs=expired)
            if expired < _EXPIRED_AT_ONCE:
                break
