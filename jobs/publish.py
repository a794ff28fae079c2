"""Publishing: ring a queue's bell for jobs whose rows are committed.

A message carries the id of the job that rings and its dispatch number, nothing else; the worker
that takes it claims the job whose turn it is. A failed publish costs latency only: the jobs become
``available`` again, and the stager rings later. The caller waits for Redis no longer than the
timeouts here, once, and then not at all while the breaker is open.
"""

from collections.abc import Sequence
from functools import cache
from uuid import UUID

import structlog
from celery import current_app
from django.db import DatabaseError, connection, transaction
from kombu import Connection
from kombu.exceptions import BatchPublishError, OperationalError  # type: ignore[attr-defined]
from kombu.pools import producers
from redis import RedisError

from jobs import transitions
from jobs.breaker import breaker
from jobs.errors import UnknownTask
from jobs.sql import fetch
from jobs.task import get_task, registry

log = structlog.get_logger(__name__)

#: (job id, task, queue, dispatch number)
Message = tuple[UUID, str, str, int]

#: Seconds for Redis to accept a connection, and to answer: of a publish, not of a worker's wait.
CONNECT_TIMEOUT, ANSWER_TIMEOUT = 0.2, 0.4


class _AfterCommit:
    """Publishes what one transaction enqueued, in one trip to Redis."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def __call__(self) -> None:
        if not publish(self.messages):
            from jobs.degraded import run_here

            run_here(self.messages)


def publish_after_commit(message: Message) -> None:
    """Publish when the caller's transaction is committed; never, when it is rolled back."""
    if not connection.in_atomic_block:
        after = _AfterCommit()
        after.messages.append(message)
        after()
        return
    # Callbacks of the same savepoints live and die together, so they may share their trip.
    if connection.run_on_commit:
        savepoints, last, *_ = connection.run_on_commit[-1]
        if isinstance(last, _AfterCommit) and savepoints == set(connection.savepoint_ids):
            last.messages.append(message)
            return
    after = _AfterCommit()
    after.messages.append(message)
    transaction.on_commit(after, robust=True)


def publish(messages: Sequence[Message], *, insist: bool = False) -> bool:
    """Put these jobs on their Redis queues. Never raises; returns whether Redis took them all.

    With ``insist`` the breaker is not asked: the caller has just heard from Redis.
    """
    sent = _sent(messages, insist=insist)
    if not sent:
        _unpublish(messages)
    return sent


def ring(queue: str, most: int = 1, *, insist: bool = False) -> int:
    """Ring a queue's bell up to ``most`` times for jobs in its line that may wait for no message.

    Nothing moves: they are ``queued`` already. Returns how often it rang.
    """
    rows = fetch(_IN_LINE, [queue, sorted(registry()), most])
    messages = [(row[0], row[1], queue, row[2]) for row in rows]
    return len(messages) if messages and _sent(messages, insist=insist) else 0


_IN_LINE = f"""
    SELECT j.id, j.task, j.dispatch FROM jobs_job AS j
    WHERE j.queue = %s AND j.task = ANY(%s::text[]) AND {transitions.IN_LINE}
      AND {transitions.NOT_PAUSED}
    ORDER BY j.priority, j.seat, j.scheduled_at LIMIT %s::int
"""


def _sent(messages: Sequence[Message], *, insist: bool) -> bool:
    if breaker.is_open and not insist:
        return False
    try:
        link = _connection(str(current_app.conf.broker_url))
        with producers[link].acquire(block=True, timeout=ANSWER_TIMEOUT) as producer:
            if len(messages) == 1:
                _send(messages[0], producer)
            else:
                with producer.batch():
                    for message in messages:
                        _send(message, producer)
    except Exception as error:
        expected = isinstance(
            error, OperationalError | BatchPublishError | OSError | RedisError | TimeoutError
        )
        log.warning(
            "publish_failed", jobs=len(messages), error=type(error).__name__, exc_info=not expected
        )
        breaker.trip()
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
