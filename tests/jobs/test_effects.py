"""Effects outside the database: recorded before and after, and not repeated."""

from typing import Any

import pytest
from django.db import connection, transaction

from jobs import current_job, effects, job_task
from jobs.errors import NotPossible, PermanentError
from jobs.executor import carry
from jobs.models import DeadLetter, Effect, Job
from jobs.testing import run_jobs
from tests.conftest import Live
from tests.jobs.stages import at_once

KEY = "tests.post:7"


class Post:
    """Something outside that counts how often it was reached."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.reached = 0

    def __call__(self) -> Any:
        self.reached += 1
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


def state() -> str | None:
    return Effect.objects.filter(key=KEY).values_list("state", flat=True).first()


class Killed(BaseException):
    """The process ended here."""


@pytest.mark.processes
def test_a_finished_effect_is_not_repeated_and_gives_its_receipt_again(live: Live) -> None:
    post = Post({"message_id": "<7@erp>"})
    assert effects.once(KEY, post) == {"message_id": "<7@erp>"}
    assert effects.once(KEY, post) == {"message_id": "<7@erp>"}
    assert effects.once(KEY, post, on_unknown="hold") == {"message_id": "<7@erp>"}
    assert (post.reached, state()) == (1, "done")


@pytest.mark.processes
def test_its_beginning_is_committed_before_and_its_end_after(live: Live) -> None:
    seen: list[str | None] = []

    def post() -> None:
        seen.extend(at_once(state))

    effects.once(KEY, post)
    assert [*seen, state()] == ["started", "done"]


@pytest.mark.processes
def test_what_a_crash_left_begun_is_repeated_or_held_for_a_person(live: Live) -> None:
    post = Post(Killed(), "at last")
    with pytest.raises(Killed):
        effects.once(KEY, post)
    assert state() == "started"
    with pytest.raises(PermanentError, match="may have happened"):
        effects.once(KEY, post, on_unknown="hold")
    assert post.reached == 1
    assert effects.once(KEY, post, on_unknown="repeat") == "at last"
    assert (post.reached, state()) == (2, "done")


@pytest.mark.processes
@pytest.mark.parametrize("on_unknown", ["repeat", "hold"])
def test_an_effect_that_was_refused_did_not_happen_and_is_tried_again(
    live: Live, on_unknown: Any
) -> None:
    post = Post(ConnectionRefusedError("no"), "sent")
    with pytest.raises(ConnectionRefusedError):
        effects.once(KEY, post, on_unknown=on_unknown)
    assert state() is None
    assert effects.once(KEY, post, on_unknown=on_unknown) == "sent"


@pytest.mark.processes
def test_after_a_timeout_nobody_knows_so_it_is_repeated_or_held(live: Live) -> None:
    post = Post(TimeoutError("no answer"), "sent")
    with pytest.raises(TimeoutError):
        effects.once(KEY, post, on_unknown="hold")
    with pytest.raises(PermanentError, match="may have happened"):
        effects.once(KEY, post, on_unknown="hold")
    assert effects.once(KEY, post, on_unknown="repeat") == "sent"


@pytest.mark.django_db
def test_inside_a_transaction_it_is_refused_before_it_happens() -> None:
    post = Post("sent")
    with transaction.atomic(), pytest.raises(NotPossible, match="outside a transaction"):
        effects.once(KEY, post)
    assert (post.reached, state()) == (0, None)


@pytest.mark.processes
def test_an_atomic_task_may_have_no_effect_outside(live: Live) -> None:
    post = Post("sent")

    @job_task(name="tests.atomic_post", queue="imports", atomic=True)
    def task() -> None:
        effects.once(KEY, post)

    job = task.enqueue()
    carry([job.id], worker=None)
    assert DeadLetter.objects.get().error_type == "NotPossible"
    assert post.reached == 0


@pytest.mark.processes
def test_a_retry_does_not_repeat_what_its_attempt_before_finished(live: Live) -> None:
    post = Post("sent")

    @job_task(name="tests.post", queue="email")
    def task() -> Any:
        receipt = effects.once(KEY, post)
        running = current_job()
        assert running is not None
        if running.attempt == 1:
            raise ValueError("after the effect")
        return receipt

    job = task.enqueue()
    run_jobs(retries=True)
    kept = Job.objects.get(id=job.id)
    assert (kept.state, kept.result, kept.attempt, post.reached) == ("succeeded", "sent", 2, 1)
    assert Effect.objects.get(key=KEY).job_id == job.id
    assert not connection.in_atomic_block


@pytest.mark.django_db
def test_tests_of_tasks_may_run_effects_inside_their_own_transaction() -> None:
    post = Post("sent")

    @job_task(name="tests.post", queue="email")
    def task() -> Any:
        return effects.once(KEY, post)

    job = task.enqueue()
    run_jobs()
    assert Job.objects.get(id=job.id).result == "sent"
    with pytest.raises(NotPossible):
        effects.once("another", post)
