"""Events: Flower is told of every job that a worker carries, as Celery would tell it of messages."""

import base64
import json
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from threading import Thread
from typing import Any
from unittest.mock import patch

import pytest
import redis
from celery import current_app
from celery.events.state import State as FlowersState
from structlog.testing import capture_logs

from jobs import events, job_task
from jobs.breaker import breaker
from jobs.definition import Options
from jobs.errors import Cancelled, Discard, PermanentError, RetryLater
from jobs.executor import take_turn
from jobs.pace import pace
from jobs.task import get_task
from jobs.tasks import probe
from tests.conftest import Live, wait_until

QUEUE = "reports"
NODE = "prefork-12345678@here"


@pytest.fixture(autouse=True)
def a_worker_that_has_asked_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_node", (NODE, os.getpid()))
    monkeypatch.setattr(events, "listeners", events._Listeners())
    pace._sizes[QUEUE] = 10


class Listener:
    """Subscribes as an event receiver does, and keeps what comes."""

    def __init__(self, broker: redis.Redis) -> None:
        client: Any = broker
        self._pubsub = client.pubsub(ignore_subscribe_messages=True)
        database = client.connection_pool.connection_kwargs
        self._pubsub.psubscribe(f"/{database.get('db') or 0}.celeryev/*")
        self._pubsub.get_message(timeout=5)

    def batches(self) -> list[tuple[str, str]]:
        """Return what came since: channel and message."""
        found = []
        while message := self._pubsub.get_message(timeout=0.1):
            found.append((message["channel"].decode(), message["data"].decode()))
        return found

    def events(self) -> list[list[dict[str, Any]]]:
        """Return the events that came since, batch by batch."""
        bodies = [json.loads(data)["body"] for _, data in self.batches()]
        return [json.loads(base64.b64decode(body)) for body in bodies]

    def close(self) -> None:
        self._pubsub.close()


@pytest.fixture
def listener(broker: redis.Redis) -> Iterator[Listener]:
    found = Listener(broker)
    yield found
    found.close()


def published(broker: redis.Redis) -> int:
    """Return how often anybody published since the broker's statistics began."""
    statistics: Any = broker.info("commandstats")
    return int(statistics.get("cmdstat_publish", {}).get("calls", 0))


def enqueue(number: int) -> list[str]:
    @job_task(name="tests.counted", queue=QUEUE)
    def counted(*, number: int) -> int:
        return number

    return [str(id_) for id_ in counted.enqueue_many([{"number": n} for n in range(number)])]


def take_all() -> None:
    list(take_turn(QUEUE, worker=None))


def kinds(batch: list[dict[str, Any]], job_id: str) -> list[str]:
    return [event["type"] for event in batch if event["uuid"] == job_id]


@pytest.mark.django_db
def test_events_are_those_that_celerys_dispatcher_would_publish(listener: Listener) -> None:
    """Byte by byte, but for the tag that each message has of its own."""

    @job_task(name="tests.outcome", queue=QUEUE)
    def outcome(*, end: str) -> int:
        match end:
            case "die":
                raise PermanentError("secret")
            case "retry":
                raise ValueError("secret")
            case "discard":
                raise Discard("secret")
        return 42

    events.listeners.answered(True)
    ends = ("succeed", "die", "retry", "discard")
    outcome.enqueue_many([{"end": end} for end in ends])
    app: Any = current_app
    clock = app.clock.value
    take_all()
    ((channel, mine),) = listener.batches()

    told = json.loads(base64.b64decode(json.loads(mine)["body"]))
    assert [event["type"] for event in told] == [
        kind
        for end in ("succeeded", "failed", "retried", "revoked")
        for kind in ("task-received", "task-started", f"task-{end}")
    ]
    app.clock.value = clock
    theirs_too = {"hostname", "utcoffset", "pid", "clock", "type"}
    with app.connection_for_write() as connection:
        dispatcher = app.events.Dispatcher(
            connection, hostname=NODE, groups=["task"], buffer_group=["task"], buffer_limit=1_000
        )
        for event in told:
            fields = {name: value for name, value in event.items() if name not in theirs_too}
            dispatcher.send(event["type"], **fields)
        dispatcher.flush()
    ((their_channel, theirs),) = listener.batches()
    assert channel == their_channel
    tag = re.compile(r'"delivery_tag": "[^"]+"')
    assert tag.sub("", mine) == tag.sub("", theirs)


