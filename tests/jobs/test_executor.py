"""Claim, run, settle: what becomes of a body's work, whatever the body does."""

import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from celery.exceptions import Ignore, Retry
from cryptography.fernet import Fernet
from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction
from django.db.models.functions import Now
from pydantic import SecretStr

from jobs import audit, current_job, job_task, operations, transitions
from jobs.errors import Discard, InvalidPayload, LeaseLost, PermanentError, RetryLater
from jobs.executor import JobFailed, answer_message, carry, take_turn
from jobs.models import Attempt, AuditEntry, DeadLetter, Job, Priority, QueueState
from jobs.pace import pace
from jobs.queues import QUEUES
from jobs.records import Settlement
from jobs.states import Move, State
from jobs.task import JobTask
from jobs.tasks import probe
from jobs.testing import enqueued_jobs, run_jobs
from tests.conftest import Live, query
from tests.jobs.stages import actions, at_once, everything_about, put_into

QUEUE = "imports"  # one attempt: a failed job is dead at once


def write(name: str) -> None:
    """Leave a row that tells whether the body's transaction was committed."""
    QueueState.objects.create(name=name)


def written() -> set[str]:
    return set(QueueState.objects.values_list("name", flat=True))


def failing_once(body: Callable[[int], object], **options: Any) -> JobTask[[], object]:
    """Declare a task whose body is told its attempt."""

    @job_task(name="tests.failing_once", queue="email", **options)
    def task() -> object:
        running = current_job()
        assert running is not None
        return body(running.attempt)

    return task


def ended(task: Any, **arguments: Any) -> Job:
    """Enqueue and run one job; return its row."""
    job_id = task.enqueue(**arguments).id
    run_jobs()
    return Job.objects.get(id=job_id)


# --- results -------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    "result", [None, 0, "", [], {"sent": 3}, [1, None, {"a": "Ζ"}], "a \\u0000 told of"]
)
def test_what_the_body_returns_is_kept_as_the_result(result: Any) -> None:
    job = ended(failing_once(lambda _: result))
    assert (job.state, job.result, job.error) == ("succeeded", result, "")
    assert job.finished_at is not None


@pytest.mark.django_db
@pytest.mark.parametrize(
    "result",
    [Decimal("1.5"), {1, 2}, object(), float("nan"), {"a": [float("inf")]}, "a\x00b", "\ud800"],
)
@pytest.mark.parametrize("atomic", [False, True])
def test_a_result_that_cannot_be_kept_is_a_permanent_error(result: Any, atomic: bool) -> None:
    job = ended(failing_once(lambda _: result, atomic=atomic))
    assert (job.state, job.error_type) == ("dead", "PermanentError")
    assert job.error == (
        f"tests.failing_once returned {type(result).__name__}, which JSON cannot hold"
    )


@pytest.mark.django_db
def test_a_result_that_contains_itself_or_nests_without_end_is_a_permanent_error() -> None:
    circular: list[Any] = []
    circular.append(circular)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]

    @job_task(name="tests.endless", queue="email")
    def endless(*, which: int) -> Any:
        return (circular, deep)[which]

    for which in (0, 1):
        assert ended(endless, which=which).error_type == "PermanentError"


# --- failing -------------------------------------------------------------------------------------


