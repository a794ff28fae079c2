"""A process that has nothing to do hears bells by itself, and leaves the rest to Celery."""

import json
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
from celery import current_app
from celery.signals import task_failure

from jobs import bell, job_task, listening
from jobs.models import Job
from jobs.states import State
from jobs.task import get_task
from tests.conftest import wait_until

pytestmark = pytest.mark.django_db

#: A list of kombu's for messages of a lower priority.
LOWER = "inventory\x06\x166"


@pytest.fixture(autouse=True)
def consuming(monkeypatch: pytest.MonkeyPatch) -> Iterator[bytearray]:
    """A worker that consumes."""
    told = bytearray([1])
    monkeypatch.setattr(listening, "_consuming", told)
    monkeypatch.setattr(listening, "QUIET", 0.3)
    yield told
    listening._ear.cache_clear()


@pytest.fixture
def ran() -> list[str]:
    return []


@pytest.fixture(autouse=True)
def note(ran: list[str]) -> None:
    @job_task(name="tests.note", queue="inventory")
    def note(*, label: str) -> None:
        ran.append(label)
        if label == "poison":
            raise ValueError("no")

    current_app.finalize()


def enqueue(label: str) -> Job:
    """Make a job and ring for it: the transaction of a test is never committed."""
    job: Job = get_task("tests.note").using().enqueue(label=label)
    bell.ring([(job.id, job.task, job.queue, job.dispatch)])
    return job


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The ids and queues of bells that lead to nothing: another thread sees no job of ours."""
    answered: list[tuple[str, str]] = []

    def answer(_task: Any, id_: str, *call: Any, **_: Any) -> None:
        answered.append((id_, call[2]["delivery_info"]["routing_key"]))

    monkeypatch.setattr(listening, "trace_task", answer)
    return answered


class Listener(threading.Thread):
    """Listens, and has begun to wait."""

    def __init__(self, broker: redis.Redis, *queues: str) -> None:
        super().__init__(target=listening.listen, args=(queues,), kwargs={"served": queues[0]})
        self.start()
        wait_until(lambda: blocked(broker))


def blocked(broker: redis.Redis) -> list[str]:
    clients: Any = broker.client_list(_type="normal")
    return [client["id"] for client in clients if client["cmd"] == "brpop"]


def test_bells_are_answered_until_it_is_quiet(broker: redis.Redis, ran: list[str]) -> None:
    for label in "ab":
        enqueue(label)
    listening.listen(["inventory"], served="inventory")
    assert ran == ["a", "b"]
    assert broker.llen("inventory") == 0
    assert set(Job.objects.values_list("state", flat=True)) == {State.SUCCEEDED}


def test_a_bell_that_comes_while_it_waits_is_answered(
    broker: redis.Redis, answered: list[tuple[str, str]]
) -> None:
    listener = Listener(broker, "pdf", "inventory")
    ids = [str(uuid4()) for _ in range(3)]
    for id_ in ids:
        bell.ring([(UUID(id_), "tests.note", "inventory", 1)])
        wait_until(partial(answered.__contains__, (id_, "inventory")))
    listener.join()
    assert len(answered) == 3


def test_every_queue_has_its_turn(broker: redis.Redis, answered: list[tuple[str, str]]) -> None:
    for _ in range(3):
        bell.ring([(uuid4(), "tests.note", queue, 1) for queue in ("inventory", "pdf")])
    listening.listen(["inventory", "pdf"], served="pdf")
    assert [queue for _, queue in answered] == ["inventory", "pdf"] * 3


@pytest.mark.parametrize(
    ("served", "order"), [("a", "bca"), ("b", "cab"), ("c", "abc"), ("other", "abc"), (None, "abc")]
)
def test_the_queue_that_celery_served_comes_last(served: str | None, order: str) -> None:
    keys = listening._in_turn(["a", "b", "c"], served)
    assert keys[::4] == list(order)
    assert keys[:4] == [order[0] + step for step in ("", *(f"\x06\x16{n}" for n in (3, 6, 9)))]


def test_a_message_too_deep_to_read_is_thrown_away(broker: redis.Redis) -> None:
    broker.rpush("inventory", "[" * 100_000)
    listening.listen(["inventory"], served="inventory")
    assert broker.llen("inventory") == 0


def test_a_message_is_put_back_over_a_connection_that_was_cut(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.rpush("inventory", b"foreign")

    def cut(_text: bytes, _hostname: str) -> bool:
        broker.client_kill_filter(_type="normal", skipme=True)
        return False

    monkeypatch.setattr(listening, "_answered", cut)
    listening.listen(["inventory"], served="inventory")
    assert broker.lrange("inventory", 0, -1) == [b"foreign"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"headers": {}}',
        json.dumps(
            {
                "headers": {"id": "1", "task": "celery.backend_cleanup"},
                "properties": {"delivery_info": {"routing_key": "inventory"}},
            }
        ).encode(),
    ],
)
def test_what_is_no_bell_is_left_to_celery(
    broker: redis.Redis, ran: list[str], text: bytes
) -> None:
    enqueue("waits")
    for key in ("inventory", LOWER):
        broker.rpush(key, text)  # the next that is taken
        before = broker.lrange(key, 0, -1)
        listening.listen(["inventory"], served="inventory")
        assert broker.lrange(key, 0, -1) == before
        broker.delete(key)
    assert ran == []


def test_who_was_told_to_stop_takes_no_more(
    broker: redis.Redis, ran: list[str], consuming: bytearray
) -> None:
    enqueue("not begun")
    consuming[0] = 0
    listening.listen(["inventory"], served="inventory")
    assert broker.llen("inventory") == 1

    consuming[0] = 1
    listener = Listener(broker, "pdf")
    consuming[0] = 0
    bell.ring([(uuid4(), "tests.note", "pdf", 1)])
    listener.join()
    assert broker.llen("pdf") == 1, "put back"
    assert ran == []


def test_it_goes_back_to_celery_now_and_then(
    broker: redis.Redis, ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "LONGEST", 0.0)
    enqueue("next")
    listening.listen(["inventory"], served="inventory")
    assert (ran, broker.llen("inventory")) == ([], 1)


def test_celery_hears_of_a_death(broker: redis.Redis, ran: list[str]) -> None:
    told: list[str] = []

    def hear(task_id: str, **_: object) -> None:
        told.append(task_id)

    task_failure.connect(hear)
    try:
        job = enqueue("poison")
        Job.objects.filter(id=job.id).update(max_attempts=1)
        enqueue("lives")
        listening.listen(["inventory"], served="inventory")
    finally:
        task_failure.disconnect(hear)
    assert told == [str(job.id)]
    assert sorted(ran) == ["lives", "poison"]


def test_redis_that_goes_away_ends_it_quietly(dead_broker: str) -> None:
    listening.listen(["inventory"], served="inventory")


def test_a_connection_that_was_cut_is_made_anew(broker: redis.Redis, ran: list[str]) -> None:
    listener = Listener(broker, "inventory")
    for id_ in blocked(broker):
        broker.client_kill_filter(_id=id_)
    listener.join()
    enqueue("after")
    listening.listen(["inventory"], served="inventory")
    assert ran == ["after"]
