"""How workflows go on, stop, and go on again: failures, replays, cancellations, and races."""

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from celery import chain, chord, current_app, group, signature
from celery.exceptions import ChordError, TaskRevokedError
from celery.result import AsyncResult
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse
from django_celery_results.models import TaskResult
from pydantic import SecretStr

from jobs import job_task, operations, transitions, weave, workflows
from jobs.errors import EnqueueError, InvalidPayload, PayloadTooLarge, PermanentError, UnknownTask
from jobs.inline import run_job
from jobs.maintenance import pruner
from jobs.models import AuditEntry, DeadLetter, Group, Job, Workflow
from jobs.records import Settlement
from jobs.selectors.audit_check import check_audit
from jobs.states import Move, State
from jobs.task import registry
from jobs.testing import run_jobs
from tests.canvas.arithmetic import declare
from tests.conftest import Live
from tests.jobs.records import make_operator
from tests.jobs.stages import at_once


@pytest.fixture
def tasks() -> SimpleNamespace:
    """The tasks of Celery's guide."""
    return declare()


def jobs_of(task: str) -> list[Job]:
    """The jobs of a task, in the order of their ends."""
    return list(Job.objects.filter(task=task).order_by("finished_at", "id"))


def only(task: str) -> Job:
    """The one job of a task."""
    (job,) = jobs_of(task)
    return job


def fails_until_told(name: str) -> tuple[Any, list[bool]]:
    """A task that dies as long as the list is empty."""
    told: list[bool] = []

    @job_task(name=name, queue="inventory")
    def task(x: int) -> int:
        if not told:
            raise PermanentError("not yet")
        return x

    return task, told


# --- in: what is started, is started as one ------------------------------------------------------


@pytest.mark.django_db
def test_what_is_started_together_is_one_workflow_of_so_many_jobs(tasks: SimpleNamespace) -> None:
    result: Any = chord(
        [tasks.add.s(1, 1) | tasks.mul.s(2), tasks.add.s(2, 2)], tasks.xsum.s()
    ).apply_async()
    workflow = Workflow.objects.get()
    assert str(workflow.id) == result.workflow_id
    assert workflow.total == 4
    assert workflow.name == "(tests.add | tests.mul, tests.add) | tests.xsum"
    run_jobs()
    assert set(Job.objects.values_list("root_id", flat=True)) == {workflow.id}
    ids = set(Job.objects.values_list("correlation_id", flat=True))
    assert ids == {workflow.correlation_id}
    assert Job.objects.count() == workflow.total
    assert {id_.version for id_ in Job.objects.values_list("id", flat=True)} == {7}, "in order"


@pytest.mark.django_db
def test_a_single_job_is_no_workflow(tasks: SimpleNamespace) -> None:
    tasks.add.delay(1, 1)
    chain(tasks.add.s(1, 1))()
    assert list(Job.objects.values_list("root_id", flat=True)) == [None, None]
    assert not Workflow.objects.exists()


