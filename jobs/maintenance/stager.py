"""The stager publishes what is due, and what waits for a message that is lost.

Every keeper runs one; they share the work by ``SKIP LOCKED``. Options: ``STAGER_INTERVAL``,
``STAGER_BATCH``, ``REPUBLISH_AFTER``, ``REPUBLISH_ALWAYS_AFTER`` (see :mod:`jobs.conf`).
Emits the log event ``staged``.
"""

import redis
import structlog
from django.conf import settings
from django.db import transaction

from jobs import transitions
from jobs.conf import jobs_settings
from jobs.publish import publish
from jobs.queues import QUEUES

log = structlog.get_logger(__name__)


class Stager:
    """Publishes due jobs, batch by batch."""

    def __init__(self) -> None:
        self._redis = redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2
        )
        self._redis_is_up = True

    def run_once(self) -> int:
        """Publish everything that is due now; returns how many jobs.

        While Redis does not answer it moves nothing: the jobs stay as they are.
        """
        try:
            silent = self._silent_queues()
        except redis.RedisError as error:
            if self._redis_is_up:
                log.warning("redis_down", error=str(error))
            self._redis_is_up = False
            return 0
        if not self._redis_is_up:
            log.info("redis_up")
            self._redis_is_up = True
        return self._publish_due(silent)

    def _silent_queues(self) -> list[str]:
        with self._redis.pipeline(transaction=False) as pipeline:
            for name in QUEUES:
                pipeline.llen(name)
            return [
                name for name, length in zip(QUEUES, pipeline.execute(), strict=True) if length == 0
            ]

    @staticmethod
    def _publish_due(silent: list[str]) -> int:
        batch = jobs_settings().STAGER_BATCH
        total = 0
        while True:
            with transaction.atomic():
                messages = transitions.stage(batch, lost=silent)
            if messages and not publish(messages, insist=True):
                break
            total += len(messages)
            if len(messages) < batch:
                break
        if total:
            log.info("staged", jobs=total)
        return total
