"""Whatever a canvas is made of, it gives what its parts give, failures and replays included."""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from celery import chain, group
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs import current_job, job_task, operations
from jobs.errors import PermanentError
from jobs.models import DeadLetter, Group, Job, Workflow
from jobs.testing import run_jobs
from tests.canvas.arithmetic import declare
from tests.canvas.examples import value_of


@dataclass(frozen=True)
class Node:
    """A part of a canvas: how Celery says it, and what it makes of a number."""

    told: str
    signature: Callable[[SimpleNamespace], Any]
    result: Callable[[int], int]

    def __repr__(self) -> str:
        return self.told


def leaf(number: int, kind: str) -> Node:
    made: dict[str, Node] = {
        "add": Node(f"+{number}", lambda t: t.add.s(number), lambda x: x + number),
        "mul": Node(f"*{number}", lambda t: t.mul.s(number), lambda x: x * number),
        # It dies once, and succeeds when it is replayed.
        "flaky": Node(f"?{number}", lambda t: t.flaky.s(number), lambda x: x - number),
    }
    return made[kind]


def in_turn(parts: list[Node]) -> Node:
    def result(x: int) -> int:
        for part in parts:
            x = part.result(x)
        return x

    told = " | ".join(map(repr, parts))
    return Node(f"({told})", lambda t: chain(*[part.signature(t) for part in parts]), result)


def side_by_side(parts: list[Node]) -> Node:
    told = ", ".join(map(repr, parts))
    return Node(
        f"sum[{told}]",
        lambda t: group([part.signature(t) for part in parts]) | t.xsum.s(),
        lambda x: sum(part.result(x) for part in parts),
    )


leaves = st.builds(leaf, st.integers(2, 9), st.sampled_from(["add", "mul", "flaky"]))
nodes = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(in_turn),
        st.lists(inner, min_size=2, max_size=3).map(side_by_side),
    ),
    max_leaves=8,
)


def declare_flaky() -> Any:
    @job_task(name="tests.flaky", queue="inventory")
    def flaky(x: int, number: int) -> int:
        running = current_job()
        assert running is not None
        if Job.objects.get(id=running.id).replay_of_id is None:
            raise PermanentError("once")
        return x - number

    return flaky


@pytest.mark.django_db
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(node=nodes, start=st.integers(0, 9))
def test_any_canvas_gives_what_its_parts_give(
    node: Node, start: int, tasks: SimpleNamespace
) -> None:
    result = chain(tasks.add.s(0, start), node.signature(tasks))()
    run_jobs()
    while letters := list(DeadLetter.objects.filter(decision="").values_list("job_id", flat=True)):
        for job_id in letters:
            operations.replay(job_id, actor="user:ann")
        run_jobs()
    assert value_of(result) == node.result(start)
    assert not Group.objects.exclude(pending=0, failures=0).exists()
    counted = Job.objects.filter(replay_of=None).count()
    totals = Workflow.objects.values_list("total", flat=True)
    assert counted == (sum(totals) or 1)
    for rows in (DeadLetter, Job, Group, Workflow):
        rows.objects.all().delete()


@pytest.fixture
def tasks() -> SimpleNamespace:
    """The tasks of Celery's guide, and one that dies first."""
    found = declare()
    found.flaky = declare_flaky()
    return found