@pytest.mark.django_db
def test_what_does_not_fit_is_told_to_the_caller_and_nothing_is_left(
    tasks: SimpleNamespace,
) -> None:
    calls: list[tuple[type[Exception], str, Callable[[], Any]]] = [
        (
            InvalidPayload,
            "x: Input should",
            lambda: group(tasks.add.s(1, 1), tasks.add.s("a", 1))(),
        ),
        (InvalidPayload, "y: required", lambda: group(tasks.add.s(1, 1), tasks.add.s(1))()),
        (UnknownTask, "Did you mean 'tests.add'", lambda: signature("tests.ad").delay()),
        (UnknownTask, "tests.nope", lambda: (tasks.add.s(1, 1) | signature("tests.nope"))()),
        (InvalidPayload, "at most 3", lambda: (tasks.add.s(1, 1) | tasks.add.s(1, 2, 3, 4))()),
        (InvalidPayload, "z: unknown", lambda: (tasks.add.s(1, 1) | tasks.add.s(z=3))()),
        (InvalidPayload, "x: given by", lambda: tasks.add.s(1, 2).delay(x=3)),
        (EnqueueError, "keyword arguments only", lambda: group(tasks.count_units.s(1))()),
        (InvalidPayload, "canvas", lambda: (tasks.add.s(1, 1) | tasks.identity.s(object()))()),
        (InvalidPayload, "NUL", lambda: (tasks.add.s(1, 1) | tasks.identity.s("\0"))()),
        (PayloadTooLarge, "1048576", lambda: (tasks.add.s(1, 1) | tasks.add.s("x" * 1_100_000))()),
        (InvalidPayload, "priority", lambda: tasks.add.s(1, 1).set(priority=9).delay()),
        (InvalidPayload, "1.y: Input", lambda: tasks.add.starmap([(1, 1), (1, "a")]).delay()),
        (
            InvalidPayload,
            "1.numbers",
            lambda: (tasks.add.s(1, 1) | tasks.xsum.map([[1], "a"]))(),
        ),
        (InvalidPayload, "task_id", lambda: tasks.add.apply_async((1, 1), task_id="mine")),
        (InvalidPayload, "group_id", lambda: group(tasks.add.s(1, 1)).apply_async(task_id="mine")),
        (
            InvalidPayload,
            "group_id",
            lambda: chord([tasks.add.s(1, 1)], tasks.xsum.s()).set(task_id="mine")(),
        ),
        (UnknownTask, "nope", lambda: chord([tasks.add.s(1, 1)], signature("nope"))()),
        (UnknownTask, "nope", lambda: tasks.add.apply_async((1, 1), link_error=signature("nope"))),
    ]
    for error, told, call in calls:
        with pytest.raises(error, match=told):
            call()
    assert not Job.objects.exists()
    assert not Workflow.objects.exists()
    assert not Group.objects.exists()


@pytest.mark.django_db
def test_a_task_that_takes_secrets_may_begin_a_workflow_but_not_follow(
    tasks: SimpleNamespace,
) -> None:
    @job_task(name="tests.secretive", queue="inventory")
    def secretive(token: SecretStr) -> int:
        return len(token.get_secret_value())

    calls: list[Callable[[], Any]] = [
        lambda: (tasks.add.s(1, 1) | secretive.si(SecretStr("hush")))(),
        lambda: (tasks.add.s(1, 1) | secretive.si("hush"))(),
        lambda: chord([tasks.add.s(1, 1)], secretive.si("hush"))(),
        lambda: (tasks.add.s(1, 1) | tasks.identity.si(SecretStr("hush")))(),
        lambda: secretive.map(["hush"]).delay(),
    ]
    for call in calls:
        with pytest.raises(EnqueueError, match=r"secret"):
            call()
    assert not Job.objects.exists()
    result = chord([secretive.s("hush"), secretive.s(SecretStr("hush!"))], tasks.xsum.s())()
    assert "hush" not in str(list(Job.objects.values()))
    run_jobs()
    assert result.get(timeout=1) == 9


@pytest.mark.django_db
def test_options_reach_the_jobs_and_those_that_follow(tasks: SimpleNamespace) -> None:
    (
        tasks.add.s(1, 1).set(queue="reports", tenant="acme")
        | tasks.add.s(1).set(priority=0, countdown=60, expires=90)
    )()
    first = only("tests.add")
    assert (first.queue, first.tenant) == ("reports", "acme")
    run_jobs()
    _, second = jobs_of("tests.add")
    assert (second.priority, second.state, second.tenant) == (0, "scheduled", "acme")
    assert second.enqueued_by == f"job:{first.id}"
    assert second.correlation_id == first.correlation_id
    assert second.parent_id == first.id
    assert second.expires_at is not None
    assert second.expires_at - second.enqueued_at == timedelta(seconds=90)


@pytest.mark.django_db
def test_a_part_is_no_twin_of_a_job_that_is_there_already(tasks: SimpleNamespace) -> None:
    from jobs.definition import Unique

    @job_task(name="tests.unique", queue="inventory", unique=Unique())
    def once() -> int:
        return 1

    once.enqueue()
    result = chord([once.s(), once.s()], tasks.xsum.s())()
    run_jobs()
    assert result.get(timeout=1) == 2


