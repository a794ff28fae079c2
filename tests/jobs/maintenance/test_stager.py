"""The stager publishes what is due, and what waits for a message that is lost."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
import redis
from django.test import override_settings

from jobs import operations
from jobs.maintenance.stager import Stager
from jobs.models import Job
from jobs.states import State
from jobs.tasks import probe
from jobs.testing import run_jobs
from tests.jobs.stages import QUEUE, everything_about, let_time_pass, put_into

pytestmark = pytest.mark.django_db


def messages(broker: redis.Redis, queue: str = QUEUE) -> list[tuple[str, str]]:
    """Return (job id, dispatch) of the messages, in the order in which workers get them."""
    found = [json.loads(raw)["headers"] for raw in broker.lrange(queue, 0, -1)]
    return [(headers["id"], headers["dispatch"]) for headers in reversed(found)]


def test_what_is_due_gets_a_message_and_what_is_not_waits(broker: redis.Redis) -> None:
    due, later = put_into(State.AVAILABLE), put_into(State.SCHEDULED)
    assert Stager().run_once() == 1
    assert messages(broker) == [(str(due.id), "2")]
    assert (due.state, later.state) == (State.QUEUED, State.SCHEDULED)
    let_time_pass(later.id)
    assert Stager().run_once() == 1
    assert messages(broker)[1:] == [(str(later.id), "1")]
    assert Stager().run_once() == 0


def test_a_queue_whose_messages_are_lost_is_rung_again_and_one_with_messages_is_not(
    broker: redis.Redis, conf: Callable[..., None]
) -> None:
    conf(REPUBLISH_AFTER=timedelta(seconds=10))
    lost = put_into(State.QUEUED)
    let_time_pass(lost.id)
    before = everything_about(lost.id)
    broker.lpush(QUEUE, "another message")
    stager = Stager()
    stager.run_once()
    assert broker.llen(QUEUE) == 1
    broker.flushall()
    stager.run_once()
    assert messages(broker) == [(str(lost.id), "1")]
    assert everything_about(lost.id) == before, "nothing had to move"
    broker.flushall()
    stager.run_once()
    assert messages(broker) == [], "it rings once in a while, not all the time"


def test_a_message_that_was_sent_a_moment_ago_is_not_lost(broker: redis.Redis) -> None:
    put_into(State.QUEUED)
    Stager().run_once()
    assert messages(broker) == []


def test_a_thousand_lost_messages_are_replaced_by_a_few(
    broker: redis.Redis, conf: Callable[..., None]
) -> None:
    conf(REPUBLISH_AFTER=timedelta(0))
    probe.enqueue_many([{"label": "x"}] * 1000)
    broker.flushall()
    Stager().run_once()
    assert len(messages(broker)) == 64


def test_a_large_backlog_is_published_in_batches_until_nothing_is_due(
    broker: redis.Redis, conf: Callable[..., None]
) -> None:
    conf(STAGER_BATCH=3)
    jobs = [put_into(State.AVAILABLE) for _ in range(7)]
    assert Stager().run_once() == 7
    assert sorted(messages(broker)) == sorted((str(job.id), "2") for job in jobs)


def test_each_job_goes_to_its_own_queue(broker: redis.Redis) -> None:
    for queue in ("email", "pdf"):
        job = probe.using(queue=queue, delay=timedelta(hours=1)).enqueue(label="x")
        let_time_pass(job.id)
    assert Stager().run_once() == 2
    assert [len(messages(broker, queue)) for queue in ("email", "pdf", QUEUE)] == [1, 1, 0]


def test_a_paused_queue_gets_no_messages_until_it_is_resumed(broker: redis.Redis) -> None:
    job = put_into(State.AVAILABLE)
    operations.pause_queue(QUEUE, actor="user:ann")
    assert Stager().run_once() == 0
    operations.resume_queue(QUEUE, actor="user:ann")
    assert Stager().run_once() == 1
    assert messages(broker) == [(str(job.id), "2")]


def test_without_redis_nothing_moves_and_with_it_work_goes_on_by_itself(
    broker: redis.Redis, dead_broker: str
) -> None:
    job = put_into(State.AVAILABLE)
    before = everything_about(job.id)
    with override_settings(REDIS_URL=dead_broker):
        cut_off = Stager()
    for _ in range(3):
        assert cut_off.run_once() == 0
    assert everything_about(job.id) == before
    assert run_jobs(), "it can still be run"


def test_when_the_publish_fails_the_jobs_are_available_again(
    broker: redis.Redis, dead_broker: str
) -> None:
    # Redis answers the stager, but not Celery: it went down in between.
    jobs = [put_into(State.AVAILABLE) for _ in range(3)]
    assert Stager().run_once() == 0
    assert {job.state for job in jobs} == {State.AVAILABLE}
    assert set(Job.objects.values_list("dispatch", flat=True)) == {2}
