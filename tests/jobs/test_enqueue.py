"""Enqueueing: with the caller's transaction or not at all, and never at the mercy of the broker."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import redis
from django.db import transaction
from pydantic import SecretStr

from jobs import Priority, job_task, operations, transitions
from jobs.context import job_context
from jobs.enqueue import enqueue_by_name
from jobs.errors import InvalidPayload, PermanentError, UnknownQueue, UnknownTask
from jobs.maintenance.stager import Stager
from jobs.models import AuditEntry, Job
from jobs.publish import publish
from jobs.tasks import probe
from jobs.testing import assert_enqueued, enqueued_jobs, run_jobs
from tests.jobs.stages import QUEUE, actions, and_undo

pytestmark = pytest.mark.django_db

Callbacks = Any  # pytest-django's django_capture_on_commit_callbacks


# --- with the caller's transaction ---------------------------------------------------------------


def test_the_answer_is_the_row_as_it_stands_in_the_database() -> None:
    answer = probe.using(
        queue="email", priority=Priority.HIGH, tenant="acme", follows=[probe.step(label="next")]
    ).enqueue(label="x", sleep_ms=5)
    kept = Job.objects.get(id=answer.id)
    for name in (field.attname for field in Job._meta.concrete_fields):
        if name != "published_at":
            assert getattr(answer, name) == getattr(kept, name), name
    assert (kept.state, kept.dispatch, kept.attempt) == ("queued", 1, 0)
    assert (kept.max_attempts, kept.timeout) == (5, 60)


def test_a_rolled_back_savepoint_takes_its_jobs_and_their_messages_along(
    broker: redis.Redis, django_capture_on_commit_callbacks: Callbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        kept = probe.enqueue(label="kept").id
        and_undo(lambda: probe.enqueue(label="undone"))
        assert broker.llen(QUEUE) == 0, "nothing is published before the commit"
    assert [job.payload["label"] for job in enqueued_jobs()] == ["kept"]
    (message,) = broker.lrange(QUEUE, 0, -1)
    assert json.loads(message)["headers"]["id"] == str(kept)
    assert AuditEntry.objects.filter(action="job.enqueued").count() == 1


def test_a_refused_enqueue_leaves_the_caller_s_transaction_usable() -> None:
    with transaction.atomic():
        with pytest.raises(InvalidPayload):
            probe.enqueue(label="")
        probe.enqueue(label="good")
    assert_enqueued(probe, label="good")


def test_a_message_holds_the_id_and_the_dispatch_number_and_no_argument(
    broker: redis.Redis, django_capture_on_commit_callbacks: Callbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        job = probe.using(tenant="acme").enqueue(label="very-private")
    (raw,) = broker.lrange(QUEUE, 0, -1)
    message = json.loads(raw)
    assert message["headers"]["id"] == str(job.id)
    assert message["headers"]["dispatch"] == "1"
    assert message["headers"]["eta"] is message["headers"]["expires"] is None
    assert b"very-private" not in raw
    assert b"acme" not in raw


def test_what_is_for_later_is_a_row_and_sends_no_message(
    broker: redis.Redis, django_capture_on_commit_callbacks: Callbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        job = probe.using(delay=timedelta(hours=1)).enqueue(label="later")
    assert (job.state, job.dispatch, broker.llen(QUEUE)) == ("scheduled", 0, 0)


# --- options -------------------------------------------------------------------------------------


def test_a_job_may_differ_from_what_its_task_declares() -> None:
    at = datetime(2031, 3, 30, 2, 30, tzinfo=UTC)
    job = probe.using(queue="pdf", priority=Priority.CRITICAL, run_at=at).enqueue(label="x")
    assert (job.queue, job.priority, job.scheduled_at) == ("pdf", 0, at)
    assert (job.max_attempts, job.timeout) == (3, 120)
    plain = probe.enqueue(label="x")
    assert (plain.queue, plain.priority) == ("maintenance", Priority.NORMAL)


def test_the_most_urgent_priority_is_an_option_like_any_other() -> None:
    @job_task(name="tests.lazy", queue="email", priority=Priority.LOW)
    def lazy() -> None: ...

    assert lazy.enqueue().priority == Priority.LOW
    assert lazy.using(priority=Priority.CRITICAL).enqueue().priority == Priority.CRITICAL


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidPayload) as refused:
        probe.using(run_at=datetime(2031, 1, 1)).enqueue(label="x")
    assert refused.value.problems == {"run_at": "expected a time with a zone"}
    assert not Job.objects.exists()


def test_an_unknown_queue_is_refused() -> None:
    with pytest.raises(UnknownQueue, match="Did you mean 'email'"):
        probe.using(queue="emial").enqueue(label="x")


def test_a_job_can_be_enqueued_by_the_name_of_its_task() -> None:
    job = enqueue_by_name(
        "jobs.probe", {"label": "x"}, queue="email", tenant="acme", delay=timedelta(minutes=1)
    )
    assert (job.task, job.queue, job.tenant, job.state) == (
        "jobs.probe",
        "email",
        "acme",
        "scheduled",
    )
    with pytest.raises(UnknownTask, match=r"Did you mean 'jobs\.probe'"):
        enqueue_by_name("jobs.probee", {})


def test_secrets_are_encrypted_in_the_row_and_never_in_it_as_they_are() -> None:
    @job_task(name="tests.reset", queue="email")
    def reset(*, to: str, link: SecretStr) -> None: ...

    job = reset.enqueue(to="ann@example.com", link=SecretStr("https://erp.example/reset/t0ken"))
    kept = Job.objects.get(id=job.id)
    assert kept.payload == {"to": "ann@example.com", "link": "**********"}
    assert kept.secrets is not None
    assert b"t0ken" not in bytes(kept.secrets)


# --- on whose behalf -----------------------------------------------------------------------------


def test_tenant_actor_and_correlation_are_those_of_the_context() -> None:
    with job_context(tenant="acme", actor="user:ann", correlation_id="request-7"):
        inside = probe.enqueue(label="x")
        other = probe.using(tenant="globex").enqueue(label="x")
        none = probe.using(tenant="").enqueue(label="x")
    assert (inside.tenant, inside.enqueued_by, inside.correlation_id) == (
        "acme",
        "user:ann",
        "request-7",
    )
    assert (other.tenant, none.tenant) == ("globex", "")
    outside = probe.enqueue(label="x")
    assert (outside.tenant, outside.enqueued_by) == ("", "system")
    assert outside.correlation_id not in {"", probe.enqueue(label="x").correlation_id}


def test_what_a_running_job_enqueues_inherits_from_it() -> None:
    @job_task(name="tests.parent", queue="email")
    def parent() -> None:
        probe.enqueue(label="child")

    with job_context(actor="user:ann", correlation_id="request-7"):
        job = parent.using(tenant="acme").enqueue()
    run_jobs()
    child = Job.objects.get(task="jobs.probe")
    assert (child.tenant, child.correlation_id, child.enqueued_by) == (
        "acme",
        "request-7",
        f"job:{job.id}",
    )


# --- what follows --------------------------------------------------------------------------------


def labels(state: str = "succeeded") -> list[str]:
    jobs = Job.objects.filter(state=state, task="jobs.probe").order_by("id")
    return [job.payload["label"] for job in jobs]


def test_steps_run_one_after_the_other_each_with_the_rest() -> None:
    job = probe.using(
        tenant="acme", follows=[probe.step(label="second"), probe.step(label="third")]
    ).enqueue(label="first")
    run_jobs()
    assert labels() == ["first", "second", "third"]
    assert set(Job.objects.values_list("tenant", "correlation_id")) == {
        ("acme", job.correlation_id)
    }
    second = Job.objects.get(payload__label="second")
    assert second.enqueued_by == f"job:{job.id}"
    assert [step["payload"]["label"] for step in second.follows or []] == ["third"]


def test_what_follows_is_enqueued_with_the_success_or_not_at_all() -> None:
    job = probe.using(follows=[probe.step(label="second")]).enqueue(label="first", fail_times=1)
    run_jobs()
    assert Job.objects.get(id=job.id).state == "scheduled"
    assert not Job.objects.filter(payload__label="second").exists()
    run_jobs(retries=True)
    assert labels() == ["first", "second"]


def test_nothing_follows_a_job_that_dies_until_its_replay_succeeds_with_all_the_rest() -> None:
    probe.using(
        follows=[probe.step(label="second", fail_permanently=True), probe.step(label="third")]
    ).enqueue(label="first")
    run_jobs()
    dead = Job.objects.get(payload__label="second")
    assert (dead.state, labels()) == ("dead", ["first"])
    replay = operations.replay(dead.id, actor="user:ann", payload={"fail_permanently": False})
    run_jobs()
    assert labels() == ["first", "second", "third"]
    assert Job.objects.get(payload__label="third").enqueued_by == f"job:{replay.id}"


# --- without the broker --------------------------------------------------------------------------


def test_a_caller_is_unharmed_when_the_broker_is_unreachable_and_the_stager_publishes_later(
    broker: redis.Redis,
    request: pytest.FixtureRequest,
    django_capture_on_commit_callbacks: Callbacks,
) -> None:
    ran: list[str] = []
    request.getfixturevalue("dead_broker")
    began = time.monotonic()
    with django_capture_on_commit_callbacks(execute=True):
        first = probe.enqueue(label="first").id
        transaction.on_commit(lambda: ran.append("the caller's own"))
        second = probe.delay(label="second").id
    assert ran == ["the caller's own"]
    assert time.monotonic() - began < 1.5, "the caller does not wait for a broker that is down"
    for job_id in (first, UUID(second)):
        assert Job.objects.get(id=job_id).state == "available"
        assert actions(job_id) == ["job.enqueued", "job.unpublished"]
    assert run_jobs(), "work goes on without the broker"


def test_the_stager_publishes_what_the_broker_did_not_take(broker: redis.Redis) -> None:
    job = probe.enqueue(label="x")
    transitions.unpublish([job.id])
    assert Stager().run_once() == 1
    assert broker.llen(QUEUE) == 1


def test_publishing_to_a_dead_broker_gives_the_jobs_back_in_one_go(dead_broker: str) -> None:
    jobs = [probe.enqueue(label="x") for _ in range(3)]
    assert not publish([(job.id, job.task, job.queue, 1) for job in jobs])
    assert set(Job.objects.values_list("state", flat=True)) == {"available"}


def test_a_late_failure_to_publish_does_not_touch_a_job_that_runs_or_is_done(
    dead_broker: str,
) -> None:
    job = probe.enqueue(label="x")
    run_jobs()
    assert not publish([(job.id, job.task, job.queue, 1)])
    assert Job.objects.get(id=job.id).state == "succeeded"


def test_a_job_whose_task_this_release_does_not_know_waits_for_one_that_does(
    broker: redis.Redis,
) -> None:
    job = probe.enqueue(label="x")
    Job.objects.filter(id=job.id).update(task="tests.of_tomorrow")
    assert publish([(job.id, "tests.of_tomorrow", QUEUE, 1)])
    assert (broker.llen(QUEUE), Job.objects.get(id=job.id).state) == (0, "queued")


def test_an_error_of_the_body_s_enqueue_is_the_body_s_error() -> None:
    @job_task(name="tests.careless", queue="imports")
    def careless() -> None:
        probe.enqueue(label="")

    job = careless.enqueue()
    run_jobs()
    kept = Job.objects.get(id=job.id)
    assert (kept.state, kept.error_type) == ("dead", "InvalidPayload")
    assert not issubclass(InvalidPayload, PermanentError)


def accepts(call: Callable[[], object]) -> bool:
    try:
        call()
    except InvalidPayload:
        return False
    return True


@pytest.mark.parametrize("label", ["a\x00b", "\ud800", "x" * 70_000])
def test_what_postgresql_cannot_keep_is_refused_before_it_sees_it(label: str) -> None:
    assert not accepts(lambda: probe.enqueue(label=label))
    assert accepts(lambda: probe.enqueue(label="good"))


def test_a_call_among_many_that_is_no_mapping_is_refused_by_its_place() -> None:
    calls: Any = [{"label": "x"}, 1]
    with pytest.raises(InvalidPayload) as refused:
        probe.enqueue_many(calls)
    assert list(refused.value.problems) == ["1"]