@pytest.mark.django_db
def test_stamps_are_kept_on_the_rows(tasks: SimpleNamespace) -> None:
    stamped = tasks.add.s(1, 1) | tasks.add.s(1)
    stamped.stamp(campaign="spring")
    stamped()
    run_jobs()
    stamps = [(job.canvas or {})["stamps"] for job in jobs_of("tests.add")]
    assert stamps == [{"campaign": "spring"}, {"campaign": "spring"}]


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_an_error_callback_that_takes_one_argument_gets_the_id(tasks: SimpleNamespace) -> None:
    result = tasks.raising.apply_async((), link_error=tasks.log_error.s())
    tasks.raising.signature((), link_error=tasks.log_error.s()).delay()
    run_jobs()
    told = [job.result for job in jobs_of("tests.log_error")]
    assert len(told) == 2
    assert result.id in told


@pytest.mark.django_db
def test_an_error_callback_that_takes_three_gets_the_job_its_error_and_where_it_was_raised(
    tasks: SimpleNamespace,
) -> None:
    result = tasks.raising.s(1).on_error(tasks.on_chord_error.s()).delay()
    tasks.raising.s(1).on_error(tasks.on_error_as_ours.s()).delay()
    run_jobs()
    told = only("tests.on_chord_error").result
    assert told == f"Task '{result.id}' raised error: 'PermanentError: something something'"
    task, error, traceback = only("tests.on_error_as_ours").result or []
    assert (task, error) == ("tests.raising", "PermanentError: something something")
    assert "Traceback" in traceback


@pytest.mark.django_db
def test_an_error_callback_is_called_when_the_job_dies_not_when_it_is_tried_again(
    tasks: SimpleNamespace,
) -> None:
    @job_task(name="tests.flaky", queue="inventory", attempts=2)
    def flaky() -> None:
        raise ValueError("again")

    flaky.apply_async(link_error=tasks.log_error.s())
    run_jobs()
    assert not jobs_of("tests.log_error")
    run_jobs(retries=True)
    assert only("tests.log_error").state == "succeeded"


@pytest.mark.django_db
def test_each_step_of_a_chain_has_the_chain_s_error_callback(tasks: SimpleNamespace) -> None:
    steps = chain(tasks.add.s(1, 1), tasks.raising.s(), tasks.add.s(1))
    steps.link_error(tasks.log_error.s())
    steps()
    run_jobs()
    assert only("tests.log_error").result == str(only("tests.raising").id)


@pytest.mark.django_db
def test_a_dead_step_ends_its_chain_and_whoever_waits_is_told(tasks: SimpleNamespace) -> None:
    result = (tasks.add.s(1, 1) | tasks.raising.s() | tasks.add.s(1) | tasks.add.s(2))()
    run_jobs()
    assert len(jobs_of("tests.add")) == 1
    for step in (result, result.parent):
        alone: AsyncResult[Any] = AsyncResult(step.id)
        assert alone.state == "FAILURE"
        with pytest.raises(PermanentError, match="something something"):
            alone.get(timeout=1)
    assert result.parent.parent.parent.get(timeout=1) == 2


@pytest.mark.django_db
def test_a_dead_part_fails_its_chord_once_and_the_others_go_on(tasks: SimpleNamespace) -> None:
    result = (
        group(tasks.add.s(4, 4), tasks.raising.s(), tasks.raising.s(), tasks.add.s(8, 8))
        | tasks.xsum.s().on_error(tasks.on_chord_error.s())
        | tasks.add.s(1)
    ).delay()
    run_jobs()
    assert [job.state for job in jobs_of("tests.add")] == ["succeeded", "succeeded"]
    assert not jobs_of("tests.xsum")
    with pytest.raises(ChordError, match=r"Dependency .* raised PermanentError: something"):
        AsyncResult(result.id).get(timeout=1)
    told = str(only("tests.on_chord_error").result)
    assert any(str(dead.id) in told for dead in jobs_of("tests.raising"))
    body, _ = Group.objects.get().body["kwargs"]["tasks"]
    assert told.startswith(f"Task {body['options']['task_id']!r} raised error: 'Dependency ")
    assert Group.objects.get().failures == 2


