"""Workflows as one thing: how far each is, and what a person can do to it."""

from types import SimpleNamespace

import pytest
from celery import chain, chord, group
from celery.exceptions import TaskRevokedError
from celery.result import AsyncResult

from jobs import operations, selectors
from jobs.errors import NotPossible
from jobs.inline import run_job
from jobs.models import AuditEntry, Job, Workflow
from jobs.selectors import WorkflowFilter, WorkflowView
from jobs.states import State
from jobs.tasks import probe
from jobs.testing import run_jobs
from tests.canvas.arithmetic import declare
from tests.jobs.records import make_job

pytestmark = pytest.mark.django_db


@pytest.fixture
def tasks() -> SimpleNamespace:
    """The tasks of Celery's guide."""
    return declare()


def the_one() -> WorkflowView:
    """The one workflow."""
    return selectors.get_workflow(Workflow.objects.get().id)


def test_its_progress_counts_to_the_jobs_that_it_takes_from_the_start(
    tasks: SimpleNamespace,
) -> None:
    (group(tasks.add.s(1, 1), tasks.add.s(2, 2)) | tasks.xsum.s() | tasks.add.s(1))()
    assert (the_one().state, the_one().progress) == ("running", progress(0, 4))
    first, second = Job.objects.order_by("group_index")
    run_job(first.id)
    assert the_one().progress == progress(1, 4)
    assert the_one().finished_at is None
    run_job(second.id)
    assert (the_one().counts.succeeded, the_one().counts.waiting) == (2, 1)
    run_jobs()
    assert (the_one().state, the_one().progress) == ("succeeded", progress(4, 4))
    assert the_one().finished_at is not None


def progress(done: int, total: int) -> dict[str, object]:
    return {"done": done, "total": total, "note": ""}


def test_what_follows_a_job_by_the_typed_way_is_a_workflow_too() -> None:
    probe.using(follows=[probe.step(label="b"), probe.step(label="c")]).enqueue(label="a")
    assert (the_one().workflow.name, the_one().total) == ("jobs.probe | jobs.probe | jobs.probe", 3)
    run_jobs()
    assert the_one().state == "succeeded"


def test_a_dead_part_fails_it_at_once_until_a_replay_takes_its_place(
    tasks: SimpleNamespace,
) -> None:
    group(probe.si(label="x", fail_permanently=True), probe.si(label="y"))()
    dead, _ = Job.objects.order_by("group_index")
    run_job(dead.id)
    assert the_one().state == "failed"
    assert the_one().counts.waiting == 1
    operations.replay(dead.id, actor="user:ann", payload={"fail_permanently": False})
    assert the_one().state == "running"
    run_jobs()
    assert (the_one().state, the_one().counts.replaced) == ("succeeded", 1)
    assert the_one().progress == progress(2, 2)


def test_its_stages_are_those_that_began_side_by_side_and_what_is_to_come(
    tasks: SimpleNamespace,
) -> None:
    chain(
        tasks.add.s(1, 1),
        group(tasks.add.s(1) | tasks.mul.s(2), tasks.raising.s(), tasks.add.s(3)),
        tasks.xsum.s(),
        tasks.add.s(1),
    )()
    run_jobs()
    detail = selectors.workflow_detail(Job.objects.filter(state=State.DEAD).get().id)
    told = sorted((stage.tasks, stage.counts.all, stage.is_group) for stage in detail.stages)
    assert told == [
        (["tests.add"], 1, False),
        (["tests.add"], 1, False),
        (["tests.add", "tests.mul", "tests.raising"], 3, True),
    ]
    (parts,) = [stage.jobs for stage in detail.stages if stage.is_group]
    assert [job.state for job in parts] == ["dead", "succeeded", "succeeded"]
    assert detail.to_come == [("tests.xsum | tests.add", 1)]
    assert detail.view.total == 7


def test_workflows_are_listed_newest_first_by_state_and_tenant(tasks: SimpleNamespace) -> None:
    (tasks.raising.si() | tasks.add.si(1, 1))()
    run_jobs()
    (tasks.add.si(1, 1).set(tenant="acme") | tasks.add.si(1, 1))()
    make_job()
    listed, page = selectors.list_workflows(limit=1)
    assert [view.state for view in listed] == ["running"]
    older, _ = selectors.list_workflows(before=page.older or "", limit=1)
    assert [view.state for view in older] == ["failed"]
    for wanted, states in (
        (WorkflowFilter(state="failed"), ["failed"]),
        (WorkflowFilter(state="running"), ["running"]),
        (WorkflowFilter(tenant="acme"), ["running"]),
        (WorkflowFilter(tenant="nobody"), []),
    ):
        listed, _ = selectors.list_workflows(wanted)
        assert [view.state for view in listed] == states


@pytest.mark.parametrize("what", ["01a2003d-5fe2-76f2-81ab-8520a71158a1", "no id"])
def test_what_is_no_workflow_does_not_exist(what: str) -> None:
    with pytest.raises(Workflow.DoesNotExist, match="There is no workflow"):
        selectors.workflow_detail(what)
    job = make_job()
    with pytest.raises(Workflow.DoesNotExist):
        selectors.get_workflow(job.id)


def test_cancelling_ends_what_waits_and_starts_nothing_more(tasks: SimpleNamespace) -> None:
    result = (
        group(tasks.add.s(1, 1) | tasks.mul.s(2), tasks.add.s(2, 2), tasks.add.s(3, 3))
        | tasks.xsum.s().on_error(tasks.log_error.s())
    )()
    first = Job.objects.order_by("id").last()
    assert first is not None
    run_job(first.id)
    workflow = the_one().workflow
    operations.cancel_workflow(workflow.id, actor="user:ann")
    run_jobs()
    assert the_one().state == "cancelled"
    assert sorted(Job.objects.values_list("state", flat=True)) == [
        "cancelled",
        "cancelled",
        "succeeded",
    ]
    assert AsyncResult(result.id).failed(), "nobody waits for it in vain"
    entry = AuditEntry.objects.get(action="workflow.cancelled")
    assert (entry.subject_id, entry.actor) == (str(workflow.id), "user:ann")
    with pytest.raises(NotPossible, match="cancelled already"):
        operations.cancel_workflow(workflow.id, actor="user:ann")


def test_what_runs_when_its_workflow_is_cancelled_starts_nothing_more_either(
    tasks: SimpleNamespace,
) -> None:
    from jobs import transitions, workflows
    from jobs.records import Settlement
    from jobs.states import Move

    result = (tasks.add.s(1, 1) | tasks.add.s(1))()
    (job,) = transitions.claim([Job.objects.get().id], worker=None)
    operations.cancel_workflow(the_one().workflow.id, actor="user:ann")
    assert Job.objects.get().cancel_requested_at is not None
    done = Settlement(id=job.id, lease=job.lease, move=Move.SUCCEEDED, result=2)
    transitions.settle([done])
    workflows.start_next([(job, done)])
    assert Job.objects.get().state == "succeeded"
    with pytest.raises(TaskRevokedError, match="cancelled"):
        AsyncResult(result.id).get(timeout=1)


def test_a_workflow_that_succeeded_or_is_not_there_cannot_be_cancelled(
    tasks: SimpleNamespace,
) -> None:
    chord([tasks.add.s(1, 1)], tasks.xsum.s())()
    run_jobs()
    with pytest.raises(NotPossible, match="succeeded already"):
        operations.cancel_workflow(the_one().workflow.id, actor="user:ann")
    with pytest.raises(NotPossible, match="There is no workflow"):
        operations.cancel_workflow(make_job().id, actor="user:ann")
