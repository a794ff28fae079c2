"""Listening: a process of a pool that has nothing left to do waits for the next bell by itself.

By way of Celery a bell wakes the worker's main process, which hands it to a process of its pool,
and that takes a millisecond. So a process whose turn is over stays, as far as Celery knows, with
the message that began it, and takes messages off its worker's queues with the same ``BRPOP`` as the
main process does. That one asks Redis for nothing while all of its processes are busy, so no
message waits between them.

A process goes back to Celery after ``QUIET`` seconds without a bell, and after ``LONGEST`` at all
events: then Celery's own ways count again, such as ``cancel_consumer`` and limits of a process's
memory. It listens to the queues that the main process consumed when it handed on the message, and
only while that consumes at all. What is not a bell, it puts back for Celery.
"""

import json
import mmap
import os
import time
from collections.abc import Sequence
from functools import cache
from typing import Any

import redis
import structlog
from celery import Celery, bootsteps, current_app
from celery.app.trace import trace_task

from jobs import bell
from jobs.errors import UnknownTask

log = structlog.get_logger(__name__)

#: Seconds without a bell, and seconds altogether, after which a process goes back to Celery.
QUIET, LONGEST = 1.0, 10.0
#: Seconds of one wait: so long may a process go on after its worker was told to stop.
_WAIT = 0.2
#: Seconds beyond that for Redis to answer. One that is frozen for a moment may still hand out what
#: nobody waits for any more.
_PATIENCE = 5.0
#: Seconds between two looks of a main process for processes of its pool that died.
_LOOK = 1.0
#: The header in which the main process says which queues it consumes.
QUEUES = "listen_on"
#: How kombu names the lists of a queue: one for each step of a message's priority.
_STEP = "\x06\x16"
_STEPS = ("", f"{_STEP}3", f"{_STEP}6", f"{_STEP}9")

#: One byte that a main process shares with the pool it forks: whether it consumes.
_consuming: mmap.mmap | bytearray = bytearray(1)


class Consuming(bootsteps.StartStopStep):
    """Tells the pool whether its worker consumes: not when it is about to stop, or lost Redis."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, parent: Any) -> None:
        """Celery begins to consume."""
        _consuming[0] = 1

    def stop(self, parent: Any) -> None:
        """Celery consumes no more."""
        _consuming[0] = 0

    shutdown = terminate = stop


def teach(app: Celery) -> None:
    """Have the pool of this process, which becomes a Celery worker, listen."""
    from celery.concurrency.asynpool import AsynPool

    global _consuming
    _consuming = mmap.mmap(-1, 1)  # not a copy of the supervisor's: another worker may have that
    app.steps["consumer"].add(Consuming)
    # Who died while it listened counts as busy until the pool looks: not for five seconds.
    AsynPool.timers = property(lambda pool: {pool.maintain_pool: _LOOK})  # type: ignore[assignment,method-assign]


def may_listen(message: Any, consumer: Any) -> None:
    """Write into a message, for the process it is handed to, which queues are consumed now."""
    message.headers[QUEUES] = [queue.name for queue in consumer.task_consumer.queues]


def listen(queues: Sequence[str], *, served: str | None, hostname: str = "") -> None:
    """Answer the bells of these queues, as Celery would, until it is quiet.

    The queue that was ``served`` last is the last to be looked at. Never raises for Redis: Celery's
    main process sees to it that there is a connection again.
    """
    began = heard = time.monotonic()
    ear = _ear(str(current_app.conf.broker_url))
    while _consuming[0] and (now := time.monotonic()) - began < LONGEST and now - heard < QUIET:
        try:
            found = ear.wait(_in_turn(queues, served))
        except (redis.RedisError, OSError) as error:
            log.debug("listening_ended", error=type(error).__name__)
            return
        if found is None:
            continue
        key, text = found
        if not _answered(text, hostname):
            ear.put_back(key, text)
            return
        served = key.decode().partition(_STEP)[0]
        heard = time.monotonic()


def _in_turn(queues: Sequence[str], served: str | None) -> list[str]:
    """Return the lists of the queues, those of the one that was served at the end."""
    behind = queues.index(served) + 1 if served and served in queues else 0
    return [queue + step for queue in (*queues[behind:], *queues[:behind]) for step in _STEPS]


def _answered(text: bytes, hostname: str) -> bool:
    """Do what a pool's process does with a message from Celery; False: it is none for us."""
    from jobs.task import get_task

    if not _consuming[0]:
        return False
    try:
        message = json.loads(text)
        headers, delivery = message["headers"], message["properties"]["delivery_info"]
        id_, task = headers["id"], get_task(headers["task"])
    except (ValueError, KeyError, TypeError, UnknownTask):
        return False
    except RecursionError:  # Celery would end of it
        log.warning("message_refused", task="", error="RecursionError")
        return True
    request = {**headers, "delivery_info": delivery, "hostname": hostname, QUEUES: None}
    trace_task(task, id_, (), {}, request, app=current_app)
    return True


class _Ear:
    """This process's own connection to the broker for waiting."""

    def __init__(self, url: str) -> None:
        pool = bell.client(url).connection_pool
        self._connection: redis.Connection = pool.connection_class(**pool.connection_kwargs)

    def wait(self, keys: Sequence[str]) -> tuple[bytes, bytes] | None:
        """Return a list's name and its next text, or None after a while."""
        return self._ask("BRPOP", *keys, _WAIT)  # type: ignore[no-any-return]

    def put_back(self, key: bytes, text: bytes) -> None:
        """Have the text be the next one again."""
        for is_last in (False, True):
            try:
                self._ask("RPUSH", key, text)
                return
            except (redis.RedisError, OSError) as error:
                if is_last:
                    log.warning("message_lost", queue=key.decode(), error=type(error).__name__)

    def _ask(self, *command: Any) -> Any:
        connection: Any = self._connection
        try:
            connection.send_command(*command)
            return connection.read_response(timeout=_WAIT + _PATIENCE)
        except BaseException:
            connection.disconnect()  # its answer may still come
            raise


@cache
def _ear(url: str) -> _Ear:
    ear = _Ear(url)
    os.register_at_fork(after_in_child=_ear.cache_clear)
    return ear