@pytest.mark.django_db
def test_the_tasks_of_a_body_that_is_a_group_fail_each(tasks: SimpleNamespace) -> None:
    body = group(tasks.xsum.s(), tasks.identity.s().on_error(tasks.log_error.s()))
    result: Any = chord([tasks.raising.s(), tasks.add.s(1, 1)], body)()
    run_jobs()
    assert result.ready()
    assert result.failed()
    assert only("tests.log_error").result == result.results[1].id


@pytest.mark.django_db
def test_a_dead_part_of_an_inner_chord_fails_the_outer_one(tasks: SimpleNamespace) -> None:
    outer = tasks.identity.s().on_error(tasks.log_error.s())
    result = chord(
        [
            chord([tasks.raising.s(), tasks.add.s(1, 1)], tasks.xsum.s()),
            tasks.add.s(1, 2) | tasks.mul.s(2),
        ],
        outer,
    )()
    run_jobs()
    with pytest.raises(ChordError):
        AsyncResult(result.id).get(timeout=1)
    assert only("tests.log_error").result == result.id


@pytest.mark.django_db
def test_a_cancelled_or_discarded_part_fails_its_chord(tasks: SimpleNamespace) -> None:
    waiting = chord([tasks.add.s(1, 1), tasks.add.s(1, 1)], tasks.xsum.s())()
    operations.cancel(jobs_of("tests.add")[0].id, actor="user:ann")
    moot = chord([tasks.moot.s(), tasks.add.s(1, 1)], tasks.xsum.s())()
    late = (tasks.add.s(1, 1).set(expires=-1) | tasks.add.s(1))()
    workflows.expire(10)
    run_jobs()
    for result in (waiting, moot):
        with pytest.raises(ChordError, match="TaskRevokedError"):
            AsyncResult(result.id).get(timeout=1)
    with pytest.raises(TaskRevokedError):
        AsyncResult(late.id).get(timeout=1)
    assert not jobs_of("tests.xsum")


# --- dead at birth -------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_step_that_cannot_be_started_is_dead_at_birth_and_the_success_before_it_stands(
    tasks: SimpleNamespace,
) -> None:
    result = (tasks.create_user.s("a", "b", "c", "d@e") | tasks.add.s(4) | tasks.mul.s(2))()
    run_jobs()
    assert only("tests.create_user").state == "succeeded"
    dead = only("tests.add")
    assert (dead.state, dead.attempt, dead.error_type) == ("dead", 0, "InvalidPayload")
    assert "x: Input should be a valid integer" in dead.error
    assert dead.payload == {"x": {"username": "a", "email": "d@e"}, "y": 4}
    assert DeadLetter.objects.get().job_id == dead.id
    assert AsyncResult(result.id).failed()
    for handle in (AsyncResult[Any](str(dead.id)), result):
        with pytest.raises(InvalidPayload, match=r"^tests.add cannot take .*x: Input should"):
            handle.get(timeout=1)
    entry = AuditEntry.objects.get(subject_id=str(dead.id))
    assert (entry.action, (entry.detail or {})["state"]) == ("job.enqueued", "dead")

    operations.replay(dead.id, actor="user:ann", payload={"x": 1})
    assert AsyncResult(result.id).state == "PENDING"
    run_jobs()
    assert AsyncResult(result.id).get(timeout=1) == 10


