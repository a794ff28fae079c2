"""The bell: puts Celery messages on Redis lists, by itself.

A message is what Celery's own ``apply_async`` would send for the task (its message protocol,
version 2, in kombu's format for Redis; a test compares the two), without the half millisecond that
takes. It names the job that rings and its dispatch number, and nothing else of it.

Who enqueues much need not ring for each job: a list that is long already leads every worker to the
queue, and each goes on claiming while jobs are due. So a queue with ``LOUD`` messages is left alone
for ``HUSH`` seconds at a time, far less than they take to be answered.
"""

import base64
import json
import os
import socket
import time
import uuid
from collections import deque
from collections.abc import Sequence
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import redis
from celery import current_app
from redis.backoff import NoBackoff
from redis.retry import Retry

#: (job id, task, queue, dispatch number)
Message = tuple[UUID, str, str, int]

#: Seconds for Redis to accept a connection, and to answer: of a publish, not of a worker's wait.
CONNECT_TIMEOUT, ANSWER_TIMEOUT = 0.2, 0.4
#: Messages that are enough to wake everybody, and seconds for which nobody adds to them.
LOUD, HUSH = 200, 0.01

_NOTHING_FOLLOWS = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
_BODY = base64.b64encode(json.dumps([[], {}, _NOTHING_FOLLOWS]).encode()).decode()

_hushed_until: dict[str, float] = {}


def ring(messages: Sequence[Message], *, all_of_them: bool = False) -> None:
    """Send the messages in one trip to Redis, except to queues that are loud enough.

    Raises:
        redis.RedisError, OSError: Redis did not take them all, or nobody knows.
    """
    now = time.monotonic()
    hushed = list(_hushed_until.items())  # another thread may add to it
    loud = {queue for queue, until in hushed if until > now and not all_of_them}
    wanted = [message for message in messages if message[2] not in loud]
    if not wanted:
        return
    lines = _lines(str(current_app.conf.broker_url))
    lengths = lines.push([(message[2], encoded(message)) for message in wanted])
    for message, length in zip(wanted, lengths, strict=True):
        if length >= LOUD:
            _hushed_until[message[2]] = now + HUSH


class _Lines:
    """Idle connections to the broker, which whoever rings borrows.

    Its client would do as much, by its pool, its pipelines and what they ask of each connection
    each time: for 0.13 ms of the caller's processor time, a third of an enqueue.
    """

    def __init__(self, url: str) -> None:
        self._pool = client(url).connection_pool
        self._idle: deque[redis.Connection] = deque()  # taken and given by any thread

    def push(self, items: Sequence[tuple[str, str]]) -> list[int]:
        """Put texts on lists, in one trip; returns how long each list was then.

        One that was cut while idle is made anew, once: a text may then be there twice.
        """
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._push(self._new(), items)
        try:
            return self._push(connection, items)
        except redis.ConnectionError:
            self.forget()  # cut like this one, most likely
            return self._push(self._new(), items)

    def _push(self, connection: redis.Connection, items: Sequence[tuple[str, str]]) -> list[int]:
        commands = [("LPUSH", *item) for item in items]
        try:
            packed = connection.pack_commands(commands)  # type: ignore[no-untyped-call]
            connection.send_packed_command(packed)  # type: ignore[no-untyped-call]
            lengths = [int(connection.read_response()) for _ in commands]
        except BaseException:
            connection.disconnect()  # type: ignore[no-untyped-call]  # its answer may still come
            raise
        self._idle.append(connection)
        return lengths

    def forget(self) -> None:
        """Use none of the connections again."""
        self._idle.clear()

    def _new(self) -> redis.Connection:
        made: redis.Connection = self._pool.connection_class(**self._pool.connection_kwargs)
        return made


@cache
def _lines(url: str) -> _Lines:
    lines = _Lines(url)
    # A fork has its own: two processes at one would read each other's answers.
    os.register_at_fork(after_in_child=lines.forget)
    return lines


def encoded(message: Message) -> str:
    """Return a message as kombu and Celery read it from Redis."""
    job_id, task, queue, dispatch = message
    id_ = str(job_id)
    return json.dumps(
        {
            "body": _BODY,
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {
                "lang": "py",
                "task": task,
                "id": id_,
                "shadow": None,
                "eta": None,
                "expires": None,
                "group": None,
                "group_index": None,
                "retries": 0,
                "timelimit": [None, None],
                "root_id": id_,
                "parent_id": None,
                "argsrepr": "",
                "kwargsrepr": "",
                "origin": _origin(os.getpid()),
                "ignore_result": True,
                "replaced_task_nesting": 0,
                "stamped_headers": None,
                "stamps": {},
                "dispatch": str(dispatch),
            },
            "properties": {
                "correlation_id": id_,
                "reply_to": "",
                "argsrepr": "",
                "kwargsrepr": "",
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": queue},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": str(uuid.uuid4()),
            },
        }
    )


@cache
def _origin(pid: int) -> str:
    return f"gen{pid}@{socket.gethostname()}"


@cache
def client(url: str) -> "redis.Redis":
    """Return this process's connections to the broker, with short timeouts."""
    parts = urlsplit(url)
    options: dict[str, Any] = {
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "socket_timeout": ANSWER_TIMEOUT,
        # A connection that was cut while idle is made anew, once; nobody waits any longer.
        "retry": Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
    }
    if parts.scheme == "redis+socket":
        database = parse_qs(parts.query).get("virtual_host", ["0"])[0]
        return redis.Redis(unix_socket_path=parts.netloc + parts.path, db=int(database), **options)
    return redis.Redis.from_url(url, **options)