class Broken(Exception):
    """The body broke."""


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("error", "state", "outcome", "letters"),
    [
        (Broken("once"), "scheduled", "failed", 0),
        (SoftTimeLimitExceeded(), "scheduled", "failed", 0),
        (AssertionError(), "scheduled", "failed", 0),
        (PermanentError("never"), "dead", "failed", 1),
        (Discard("no longer"), "cancelled", "discarded", 0),
        (RetryLater("later", after=timedelta(minutes=5)), "scheduled", "snoozed", 0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
@pytest.mark.parametrize("atomic", [False, True])
def test_the_kind_of_error_decides_what_becomes_of_the_job(
    error: Exception, state: str, outcome: str, letters: int, atomic: bool
) -> None:
    def body(_: int) -> None:
        raise error

    job = ended(failing_once(body, atomic=atomic))
    assert (job.state, job.error_type) == (state, type(error).__name__)
    assert Attempt.objects.get(job=job).outcome == outcome
    assert DeadLetter.objects.filter(job=job).count() == letters


@pytest.mark.django_db
@pytest.mark.parametrize("atomic", [False, True])
def test_an_error_that_cannot_even_be_told_is_settled_all_the_same(atomic: bool) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    class Odd(Exception):
        pass

    Odd.__name__ = "Ö" * 500
    for error in (Mute(), Odd("\ud800 a\x00b"), Odd(b"\xff"), Odd("x" * 100_000)):

        @job_task(name=f"tests.odd_{id(error)}", queue=QUEUE, atomic=atomic)
        def task() -> None:
            raise error  # noqa: B023

        assert ended(task).state == "dead"


@pytest.mark.django_db
def test_a_job_fails_until_its_attempts_are_used_then_dies_with_one_letter() -> None:
    job = probe.using(queue="pdf").enqueue(label="x", fail_times=9)
    run_jobs(retries=True)
    assert list(Attempt.objects.filter(job=job).values_list("number", "outcome")) == [
        (1, "failed"),
        (2, "failed"),
        (3, "failed"),
    ]
    assert DeadLetter.objects.get(job=job).reason == "exhausted"
    kept = Job.objects.get(id=job.id)
    assert (kept.failures, kept.attempt, kept.error_type) == (3, 3, "ProbeFailed")
    assert actions(job.id)[-1] == "job.died"


@pytest.mark.django_db
def test_a_success_wipes_the_error_of_the_attempt_before_but_the_attempt_keeps_it() -> None:
    def body(attempt: int) -> str:
        if attempt == 1:
            raise Broken("at first")
        return "well"

    job = failing_once(body).enqueue()
    run_jobs(retries=True)
    kept = Job.objects.get(id=job.id)
    assert (kept.state, kept.result, kept.error, kept.error_type) == ("succeeded", "well", "", "")
    first, second = Attempt.objects.filter(job=job)
    assert (first.error, second.error) == ("at first", "")
    assert "Broken: at first" in first.traceback


@pytest.mark.django_db
def test_a_task_that_no_longer_exists_ends_as_a_dead_letter_that_names_it() -> None:
    job = probe.enqueue(label="x")
    Job.objects.filter(id=job.id).update(task="jobs.prob")
    run_jobs()
    letter = DeadLetter.objects.get(job_id=job.id)
    assert (letter.reason, letter.error) == (
        "permanent",
        "Unknown task 'jobs.prob'. Did you mean 'jobs.probe'?",
    )


@pytest.mark.django_db
def test_arguments_that_no_longer_fit_end_as_a_dead_letter_and_the_body_does_not_run() -> None:
    job = probe.enqueue(label="x")
    Job.objects.filter(id=job.id).update(payload={"label": 5})
    run_jobs()
    letter = DeadLetter.objects.get(job_id=job.id)
    assert letter.reason == "permanent"
    assert "label: Input should be a valid string" in letter.error


@pytest.mark.django_db
def test_a_secret_reaches_the_body_and_no_row_tells_it_when_the_body_breaks() -> None:
    seen: list[str] = []

    @job_task(name="tests.reset", queue=QUEUE)
    def reset(*, link: SecretStr) -> None:
        seen.append(link.get_secret_value())
        raise Broken(f"the server refused {link.get_secret_value()}")

    secret = "https://erp.example/reset/" + "t0ken"
    job = reset.enqueue(link=SecretStr(secret))
    run_jobs()
    assert seen == [secret]
    assert Job.objects.get(id=job.id).error == "the server refused **********"
    told = str(everything_about(job.id))
    assert "the server refused **********" in told
    assert secret not in told


@pytest.mark.django_db
def test_without_its_key_a_secret_job_is_a_dead_letter_and_replays_when_the_key_is_back(
    conf: Callable[..., None],
) -> None:
    @job_task(name="tests.reset", queue="email")
    def reset(*, link: SecretStr) -> int:
        return len(link.get_secret_value())

    key = Fernet.generate_key().decode()
    conf(ENCRYPTION_KEYS=[key])
    job = reset.enqueue(link=SecretStr("secret"))
    conf(ENCRYPTION_KEYS=[Fernet.generate_key().decode()])
    run_jobs()
    letter = DeadLetter.objects.get(job_id=job.id)
    assert (letter.reason, letter.error) == (
        "permanent",
        "The secret arguments cannot be decrypted: no key of JOBS_ENCRYPTION_KEYS fits.",
    )
    conf(ENCRYPTION_KEYS=[Fernet.generate_key().decode(), key])
    replay = operations.replay(job.id, actor="user:ann")
    run_jobs()
    assert Job.objects.get(id=replay.id).result == 6


# --- transactions --------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_failed_atomic_body_leaves_nothing_of_its_work() -> None:
    def body(attempt: int) -> None:
        write(f"attempt {attempt}")
        audit.record(action="tests.written", subject_type="test", subject_id=str(attempt))
        probe.enqueue(label=f"attempt {attempt}")
        if attempt == 1:
            raise Broken("after the work")

    task = failing_once(body, atomic=True)
    job = task.enqueue()
    run_jobs()
    assert (written(), enqueued_jobs(probe)) == (set(), [])
    assert not AuditEntry.objects.filter(action="tests.written").exists()
    Job.objects.filter(id=job.id).update(scheduled_at=Now())
    transitions.hasten(job.id, actor="user:ann")
    run_jobs()
    assert written() == {"attempt 2"}
    assert AuditEntry.objects.get(action="tests.written").actor == f"job:{job.id}"
    assert Job.objects.get(task="jobs.probe").payload["label"] == "attempt 2"


@pytest.mark.django_db
def test_a_failed_body_that_is_not_atomic_leaves_what_it_did() -> None:
    def body(attempt: int) -> None:
        write(f"attempt {attempt}")
        if attempt == 1:
            raise Broken("after the work")

    failing_once(body).enqueue()
    run_jobs(retries=True)
    assert written() == {"attempt 1", "attempt 2"}


@pytest.mark.processes
def test_nobody_sees_an_atomic_body_s_work_before_the_job_has_succeeded(live: Live) -> None:
    seen: list[tuple[set[str], str]] = []

    def look() -> tuple[set[str], str]:
        ((names, state),) = at_once(lambda: (written(), Job.objects.get(id=job.id).state))
        return names, state

    def body(_: int) -> None:
        write("done")
        seen.append(look())

    job = failing_once(body, atomic=True).enqueue()
    carry([job.id], worker=None)
    assert [*seen, look()] == [(set(), "running"), ({"done"}, "succeeded")]


@pytest.mark.processes
@pytest.mark.parametrize("atomic", [False, True])
def test_a_body_that_breaks_its_own_transaction_or_connection_is_settled(
    live: Live, atomic: bool
) -> None:
    def swallow(_: int) -> None:
        with suppress(DatabaseError):
            query("SELECT 1 / 0")
        write("after")

    def undo(_: int) -> None:
        with transaction.atomic():
            write("undone")
            transaction.set_rollback(True)
        if atomic:
            transaction.set_rollback(True)

    def hang_up(_: int) -> None:
        connection.close()

    def cut(_: int) -> None:
        query("SELECT pg_terminate_backend(pg_backend_pid())")

    for number, body in enumerate((swallow, undo, hang_up, cut)):

        @job_task(name=f"tests.rude_{number}", queue="email", atomic=atomic)
        def task() -> None:
            body(0)  # noqa: B023

        job = task.enqueue()
        carry([job.id], worker=None)
        kept = Job.objects.get(id=job.id)
        failed = atomic or body is cut
        assert kept.state == ("scheduled" if failed else "succeeded"), (body, kept.error)
        assert Attempt.objects.get(job=job).outcome == ("failed" if failed else "succeeded")
        assert not connection.in_atomic_block
    assert written() == (set() if atomic else {"after"})


@pytest.mark.django_db
def test_a_constraint_that_refuses_the_body_s_work_is_a_failure_like_any_other() -> None:
    def body(_: int) -> None:
        write("twice")
        write("twice")

    job = ended(failing_once(body, atomic=True))
    assert (job.state, job.error_type) == ("scheduled", IntegrityError.__name__)
    assert written() == set()


# --- losing the lease ----------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("atomic", [False, True])
def test_a_body_that_outlived_its_lease_changes_nothing_by_its_end(atomic: bool) -> None:
    after: list[Any] = []

    def body(attempt: int) -> str:
        running = current_job()
        assert running is not None
        if attempt == 1:
            taken = Settlement(id=running.id, lease=running.lease, move=Move.CRASHED, crashes=1)
            if not atomic:  # the lifeline, meanwhile; seen from inside it would be rolled back
                transitions.settle([taken])
                after.append(everything_about(running.id))
            else:
                raise LeaseLost
        return f"of attempt {attempt}"

    job = failing_once(body, atomic=atomic).enqueue()
    assert carry([job.id], worker=None) == []
    if not atomic:
        assert [everything_about(job.id)] == after


@pytest.mark.processes
def test_a_zombie_s_atomic_work_is_rolled_back_with_its_settlement(live: Live) -> None:
    def body(attempt: int) -> None:
        write(f"attempt {attempt}")
        if attempt == 1:
            running = current_job()
            assert running is not None
            taken = Settlement(id=running.id, lease=running.lease, move=Move.CRASHED, crashes=1)
            assert at_once(lambda: transitions.settle([taken])) == [{running.id}]

    job = failing_once(body, atomic=True).using(follows=[probe.step(label="next")]).enqueue()
    assert carry([job.id], worker=None) == []
    assert written() == set()
    assert Job.objects.count() == 1
    (settlement,) = carry([job.id], worker=None)
    assert settlement.move == Move.SUCCEEDED
    assert written() == {"attempt 2"}
    outcomes = Attempt.objects.filter(job=job).values_list("number", "outcome")
    assert list(outcomes) == [(1, "crashed"), (2, "succeeded")]


# --- carrying lists, and answering messages ------------------------------------------------------


@pytest.mark.django_db
def test_a_list_of_jobs_is_carried_and_one_failure_does_not_touch_the_others() -> None:
    good = probe.enqueue(label="good")
    bad = probe.enqueue(label="bad", fail_permanently=True)
    done = put_into(State.SUCCEEDED)
    settlements = carry([good.id, bad.id, done.id], worker=None)
    assert {settlement.id: settlement.move for settlement in settlements} == {
        good.id: Move.SUCCEEDED,
        bad.id: Move.DIED,
    }


@pytest.mark.django_db
def test_celery_is_told_when_the_job_of_a_message_died_and_a_caller_how_it_ended() -> None:
    def body(_: int) -> None:
        raise Discard("no longer")

    discarding = failing_once(body)
    for queue in ("maintenance", None):
        answer_message(str(probe.enqueue(label="x").id), queue)
        with pytest.raises(JobFailed):
            answer_message(str(probe.enqueue(label="x", fail_permanently=True).id), queue)
    answer_message(str(probe.enqueue(label="x", fail_times=1).id), "maintenance")
    answer_message(str(discarding.enqueue().id), "email")
    answer_message(str(uuid4()), "maintenance")  # nothing is due
    with pytest.raises(Retry):
        answer_message(str(probe.enqueue(label="x", fail_times=1).id), None)
    with pytest.raises(Ignore):
        answer_message(str(discarding.enqueue().id), None)
    with pytest.raises(Ignore):
        answer_message(str(uuid4()), None)


@pytest.mark.django_db
def test_a_message_leads_to_the_job_whose_turn_it_is_and_the_next_one_to_its_own() -> None:
    normal = probe.using(queue="reports").enqueue(label="normal")
    critical = probe.using(queue="reports", priority=Priority.CRITICAL).enqueue(label="critical")
    (first,) = take_turn("reports", worker=None, seconds=0)
    assert first.id == critical.id
    answer_message(str(normal.id), "reports")
    assert Job.objects.get(id=normal.id).state == "succeeded"


@pytest.mark.django_db
def test_the_body_knows_which_job_it_is_and_no_other_code_does() -> None:
    known: list[Any] = []

    @job_task(name="tests.curious", queue="email")
    def curious() -> None:
        running = current_job()
        assert running is not None
        known.append((running.id, running.task, running.queue, running.tenant, running.attempt))

    job = curious.using(tenant="acme").enqueue()
    run_jobs()
    assert known == [(job.id, "tests.curious", "email", "acme", 1)]
    assert current_job() is None


@pytest.mark.django_db
def test_the_attempts_of_a_queue_are_the_attempts_of_its_jobs() -> None:
    for name in QUEUES:
        assert probe.using(queue=name).enqueue(label="x").max_attempts == QUEUES[name].attempts


def test_the_errors_of_enqueueing_do_not_end_a_job_for_good() -> None:
    assert not issubclass(InvalidPayload, PermanentError)


@pytest.mark.django_db
def test_a_body_that_calls_sys_exit_has_failed_and_ends_no_worker() -> None:
    @job_task(name="tests.leave", queue="email")
    def leave() -> None:
        sys.exit(3)

    job = leave.enqueue()
    run_jobs()
    attempt = Attempt.objects.get(job_id=job.id)
    assert (attempt.outcome, attempt.error_type) == ("failed", "TaskExited")


@pytest.mark.django_db
def test_what_a_person_wanted_cancelled_is_not_retried_when_it_fails() -> None:
    @job_task(name="tests.unwanted", queue="email")
    def unwanted() -> None:
        running = current_job()
        assert running is not None
        operations.cancel(running.id, actor="user:ann")
        raise ValueError("it failed as well")

    job = unwanted.enqueue()
    run_jobs()
    job.refresh_from_db()
    assert (job.state, job.failures) == ("cancelled", 1)
    assert job.finished_at is not None
    last = AuditEntry.objects.filter(subject_id=str(job.id)).latest("id")
    assert last.action == "job.cancelled"


@pytest.mark.processes
@pytest.mark.parametrize("by_id", [True, False])
def test_a_claim_whose_answer_was_lost_is_found_again(
    live: Live, monkeypatch: pytest.MonkeyPatch, by_id: bool
) -> None:
    name = "claim" if by_id else "claim_next"
    honest = getattr(transitions, name)
    calls: list[object] = []

    def losing_the_first_answer(*arguments: Any, **options: Any) -> Any:
        answer = honest(*arguments, **options)
        calls.append(answer)
        if len(calls) == 1:
            raise OperationalError("server closed the connection unexpectedly")
        return answer

    monkeypatch.setattr(transitions, name, losing_the_first_answer)
    job = probe.using(queue="reports").enqueue(label="x")
    settled = carry([job.id], worker=None) if by_id else list(take_turn("reports", worker=None))
    assert [one.id for one in settled] == [job.id]
    assert Attempt.objects.filter(job=job).count() == 1
    assert Job.objects.get(id=job.id).attempt == 1


@pytest.mark.django_db
def test_a_result_is_kept_as_it_was_when_it_was_returned() -> None:
    state: dict[str, int] = {"n": 0}

    @job_task(name="tests.counting", queue="reports")
    def counting() -> dict[str, int]:
        state["n"] += 1
        return state

    pace._sizes["reports"] = 10
    counting.enqueue_many([{}, {}, {}])
    list(take_turn("reports", worker=None))
    assert list(Job.objects.order_by("seat").values_list("result__n", flat=True)) == [1, 2, 3]