@pytest.mark.django_db
def test_what_is_unknown_or_too_large_by_then_is_dead_at_birth_too(tasks: SimpleNamespace) -> None:
    @job_task(name="tests.large", queue="inventory")
    def large(size: int) -> str:
        return "x" * size

    (tasks.add.s(1, 1) | tasks.reset_buffers.si() | tasks.add.si(1, 1))()
    (large.s(200_000) | tasks.identity.s())()
    (large.s(1_100_000) | tasks.identity.s())()
    tasks.raising.apply_async(link_error=tasks.log_error.s())
    names = ("tests.reset_buffers", "tests.log_error")
    known = {name: (registry().pop(name), current_app.tasks.pop(name)) for name in names}
    run_jobs()
    by_state = {job.state: job for job in jobs_of("tests.identity")}
    assert set(by_state) == {"succeeded", "dead"}
    assert by_state["dead"].error_type == "PayloadTooLarge"
    assert only("tests.reset_buffers").error_type == "UnknownTask"
    assert only("tests.log_error").error_type == "UnknownTask"
    for name, (declared, registered) in known.items():
        registry()[name], current_app.tasks[name] = declared, registered
    operations.replay(only("tests.reset_buffers").id, actor="user:ann")
    run_jobs()
    assert [job.result for job in jobs_of("tests.add")] == [2, 2]


@pytest.mark.django_db
def test_a_chain_is_as_long_as_its_limit_and_no_longer(
    tasks: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weave, "LONGEST_CHAIN", 3)
    steps, step = [tasks.add.si(1, 1)] * 3, tasks.add.step(x=1, y=1)
    calls: list[Callable[[], object]] = [
        lambda: chain(*steps, *steps)(),
        lambda: group(chain(*steps, tasks.add.si(1, 1)), tasks.add.si(1, 1))(),
        lambda: tasks.add.using(follows=[step] * 3).enqueue(x=1, y=1),
    ]
    for call in calls:
        with pytest.raises(EnqueueError, match="A chain has at most 3 steps, not"):
            call()
    assert not Job.objects.exists()
    chain(*steps)()
    tasks.add.using(follows=[step] * 2).enqueue(x=1, y=1)
    run_jobs()
    assert [job.state for job in jobs_of("tests.add")] == ["succeeded"] * 6


@pytest.mark.django_db
def test_a_signature_that_was_given_an_id_is_started_once(tasks: SimpleNamespace) -> None:
    frozen = tasks.mul.s(2)
    frozen.freeze()
    for _ in range(2):
        tasks.add.apply_async((1, 1), link=[frozen, tasks.add.s(1)])
    run_jobs()
    assert sorted(job.state for job in jobs_of("tests.mul")) == ["dead", "succeeded"]
    assert {job.state for job in jobs_of("tests.add")} == {"succeeded"}


# --- replays -------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_handle_that_has_seen_a_failure_keeps_it_and_a_new_one_sees_the_replay(
    tasks: SimpleNamespace,
) -> None:
    stubborn, told = fails_until_told("tests.stubborn")
    old = chord([stubborn.s(1), tasks.identity.s(2)], tasks.xsum.s())()
    run_jobs()
    with pytest.raises(PermanentError, match="not yet"):
        old.get(timeout=1)
    told.append(True)
    operations.replay(only("tests.stubborn").id, actor="user:ann")
    run_jobs()
    with pytest.raises(PermanentError, match="not yet"):
        old.get(timeout=1)
    assert AsyncResult(old.id).get(timeout=1) == 3


@pytest.mark.django_db
def test_a_replay_takes_the_place_of_the_dead_part_and_the_chord_is_completed(
    tasks: SimpleNamespace,
) -> None:
    stubborn, told = fails_until_told("tests.stubborn")
    result = (
        group(tasks.identity.s(0), stubborn.s(1), stubborn.s(2), tasks.identity.s(3))
        | tasks.identity.s()
        | tasks.xsum.s()
    )()
    run_jobs()
    told.append(True)
    first, second = jobs_of("tests.stubborn")
    replay = operations.replay(first.id, actor="user:ann")
    run_jobs()
    assert (replay.root_id, replay.group_index) == (first.root_id, first.group_index)
    assert AsyncResult(result.id).state == "FAILURE", "another part is still dead"
    operations.replay(second.id, actor="user:ann")
    assert AsyncResult(result.id).state == "PENDING"
    run_jobs()
    assert jobs_of("tests.identity")[-1].result == [0, 1, 2, 3]
    assert AsyncResult(result.id).get(timeout=1) == 6
    assert TaskResult.objects.get(task_id=result.id).status == "SUCCESS"


