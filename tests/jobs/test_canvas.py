"""Celery's documented canvas works as jobs: every example, its errors, and what the rows say."""

from types import SimpleNamespace
from typing import Any

import pytest
from celery import chain, group
from celery.exceptions import IncompleteStream
from celery.result import GroupResult
from pydantic import SecretStr

from jobs import job_task
from jobs.enqueue import enqueue_by_name
from jobs.errors import InvalidPayload
from jobs.models import Job, Workflow
from jobs.testing import run_jobs
from tests.canvas.arithmetic import QUEUE, declare
from tests.canvas.examples import EXAMPLES, Example, value_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def tasks() -> SimpleNamespace:
    """The tasks of Celery's guide."""
    return declare()


def results_of(task: str) -> list[Any]:
    """The results of the jobs of a task, in the order of their ends."""
    return list(
        Job.objects.filter(task=task).order_by("finished_at").values_list("result", flat=True)
    )


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.name for example in EXAMPLES])
def test_celery_s_documented_examples_give_what_the_guide_says(
    example: Example, tasks: SimpleNamespace
) -> None:
    result = example.start(tasks)
    run_jobs()
    assert value_of(result) == example.result
    for parent in example.parents:
        result = result.parent
        assert value_of(result) == parent
    for workflow in Workflow.objects.all():
        assert Job.objects.filter(root_id=workflow.id).count() == workflow.total


# --- callbacks -----------------------------------------------------------------------------------


def test_a_callback_gets_the_result_and_is_found_as_a_child(tasks: SimpleNamespace) -> None:
    result = tasks.add.apply_async((2, 2), link=tasks.mul.s(16))
    run_jobs()
    assert result.get(timeout=1) == 4
    (child,) = result.children
    assert child.get(timeout=1) == 64
    assert [(str(node), value) for node, value in result.collect()] == [
        (result.id, 4),
        (child.id, 64),
    ]


def test_callbacks_may_have_callbacks_and_take_nothing_when_immutable(
    tasks: SimpleNamespace,
) -> None:
    first = tasks.add.s(2, 2)
    first.link(tasks.mul.s(4))
    first.link(tasks.reset_buffers.si())
    first.options["link"][0].link(tasks.add.s(1))
    result = first.delay()
    run_jobs()
    values = sorted(str(value) for _, value in result.collect())
    assert values == ["16", "17", "4", "reset"]


def test_a_callback_may_be_a_whole_workflow(tasks: SimpleNamespace) -> None:
    tasks.add.apply_async((1, 1), link=group(tasks.add.s(10), tasks.add.s(20)) | tasks.xsum.s())
    run_jobs()
    assert results_of("tests.xsum") == [34]


def test_the_results_of_a_chain_are_a_graph(tasks: SimpleNamespace) -> None:
    result = chain(tasks.add.s(4, 4), tasks.mul.s(8), tasks.mul.s(10))()
    first = result.parent.parent
    with pytest.raises(IncompleteStream):
        first.build_graph()
    run_jobs()
    arcs = {str(node): [str(child) for child in children] for node, children in first.graph.items()}
    assert arcs == {result.id: [], result.parent.id: [result.id], first.id: [result.parent.id]}


def test_a_group_is_asked_as_if_it_were_one_task(tasks: SimpleNamespace) -> None:
    result: Any = group([tasks.add.s(2**i, 2**i) for i in range(1, 6)]).apply_async()
    assert (result.ready(), result.waiting(), result.completed_count()) == (False, True, 0)
    run_jobs()
    assert (result.ready(), result.successful(), result.failed()) == (True, True, False)
    assert result.completed_count() == 5
    assert result.join() == [4, 8, 16, 32, 64]
    restored = GroupResult.restore(result.id)
    assert restored.join() == [4, 8, 16, 32, 64]


def test_what_is_mapped_runs_on_the_queue_of_its_task_and_atomically_when_it_is_atomic(
    tasks: SimpleNamespace,
) -> None:
    tasks.add.starmap([(1, 2)]).delay()
    tasks.count_units.map([{"warehouse": 1}]).set(queue="reports", priority=0).delay()
    told = Job.objects.order_by("task").values_list("task", "queue", "priority", "payload")
    assert list(told) == [
        ("jobs.map", QUEUE, 2, {"task": "tests.add", "items": [{"x": 1, "y": 2, "debug": False}]}),
        (
            "jobs.map_atomic",
            "reports",
            0,
            {"task": "tests.count_units", "items": [{"warehouse": 1, "scale": 1}]},
        ),
    ]


def test_a_skewed_group_starts_one_after_the_other(tasks: SimpleNamespace) -> None:
    parts = tasks.add.chunks(zip(range(6), range(6), strict=True), 2).group()
    parts.skew(start=10, stop=30, step=10)()
    waits = [
        round((job.scheduled_at - job.enqueued_at).total_seconds())
        for job in Job.objects.order_by("group_index")
    ]
    assert waits == [10, 20, 30]


def test_a_mapping_that_is_enqueued_by_hand_takes_no_secrets_either() -> None:
    @job_task(name="tests.secretive", queue="reports")
    def secretive(*, token: SecretStr) -> None:
        pass

    for name, told in (("tests.secretive", "takes secrets"), ("tests.secretiv", "Did you mean")):
        with pytest.raises(InvalidPayload, match=told):
            enqueue_by_name("jobs.map", {"task": name, "items": [{"token": "S3CRET"}]})
    assert not Job.objects.exists()