@pytest.mark.django_db
def test_an_event_has_the_fields_that_celery_gives_it_and_neither_arguments_nor_results(
    listener: Listener,
) -> None:
    @job_task(name="tests.telling", queue=QUEUE)
    def telling(*, word: str) -> str:
        if word == "no":
            raise ValueError("hush-hush")
        return "hush-hush"

    for word in ("hush-hush", "no"):
        telling.enqueue(word=word)
    take_all()
    batches = listener.events()
    received, _, succeeded = [e for b in batches for e in b][:3]
    assert {"name": "tests.telling", "args": "", "kwargs": "", "retries": 0}.items() <= (
        received.items()
    )
    assert set(received) == {
        *("type", "uuid", "name", "args", "kwargs", "root_id", "parent_id", "retries", "eta"),
        *("expires", "hostname", "timestamp", "pid", "clock", "utcoffset"),
    }
    assert (succeeded["result"], succeeded["hostname"]) == ("", NODE)
    assert 0 <= succeeded["runtime"] < 5
    assert "hush-hush" not in json.dumps(batches)
    assert "ValueError" in json.dumps(batches)


@pytest.mark.django_db
def test_a_chunk_is_told_of_by_one_publish_and_flowers_state_understands_it(
    broker: redis.Redis, listener: Listener
) -> None:
    events.listeners.answered(True)
    ids = enqueue(10)
    before = published(broker)
    take_all()
    assert published(broker) == before + 1
    (batch,) = listener.events()
    state: Any = FlowersState()
    for event in batch:
        state.event({**event, "local_received": event["timestamp"]})
    assert [kinds(batch, id_) for id_ in ids] == [
        ["task-received", "task-started", "task-succeeded"]
    ] * 10
    assert {state.tasks[id_].state for id_ in ids} == {"SUCCESS"}
    assert all(state.tasks[id_].received <= state.tasks[id_].started for id_ in ids)


@pytest.mark.django_db
def test_a_lone_job_is_told_of_before_it_runs(listener: Listener) -> None:
    pace._sizes[QUEUE] = 1
    before_it_ended = []

    @job_task(name="tests.lone", queue=QUEUE)
    def lone() -> None:
        before_it_ended.extend(listener.events())

    lone.enqueue()
    take_all()
    ((first, second),) = before_it_ended
    assert (first["type"], second["type"]) == ("task-received", "task-started")
    assert [[event["type"] for event in batch] for batch in listener.events()] == [
        ["task-succeeded"]
    ]


@pytest.mark.processes
def test_a_job_that_makes_its_chunk_late_is_told_of_while_it_runs(
    live: Live, listener: Listener
) -> None:
    seen: list[dict[str, Any]] = []

    def hear() -> bool:
        seen.extend(event for batch in listener.events() for event in batch)
        return len(seen) >= 5

    @job_task(name="tests.late", queue=QUEUE)
    def late(*, long: bool) -> None:
        if long:
            wait_until(hear, within=10)

    events.listeners.answered(True)
    short, long, behind = map(str, late.enqueue_many([{"long": n == 1} for n in range(3)]))
    turn = take_turn(QUEUE, worker=None)
    next(turn)
    assert kinds(seen, short) == ["task-received", "task-started", "task-succeeded"]
    assert kinds(seen, long) == ["task-received", "task-started"]
    assert kinds(seen, behind) == [], "it was given back"
    list(turn)
    take_all()
    seen += [event for batch in listener.events() for event in batch]
    assert kinds(seen, long) == ["task-received", "task-started", "task-succeeded"]
    assert kinds(seen, behind) == ["task-received", "task-started", "task-succeeded"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RetryLater(), "task-retried"),
        (Cancelled(), "task-revoked"),
        (PermanentError("no"), "task-failed"),
    ],
)
def test_how_it_ended_is_told_in_celerys_words(
    listener: Listener, error: Exception, kind: str
) -> None:
    @job_task(name="tests.raising", queue=QUEUE)
    def raising() -> None:
        raise error

    raising.enqueue()
    take_all()
    assert [event["type"] for batch in listener.events() for event in batch] == [
        *("task-received", "task-started", kind)
    ]