@pytest.mark.django_db
def test_a_replay_of_a_replay_counts_once_whatever_the_shape_of_the_header(
    tasks: SimpleNamespace,
) -> None:
    stubborn, told = fails_until_told("tests.stubborn")
    result = chord(
        [
            chain(tasks.add.s(1, 1), group(stubborn.s(), tasks.add.s(1))),
            chain(stubborn.s(5), tasks.add.s(5)),
        ],
        tasks.identity.s(),
    )()
    run_jobs()
    assert Group.objects.get().failures == 2
    (head,) = [job for job in jobs_of("tests.stubborn") if job.payload == {"x": 5}]
    again = operations.replay(head.id, actor="user:ann")
    run_jobs()
    assert Group.objects.get().failures == 2
    told.append(True)
    operations.replay(again.id, actor="user:ann")
    tail = next(job for job in jobs_of("tests.stubborn") if job.payload == {"x": 2})
    operations.replay(tail.id, actor="user:ann")
    run_jobs()
    assert AsyncResult(result.id).get(timeout=1) == [[2, 3], 10]
    assert Group.objects.get().pending == 0


# --- settlements ---------------------------------------------------------------------------------


@pytest.mark.django_db
def test_what_follows_commits_with_the_success_or_not_at_all(tasks: SimpleNamespace) -> None:
    (tasks.count_units.s(warehouse=1) | tasks.count_units.s(warehouse=2))()
    with connection.cursor() as cursor:  # the settlement breaks after it has started what follows
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'refused'; END $$"
        )
        cursor.execute(
            "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON jobs_job INITIALLY DEFERRED "
            "FOR EACH ROW WHEN (NEW.payload->>'warehouse' = '2') EXECUTE FUNCTION refuse()"
        )
        cursor.execute("SET CONSTRAINTS refuse IMMEDIATE")
    run_jobs()
    (first,) = jobs_of("tests.count_units")
    assert (first.state, first.failures) == ("scheduled", 1)


def test_the_parts_of_a_chord_that_end_at_the_same_moment_count_once_each(
    tasks: SimpleNamespace, live: Live
) -> None:
    result = chord([tasks.add.s(i, i) for i in range(8)], tasks.xsum.s())()
    ids: list[UUID] = [job.id for job in jobs_of("tests.add")]
    at_once(*(lambda id_=id_: run_job(id_) for id_ in ids))
    assert Group.objects.get().pending == 0
    run_jobs()
    assert len(jobs_of("tests.xsum")) == 1
    assert result.get(timeout=1) == 56


@pytest.mark.django_db
def test_a_header_of_many_is_counted_by_few_statements(
    tasks: SimpleNamespace, django_assert_max_num_queries: Any
) -> None:
    result = chord([tasks.identity.s(i) for i in range(100)], tasks.xsum.s())()
    claimed = transitions.claim([job.id for job in jobs_of("tests.identity")], worker=None)
    done = [
        (job, Settlement(id=job.id, lease=job.lease, move=Move.SUCCEEDED, result=job.payload["x"]))
        for job in claimed
    ]
    transitions.settle([settlement for _, settlement in done])
    with django_assert_max_num_queries(8):
        workflows.start_next(done)
    run_jobs()
    assert result.get(timeout=1) == sum(range(100))


@pytest.mark.django_db
def test_a_follow_up_of_a_waiting_state_starts_nothing(tasks: SimpleNamespace) -> None:
    (tasks.add.s(1, 1) | tasks.add.s(1))()
    workflows.go_on([only("tests.add").id])
    assert Job.objects.get().state == State.QUEUED


