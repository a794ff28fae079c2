"""What a person can do to jobs and queues, and what each refusal says."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import redis
from pydantic import SecretStr

from jobs import audit, gates, job_task, operations
from jobs.errors import InvalidPayload, NotPossible, UnknownLimit, UnknownQueue
from jobs.models import AuditEntry, DeadLetter, Job, LimitOverride, QueueState
from jobs.states import State
from jobs.tasks import probe
from jobs.testing import enqueued_jobs, run_jobs
from tests.jobs.stages import actions, and_undo, claim, everything_about, put_into

pytestmark = pytest.mark.django_db

ANN = "user:ann"


def dead(**arguments: object) -> Job:
    """Return a job of the probe that died."""
    job = probe.using(tenant="acme").enqueue(
        **{"label": "x", "fail_permanently": True, **arguments}  # type: ignore[arg-type]
    )
    run_jobs()
    return Job.objects.get(id=job.id)


# --- cancelling ----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.SCHEDULED, State.AVAILABLE, State.QUEUED])
def test_a_waiting_job_is_cancelled_at_once(state: State) -> None:
    job = put_into(state)
    operations.cancel(job.id, actor=ANN)
    assert job.state == State.CANCELLED
    assert AuditEntry.objects.get(action="job.cancelled").actor == ANN
    assert run_jobs() == []


def test_a_running_job_is_asked_to_end() -> None:
    job = put_into(State.RUNNING)
    operations.cancel(job.id, actor=ANN)
    assert job.state == State.RUNNING
    assert Job.objects.get(id=job.id).cancel_requested_at is not None
    assert actions(job.id)[-1] == "job.cancel_requested"


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.CANCELLED, State.DEAD])
def test_a_finished_job_cannot_be_cancelled(state: State) -> None:
    job = put_into(state)
    before = everything_about(job.id)
    with pytest.raises(NotPossible) as refused:
        operations.cancel(job.id, actor=ANN)
    assert str(refused.value) == f"The job is {state} already; it cannot be cancelled."
    assert everything_about(job.id) == before


# --- running sooner ------------------------------------------------------------------------------


def test_a_scheduled_job_is_run_now() -> None:
    job = put_into(State.SCHEDULED)
    operations.hasten(job.id, actor=ANN)
    assert job.state == State.AVAILABLE
    assert AuditEntry.objects.get(action="job.hastened").actor == ANN
    assert claim(job.id).attempt == 1


@pytest.mark.parametrize("state", [state for state in State if state != State.SCHEDULED])
def test_only_a_scheduled_job_can_be_run_sooner(state: State) -> None:
    job = put_into(state)
    before = everything_about(job.id)
    with pytest.raises(NotPossible) as refused:
        operations.hasten(job.id, actor=ANN)
    assert str(refused.value) == f"The job is {state}; only a scheduled job can be run sooner."
    assert everything_about(job.id) == before


def test_an_unknown_job_is_named() -> None:
    job_id = uuid4()
    acts: list[Callable[..., object]] = [
        operations.cancel,
        operations.hasten,
        operations.replay,
        operations.discard,
    ]
    for act in acts:
        with pytest.raises(NotPossible, match=f"There is no job {job_id}."):
            act(job_id, actor=ANN)


# --- replaying -----------------------------------------------------------------------------------


def test_a_replay_is_a_new_job_with_fresh_attempts_and_the_dead_one_stays() -> None:
    job = dead()
    before = Job.objects.filter(id=job.id).values().get()
    replay = operations.replay(job.id, actor=ANN)
    new = Job.objects.get(id=replay.id)
    assert new.id != job.id
    assert (new.replay_of_id, new.payload, new.queue, new.tenant, new.correlation_id) == (
        job.id,
        job.payload,
        job.queue,
        "acme",
        job.correlation_id,
    )
    assert (new.attempt, new.failures, new.state) == (0, 0, "queued")
    assert Job.objects.filter(id=job.id).values().get() == before
    letter = DeadLetter.objects.get(job=job)
    assert (letter.decision, letter.decided_by, letter.replayed_as_id) == ("replayed", ANN, new.id)
    assert letter.decided_at is not None
    decided = AuditEntry.objects.get(action="letter.replayed")
    assert (decided.actor, decided.subject_id, decided.tenant) == (ANN, str(job.id), "acme")
    assert decided.detail == {"replayed_as": str(new.id)}


def test_a_replay_may_change_some_arguments_and_keeps_the_others() -> None:
    job = dead(sleep_ms=1)
    operations.replay(job.id, actor=ANN, payload={"fail_permanently": False})
    (new,) = enqueued_jobs(probe)
    assert new.payload == {**job.payload, "fail_permanently": False}
    run_jobs()
    assert Job.objects.get(id=new.id).state == "succeeded"


def test_changed_arguments_are_checked_and_a_refusal_leaves_the_letter_undecided() -> None:
    job = dead()
    for changed, field in (({"sleep_ms": "5"}, "sleep_ms"), ({"lable": "x"}, "lable")):
        with pytest.raises(InvalidPayload) as refused:
            operations.replay(job.id, actor=ANN, payload=changed)
        assert list(refused.value.problems) == [field]
    assert DeadLetter.objects.get(job=job).decision == ""
    assert enqueued_jobs() == []


def test_secrets_go_along_with_a_replay_even_when_their_mask_comes_back_with_the_others() -> None:
    seen: list[tuple[str, str]] = []

    @job_task(name="tests.reset", queue="imports")
    def reset(*, to: str, link: SecretStr) -> None:
        seen.append((to, link.get_secret_value()))
        if to == "broken":
            raise ValueError("broken")

    for payload in (None, {"to": "whole"}, {"to": "whole", "link": "**********"}):
        job = reset.enqueue(to="broken", link=SecretStr("t0ken"))
        run_jobs()
        operations.replay(job.id, actor=ANN, payload=payload)
        run_jobs()
    assert seen[1::2] == [("broken", "t0ken"), ("whole", "t0ken"), ("whole", "t0ken")]
    seen.clear()
    job = reset.enqueue(to="broken", link=SecretStr("t0ken"))
    run_jobs()
    operations.replay(job.id, actor=ANN, payload={"to": "whole", "link": "another"})
    run_jobs()
    assert seen[1] == ("whole", "another")


def test_a_replay_that_dies_again_can_be_replayed_again() -> None:
    job = dead()
    replay = operations.replay(job.id, actor=ANN)
    run_jobs()
    again = operations.replay(replay.id, actor=ANN, payload={"fail_permanently": False})
    run_jobs()
    assert Job.objects.get(id=again.id).state == "succeeded"
    assert again.replay_of_id == replay.id


@pytest.mark.parametrize("act", [operations.replay, operations.discard])
def test_a_dead_letter_is_decided_once(act: Callable[..., object]) -> None:
    job = dead()
    operations.discard(job.id, actor="user:bob", note="the customer is gone")
    with pytest.raises(NotPossible) as refused:
        act(job.id, actor=ANN)
    assert str(refused.value) == "The dead letter was discarded already, by user:bob."
    other = dead()
    operations.replay(other.id, actor="user:bob")
    with pytest.raises(NotPossible) as refused:
        act(other.id, actor=ANN)
    assert str(refused.value) == "The dead letter was replayed already, by user:bob."


@pytest.mark.parametrize("act", [operations.replay, operations.discard])
@pytest.mark.parametrize("state", [state for state in State if state != State.DEAD])
def test_only_a_dead_job_can_be_decided(state: State, act: Callable[..., object]) -> None:
    job = put_into(state)
    before = everything_about(job.id)
    with pytest.raises(NotPossible) as refused:
        act(job.id, actor=ANN)
    assert str(refused.value) == f"The job is {state}, not dead."
    assert everything_about(job.id) == before


def test_a_discarded_letter_says_why_and_the_job_stays_dead() -> None:
    job = dead()
    operations.discard(job.id, actor=ANN, note="the customer is gone")
    letter = DeadLetter.objects.get(job=job)
    assert (letter.decision, letter.decided_by, letter.replayed_as_id) == ("discarded", ANN, None)
    entry = AuditEntry.objects.get(action="letter.discarded")
    assert (entry.actor, entry.detail) == (ANN, {"note": "the customer is gone"})
    assert Job.objects.get(id=job.id).state == "dead"


# --- queues --------------------------------------------------------------------------------------


def test_a_paused_queue_starts_nothing_until_it_is_resumed() -> None:
    job = probe.using(queue="email").enqueue(label="x")
    operations.pause_queue("email", actor=ANN)
    state = QueueState.objects.get(name="email")
    assert (state.paused_by, state.paused_at is not None) == (ANN, True)
    assert run_jobs() == []
    operations.resume_queue("email", actor=ANN)
    assert [ran.id for ran in run_jobs()] == [job.id]
    queue = AuditEntry.objects.filter(subject_type="queue").order_by("id")
    assert [(entry.action, entry.subject_id, entry.actor) for entry in queue] == [
        ("queue.paused", "email", ANN),
        ("queue.resumed", "email", ANN),
    ]


def test_a_running_job_of_a_paused_queue_ends_as_it_would() -> None:
    @job_task(name="tests.pausing", queue="email")
    def pausing() -> None:
        operations.pause_queue("email", actor=ANN)

    job = pausing.enqueue()
    run_jobs()
    assert Job.objects.get(id=job.id).state == "succeeded"


def test_pausing_twice_and_resuming_what_is_not_paused_are_refused() -> None:
    with pytest.raises(NotPossible) as refused:
        operations.resume_queue("email", actor=ANN)
    assert str(refused.value) == "The queue 'email' is not paused."
    operations.pause_queue("email", actor="user:bob")
    with pytest.raises(NotPossible) as refused:
        operations.pause_queue("email", actor=ANN)
    assert str(refused.value) == "The queue 'email' is paused already."
    assert QueueState.objects.get(name="email").paused_by == "user:bob"


def test_an_unknown_queue_is_answered_with_the_nearest_name() -> None:
    for act in (operations.pause_queue, operations.resume_queue):
        with pytest.raises(UnknownQueue, match=r"Did you mean 'email'\?"):
            act("emial", actor=ANN)


def test_a_resumed_queue_rings_for_its_own_jobs_that_are_due(
    broker: redis.Redis, django_capture_on_commit_callbacks: Any
) -> None:
    for queue in ("email", "pdf"):
        probe.using(queue=queue).enqueue(label="x")
    probe.using(queue="email", delay=timedelta(hours=1)).enqueue(label="x")
    operations.pause_queue("email", actor=ANN)
    with django_capture_on_commit_callbacks(execute=True):
        operations.resume_queue("email", actor=ANN)
    assert (broker.llen("email"), broker.llen("pdf")) == (1, 0)


def test_an_act_that_is_rolled_back_never_was() -> None:
    job = dead()
    before = everything_about(job.id)
    and_undo(lambda: operations.replay(job.id, actor=ANN))
    and_undo(lambda: operations.discard(job.id, actor=ANN))
    and_undo(lambda: operations.pause_queue("email", actor=ANN))
    assert everything_about(job.id) == before
    assert not QueueState.objects.filter(paused_at__isnull=False).exists()
    assert enqueued_jobs() == []


def test_the_longest_user_name_fits_the_audit_log() -> None:
    from jobs.permissions import actor_of
    from tenants.models import User

    actor = actor_of(User(username="n" * 150))
    audit.record(action="tests.looked", subject_type="test", subject_id="7", actor=actor)
    operations.cancel(put_into(State.QUEUED).id, actor=actor)
    assert AuditEntry.objects.get(action="job.cancelled").actor == f"user:{'n' * 145}"


# --- limits --------------------------------------------------------------------------------------


def test_a_limit_that_was_set_is_put_back_and_the_audit_log_has_both() -> None:
    operations.set_limit("email/rate", 7, actor=ANN)
    operations.reset_limit("email/rate", actor=ANN)
    limit = gates.declared()["email/rate"]
    assert gates.value_of("email/rate", limit) == 100
    told = AuditEntry.objects.filter(subject_type="limit").order_by("id")
    assert list(told.values_list("action", "actor", "detail")) == [
        ("limit.changed", ANN, {"value": 7, "was": 100}),
        ("limit.reset", ANN, {"value": 100, "was": 7}),
    ]


def test_a_limit_that_nobody_set_cannot_be_put_back() -> None:
    with pytest.raises(NotPossible, match="Nobody changed"):
        operations.reset_limit("email/rate", actor=ANN)
    with pytest.raises(UnknownLimit, match="Did you mean"):
        operations.reset_limit("emial/rate", actor=ANN)


def test_what_was_set_for_a_limit_that_is_no_longer_declared_can_be_taken_back() -> None:
    LimitOverride.objects.create(name="tests.gone/rate", value=3, changed_by=ANN)
    operations.reset_limit("tests.gone/rate", actor=ANN)
    assert not LimitOverride.objects.exists()


@pytest.mark.parametrize("value", [-1, operations.HIGHEST_LIMIT + 1, 10**12])
def test_a_limit_out_of_bounds_is_refused(value: int) -> None:
    with pytest.raises(NotPossible, match="from 0 to"):
        operations.set_limit("email/rate", value, actor=ANN)


def test_a_limit_that_the_settings_switch_off_is_not_set_in_vain(
    conf: Callable[..., None],
) -> None:
    conf(LIMITS={"email/rate": None})
    with pytest.raises(NotPossible, match="JOBS_LIMITS switches email/rate off"):
        operations.set_limit("email/rate", 7, actor=ANN)
