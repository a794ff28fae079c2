"""Publishing: ring the doorbell for jobs whose rows are committed.

A message carries the job's id and its dispatch number, nothing else. A failed publish costs
latency only: the jobs become ``available`` again, and the stager rings later. The caller waits for
Redis no longer than the timeouts here, once, and then not at all while the breaker is open.
"""

from collections.abc import Sequence
from functools import cache
from uuid import UUID

import structlog
from celery import current_app
from django.db import DatabaseError
from kombu import Connection
from kombu.exceptions import OperationalError
from kombu.pools import producers
from redis import RedisError

from jobs import transitions
from jobs.breaker import breaker
from jobs.errors import UnknownTask
from jobs.task import get_task

log = structlog.get_logger(__name__)

#: (job id, task, queue, dispatch number)
Message = tuple[UUID, str, str, int]


#: Seconds for Redis to accept a connection, and to answer: of a publish, not of a worker's wait.
CONNECT_TIMEOUT, ANSWER_TIMEOUT = 0.2, 0.4


def publish(messages: Sequence[Message], *, insist: bool = False) -> bool:
    """Put these jobs on their Redis queues. Never raises; returns whether Redis took them all.

    With ``insist`` the breaker is not asked: the caller has just heard from Redis.
    """
    if breaker.is_open and not insist:
        _unpublish(messages)
        return False
    try:
        connection = _connection(str(current_app.conf.broker_url))
        with producers[connection].acquire(block=True, timeout=ANSWER_TIMEOUT) as producer:
            if len(messages) == 1:
                _send(messages[0], producer)
            else:
                with producer.batch():
                    for message in messages:
                        _send(message, producer)
    except Exception as error:
        expected = isinstance(error, OperationalError | OSError | RedisError | TimeoutError)
        log.warning(
            "publish_failed", jobs=len(messages), error=type(error).__name__, exc_info=not expected
        )
        breaker.trip()
        _unpublish(messages)
        return False
    breaker.reset()
    return True


@cache
def _connection(url: str) -> Connection:
    """Return what publishers of this process connect with; its timeouts are short."""
    options = {
        **current_app.conf.broker_transport_options,
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "socket_timeout": ANSWER_TIMEOUT,
        "max_retries": 0,
    }
    return Connection(url, transport_options=options, connect_timeout=CONNECT_TIMEOUT)


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
