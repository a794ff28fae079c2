"""Publishing: ring a queue's bell for jobs whose rows are committed.

A message carries the id of the job that rings and its dispatch number, nothing else; the worker
that takes it claims the job whose turn it is. A failed publish costs latency only: the jobs become
``available`` again, and the stager rings later. The caller waits for Redis no longer than the
timeouts of :mod:`jobs.bell`, once, and then not at all while the breaker is open.
"""

from collections.abc import Sequence

import structlog
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from redis import RedisError

from jobs import bell, transitions
from jobs.bell import Message
from jobs.breaker import breaker
from jobs.sql import fetch
from jobs.task import registry

log = structlog.get_logger(__name__)


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
    after = _AfterCommit()
    after.messages.append(message)
    ours = connections[DEFAULT_DB_ALIAS]
    if not ours.in_atomic_block:
        after()
        return
    # Callbacks of the same savepoints live and die together, so they may share their trip.
    if ours.run_on_commit:
        savepoints, last, *_ = ours.run_on_commit[-1]
        if isinstance(last, _AfterCommit) and savepoints == set(ours.savepoint_ids):
            last.messages.append(message)
            return
    ours.on_commit(after, robust=True)


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
        known = [message for message in messages if _is_known(message)]
        bell.ring(known, all_of_them=insist)
    except Exception as error:
        expected = isinstance(error, OSError | RedisError)
        log.warning(
            "publish_failed", jobs=len(messages), error=type(error).__name__, exc_info=not expected
        )
        breaker.trip()
        return False
    breaker.reset()
    return True


def _is_known(message: Message) -> bool:
    if message[1] in registry():
        return True
    # A newer release enqueued it. Its workers know the task, and their stagers too.
    log.warning("publish_skipped", job_id=str(message[0]), task=message[1])
    return False


def _unpublish(messages: Sequence[Message]) -> None:
    try:
        transitions.unpublish([message[0] for message in messages])
    except DatabaseError:
        log.warning("unpublish_failed", jobs=len(messages))  # the stager notices by itself
