"""Celery's canvas on real workers, with Redis flushed in its middle, again and again."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from celery import chord, current_app
from django.db.models import Sum

from jobs import operations
from jobs.models import Attempt, Group, Job, Workflow
from jobs.states import FINAL, State
from jobs.task import registry
from jobs.tasks import probe
from tests.canvas.arithmetic import QUEUE, declare
from tests.canvas.examples import EXAMPLES, value_of
from tests.conftest import Live, wait_until

pytestmark = pytest.mark.processes

FLUSHES = 10
SETTINGS = {
    "DJANGO_SETTINGS_MODULE": "tests.canvas.settings",
    "JOBS_REPUBLISH_SECONDS": "1",
    "CANVAS_SECONDS": "0.02",
}


@pytest.fixture
def tasks() -> Iterator[SimpleNamespace]:
    """The tasks of Celery's guide, known here and to the workers."""
    before = set(registry())
    yield declare()
    for name in set(registry()) - before:
        del registry()[name]
        current_app.tasks.pop(name, None)


def succeeded() -> int:
    return Job.objects.filter(state=State.SUCCEEDED).count()


def test_every_documented_example_gives_the_same_when_redis_is_flushed_in_its_middle(
    live: Live, tasks: SimpleNamespace
) -> None:
    results = [(example, example.start(tasks)) for example in EXAMPLES]
    expected = Workflow.objects.aggregate(total=Sum("total"))["total"]
    expected += Job.objects.filter(root_id=None).count()
    live.worker(QUEUE, **SETTINGS)
    for flush in range(FLUSHES):
        so_many = expected * flush // FLUSHES
        wait_until(lambda so_many=so_many: succeeded() >= so_many, within=120)  # type: ignore[misc]
        live.redis.flushall()
    wait_until(lambda: succeeded() == expected, within=120, what=f"{expected} jobs to succeed")
    for example, result in results:
        assert value_of(result) == example.result, example.name
        for parent in example.parents:
            result = result.parent
            assert value_of(result) == parent, example.name
    assert Job.objects.count() == expected
    assert Attempt.objects.count() == expected, "each ran once"
    assert not Group.objects.exclude(pending=0).exists()


def test_a_chord_and_its_replay_survive_a_flush_while_their_parts_run(
    live: Live, tasks: SimpleNamespace
) -> None:
    result = chord(
        [
            probe.s(label="long", sleep_ms=2_000).set(queue=QUEUE),
            probe.s(label="broken", fail_permanently=True).set(queue=QUEUE),
            tasks.add.s(1, 1) | tasks.add.s(1),
        ],
        tasks.identity.s(),
    )()
    live.worker(QUEUE, **SETTINGS)
    wait_until(lambda: Job.objects.filter(state=State.RUNNING, payload__label="long").exists())
    live.redis.flushall()
    dead = wait_until(lambda: Job.objects.filter(state=State.DEAD).first())
    assert dead is not None
    operations.replay(dead.id, actor="user:ann", payload={"fail_permanently": False})
    live.redis.flushall()
    wait_until(lambda: not Job.objects.exclude(state__in=FINAL).exists(), within=60)
    assert value_of(result) == [None, None, 3]


def test_nothing_of_a_workflow_is_in_redis_but_ids(live: Live, tasks: SimpleNamespace) -> None:
    secret = "correct-horse-battery-staple"
    (
        chord([tasks.identity.s(secret), tasks.add.s(1, 1)], tasks.identity.s())
        | tasks.identity.si(secret)
    ).apply_async(link=tasks.identity.si(secret))
    keyspace = b""
    for key in live.redis.scan_iter("*"):
        keyspace += key + (live.redis.dump(key) or b"")
        if live.redis.type(key) == b"list":
            keyspace += b"".join(
                item for item in live.redis.lrange(key, 0, -1) if isinstance(item, bytes)
            )
    assert b"tests." in keyspace, "the messages are there"
    assert secret.encode() not in keyspace
    assert b"chain" not in keyspace.replace(b'"chain": null', b"")