@pytest.mark.django_db
def test_a_job_that_dies_with_its_worker_ends_its_workflow_as_any_other(
    tasks: SimpleNamespace,
) -> None:
    result = tasks.add.apply_async((1, 1), link_error=tasks.log_error.s())
    (job,) = transitions.claim([UUID(result.id)], worker=None)
    died = Settlement(
        id=job.id,
        lease=job.lease,
        move=Move.DIED,
        crashes=1,
        reason=DeadLetter.Reason.CRASHED,
        error_type="WorkerLost",
        error="its process is gone",
    )
    workflows.settle([died], actor="lifeline")
    run_jobs()
    assert only("tests.log_error").result == result.id


@pytest.mark.django_db
def test_a_part_given_back_that_nobody_wants_fails_its_chord(tasks: SimpleNamespace) -> None:
    result = chord([tasks.add.s(1, 1)], tasks.xsum.s())()
    (job,) = transitions.claim([only("tests.add").id], worker=None)
    operations.cancel(job.id, actor="user:ann")
    workflows.settle([Settlement(id=job.id, lease=job.lease, move=Move.RELEASED)])
    assert only("tests.add").state == "cancelled"
    assert AsyncResult(result.id).failed()


def test_a_cancellation_and_a_success_at_the_same_moment_leave_nothing_waiting(
    tasks: SimpleNamespace, live: Live
) -> None:
    for _ in range(10):
        result = (tasks.add.s(1, 1) | tasks.add.s(1) | tasks.add.s(1))()
        workflow_id = UUID(result.workflow_id)
        (first,) = Job.objects.filter(root_id=workflow_id)
        at_once(
            lambda first=first: run_job(first.id),  # type: ignore[misc]
            lambda id_=workflow_id: operations.cancel_workflow(id_, actor="user:ann"),  # type: ignore[misc]
        )
        states = set(Job.objects.filter(root_id=workflow_id).values_list("state", flat=True))
        assert states <= {"succeeded", "cancelled"}
        waited_for: Any = AsyncResult(result.id)
        assert waited_for.state == "REVOKED"


@pytest.mark.django_db
def test_revoking_a_result_cancels_its_jobs(tasks: SimpleNamespace) -> None:
    result = group(tasks.add.s(1, 1), tasks.add.s(2, 2))()
    run_job(UUID(result.results[0].id))
    result.revoke()
    AsyncResult("no id of ours").revoke(terminate=True)
    assert [job.state for job in Job.objects.order_by("group_index")] == ["succeeded", "cancelled"]
    assert AuditEntry.objects.get(action="job.cancelled").actor == "system"


@pytest.mark.django_db
def test_a_workflow_is_pruned_as_a_whole_and_leaves_nothing_behind(tasks: SimpleNamespace) -> None:
    (group(tasks.add.s(1, 1), tasks.raising.s()) | tasks.xsum.s() | tasks.add.s(1))()
    run_jobs()
    assert check_audit().findings == []
    old = Now() - timedelta(days=400)
    Job.objects.update(finished_at=old)
    Workflow.objects.update(created_at=old)
    Group.objects.update(created_at=old)
    TaskResult.objects.update(date_done=old)
    pruner.prune()
    assert Job.objects.count() == 2, "its dead part waits for a person"
    DeadLetter.objects.update(decision="discarded", decided_at=old)
    pruner.prune()
    for rows in (Job, Workflow, Group, TaskResult):
        assert not rows.objects.exists()


@pytest.mark.django_db
def test_a_step_that_was_dead_at_birth_is_mended_on_its_page(
    tasks: SimpleNamespace, client: Client
) -> None:
    (tasks.create_user.s("a", "b", "c", "d@e") | tasks.add.s(4, 5, 6))()
    run_jobs()
    dead = only("tests.add")
    assert dead.payload == {"args": [{"username": "a", "email": "d@e"}, 4, 5, 6]}
    client.force_login(make_operator())
    page = reverse("queues:edit", args=[dead.id])
    assert client.get(page).status_code == 200
    client.post(page, {"arg-x": "1", "arg-y": "2"})
    run_jobs()
    assert [job.result for job in jobs_of("tests.add")] == [None, 3]
