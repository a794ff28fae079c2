"""Messages: what Celery itself would send, and not more of them than it takes."""

import json
import os
import threading
from typing import Any
from uuid import uuid4

import pytest
import redis
from celery import Celery, current_app

from jobs import bell
from jobs.bell import Message


@pytest.fixture(autouse=True)
def nobody_is_hushed() -> None:
    bell._hushed_until.clear()


def message(queue: str = "email") -> Message:
    return uuid4(), "jobs.probe", queue, 3


def test_a_message_is_the_one_that_celery_would_send(broker: redis.Redis) -> None:
    ours = message()
    bell.ring([ours])
    Celery.send_task(
        current_app,  # the method of the class: ours makes a job
        "jobs.probe",
        task_id=str(ours[0]),
        queue="email",
        headers={"dispatch": "3"},
        argsrepr="",
        kwargsrepr="",
        ignore_result=True,
    )
    theirs, mine = (json.loads(raw) for raw in broker.lrange("email", 0, -1))
    for one in (theirs, mine):
        assert one["properties"].pop("delivery_tag")
        one["properties"].pop("reply_to")
        assert one["headers"].pop("origin")
    assert mine == theirs


def test_many_messages_take_one_trip_and_go_each_to_its_queue(broker: redis.Redis) -> None:
    bell.ring([message("email"), message("pdf"), message("email")])
    assert [broker.llen(queue) for queue in ("email", "pdf")] == [2, 1]


def test_a_queue_that_is_loud_is_left_alone_for_a_moment_and_the_others_are_not(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("jobs.bell.time.monotonic", lambda: clock[0])
    bell.ring([message() for _ in range(bell.LOUD)])
    for _ in range(5):
        bell.ring([message(), message("pdf")])
    assert [broker.llen(queue) for queue in ("email", "pdf")] == [bell.LOUD, 5]
    bell.ring([message()], all_of_them=True)
    assert broker.llen("email") == bell.LOUD + 1, "who replaces lost messages is not silenced"
    clock[0] += bell.HUSH + 0.001
    bell.ring([message()])
    assert broker.llen("email") == bell.LOUD + 2


def test_a_connection_that_was_cut_is_made_anew(broker: redis.Redis) -> None:
    bell.ring([message()])
    clients: Any = broker.client_list()
    for client in clients:
        if client["cmd"] == "lpush":
            broker.client_kill_filter(_id=client["id"])
    bell.ring([message()])
    assert broker.llen("email") == 2


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_one(broker: redis.Redis) -> None:
    bell.ring([message(), message()])
    broker.client_pause(int(1_500 * bell.ANSWER_TIMEOUT), all=False)  # milliseconds; writes alone
    with pytest.raises(redis.TimeoutError):
        bell.ring([message("pdf") for _ in range(7)])
    assert broker.llen("email") == 2
    broker.client_unpause()
    assert bell._lines(str(current_app.conf.broker_url)).push([("email", "x")]) == [3]


def test_threads_and_forks_ring_side_by_side(broker: redis.Redis) -> None:
    bell.ring([message()])
    ready = threading.Barrier(4)

    def ring_often() -> None:
        ready.wait()
        for _ in range(20):
            bell.ring([message(), message()])

    threads = [threading.Thread(target=ring_often) for _ in range(3)]
    child = os.fork()
    if child == 0:
        for _ in range(20):
            bell.ring([message()])
        os._exit(0)
    for thread in threads:
        thread.start()
    ready.wait()
    for thread in threads:
        thread.join()
    assert os.waitpid(child, 0)[1] == 0
    assert broker.llen("email") == 1 + 3 * 20 * 2 + 20
    ringing: Any = [client for client in broker.client_list() if client["cmd"] == "lpush"]
    assert len(ringing) <= 3, "a connection is used again"


def test_a_broker_that_is_not_there_is_an_error_at_once(dead_broker: str) -> None:
    with pytest.raises(redis.ConnectionError):
        bell.ring([message()])