@pytest.mark.django_db
def test_jobs_of_a_bulk_body_are_told_of_one_by_one(listener: Listener) -> None:
    @job_task(name="tests.together", queue=QUEUE)
    def together(*, number: int) -> int:
        return number

    @together.bulk
    def _(calls: list[dict[str, Any]]) -> list[int]:
        return [call["number"] for call in calls]

    events.listeners.answered(True)
    ids = together.enqueue_many([{"number": n} for n in range(5)])
    take_all()
    (batch,) = listener.events()
    assert [kinds(batch, str(id_)) for id_ in ids] == [
        ["task-received", "task-started", "task-succeeded"]
    ] * 5


@pytest.mark.django_db
def test_when_nobody_listens_redis_is_asked_once_a_second(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [time.monotonic()]
    monkeypatch.setattr("jobs.events.time.monotonic", lambda: clock[0])
    before = published(broker)
    enqueue(35)
    take_all()
    assert published(broker) == before + 1, "four chunks, one question"
    clock[0] += events.ASK_AGAIN + 0.01
    listener = Listener(broker)
    job_id = str(get_task("tests.counted").enqueue(number=1).id)
    take_all()
    told = [event for batch in listener.events() for event in batch]
    assert kinds(told, job_id) == ["task-received", "task-started", "task-succeeded"]
    listener.close()


@pytest.mark.django_db
def test_without_redis_nothing_is_sent_or_logged_and_nobody_waits(dead_broker: str) -> None:
    ids = enqueue(30)
    breaker.reset()  # enqueueing has opened it
    asked = []
    publish = events._publish

    def counting(told: list[dict[str, Any]]) -> bool:
        asked.append(told)
        return publish(told)

    with capture_logs() as logs, patch.object(events, "_publish", counting):
        began = time.monotonic()
        take_all()
        assert time.monotonic() - began < 5
    assert len(asked) == 1
    assert {line["log_level"] for line in logs} <= {"debug", "info"}
    assert len(ids) == 30


@pytest.mark.django_db
def test_while_the_breaker_is_open_redis_is_not_asked(
    broker: redis.Redis, listener: Listener
) -> None:
    enqueue(3)
    breaker.trip()
    take_all()
    assert listener.batches() == []


@pytest.mark.django_db
def test_a_process_that_is_no_celery_worker_tells_nothing(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_node", None)
    enqueue(3)
    take_all()
    assert listener.batches() == []


@pytest.fixture
def flower(live: Live) -> Iterator[list[dict[str, Any]]]:
    """The events that Flower hears: it listens by Celery's own receiver, in a thread."""
    heard: list[dict[str, Any]] = []
    app: Any = current_app
    connection = app.connection_for_read()
    receiver = app.events.Receiver(connection, handlers={"*": heard.append})
    thread = Thread(target=receiver.capture, daemon=True)
    thread.start()
    wait_until(lambda: live.redis.pubsub_numpat() > 0)
    yield heard
    receiver.should_stop = True
    thread.join(10)
    connection.release()


@pytest.mark.processes
@pytest.mark.parametrize("queue", ["notifications", "pdf"])  # threads, processes
def test_flower_hears_of_each_of_many_jobs_once(
    live: Live, flower: list[dict[str, Any]], queue: str
) -> None:
    live.worker(queue)
    options = Options(queue=queue)
    ids = probe.enqueue_many([{"label": f"private-{n}"} for n in range(50)], options)
    wait_until(lambda: live.redis.llen(queue) == 0, what="all messages are taken")
    ended = "task-succeeded"
    wait_until(lambda: sum(event["type"] == ended for event in list(flower)) >= 50)
    told = [event for event in list(flower) if event["type"].startswith("task-")]
    assert Counter((event["uuid"], event["type"]) for event in told) == Counter(
        (str(id_), kind) for id_ in ids for kind in ("task-received", "task-started", ended)
    )
    nodes = {
        told_of: {(event["hostname"], event["pid"]) for event in flower if told_of in event["type"]}
        for told_of in ("task-", "worker-online")
    }
    assert nodes["task-"] == nodes["worker-online"]
    assert "private-" not in json.dumps(told)
