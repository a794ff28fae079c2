"""Publishing: ring the doorbell for jobs whose rows are committed.

A message carries the job's id and its dispatch number, nothing else. A failed publish costs
latency only: the jobs become ``available`` again, and the stager rings later.
"""

from collections.abc import Sequence
from uuid import UUID

import structlog
from celery import current_app
from django.db import DatabaseError
from kombu.exceptions import OperationalError
from redis import RedisError

from jobs import transitions
from jobs.errors import UnknownTask
from jobs.task import get_task

log = structlog.get_logger(__name__)

#: (job id, task, queue, dispatch number)
Message = tuple[UUID, str, str, int]


def publish(messages: Sequence[Message]) -> bool:
    """Put these jobs on their Redis queues. Never raises; returns whether Redis took them all."""
    try:
        with current_app.producer_pool.acquire(block=True, timeout=2) as producer:
            if len(messages) == 1:
                _send(messages[0], producer)
            else:
                with producer.batch():  # type: ignore[attr-defined] # newer than the stubs
                    for message in messages:
                        _send(message, producer)
    except Exception as error:
        expected = isinstance(error, OperationalError | OSError | RedisError | TimeoutError)
        log.warning(
            "publish_failed", jobs=len(messages), error=type(error).__name__, exc_info=not expected
        )
        _unpublish(messages)
        return False
    return True


def _send(message: Message, producer: object) -> None:
    job_id, task, queue, dispatch = message
    try:
        get_task(task).publish(str(job_id), queue=queue, dispatch=dispatch, producer=producer)
    except UnknownTask:
        # A newer release enqueued it. Its workers know the task, and their stagers too.
        log.warning("publish_skipped", job_id=str(job_id), task=task)


def _unpublish(messages: Sequence[Message]) -> None:
    try:
        transitions.unpublish([message[0] for message in messages])
    except DatabaseError:
        log.warning("unpublish_failed", jobs=len(messages))  # the stager notices by itself
