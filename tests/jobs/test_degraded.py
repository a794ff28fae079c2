"""While Redis is down, a queue that says so runs its jobs in the process that enqueued them."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from jobs import job_task
from jobs.breaker import breaker
from jobs.limits import Rate
from jobs.models import Attempt, Job
from jobs.queues import QUEUES
from jobs.tasks import probe

pytestmark = pytest.mark.django_db

Callbacks = Any  # pytest-django's django_capture_on_commit_callbacks


@pytest.fixture(autouse=True)
def inline() -> Iterator[None]:
    before = QUEUES["reports"]
    QUEUES["reports"] = replace(before, when_broker_down="inline")
    yield
    QUEUES["reports"] = before


def state_of(job: Job) -> str:
    return Job.objects.values_list("state", flat=True).get(id=job.id)


def test_the_job_runs_right_after_the_commit_and_not_before(
    django_capture_on_commit_callbacks: Callbacks,
) -> None:
    breaker.trip()
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        job = probe.using(queue="reports").enqueue(label="x")
        other = probe.using(queue="maintenance").enqueue(label="x")
        assert state_of(job) == "available"
    assert state_of(job) == "succeeded"
    assert Attempt.objects.get(job=job).outcome == "succeeded"
    assert state_of(other) == "available", "its queue waits for a worker"


def test_the_first_caller_who_finds_the_broker_dead_runs_its_jobs_too(
    dead_broker: str, django_capture_on_commit_callbacks: Callbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        jobs = [probe.using(queue="reports").enqueue(label="x") for _ in range(3)]
    assert {state_of(job) for job in jobs} == {"succeeded"}


def test_what_fails_there_is_tried_again_by_a_worker(
    django_capture_on_commit_callbacks: Callbacks,
) -> None:
    breaker.trip()
    with django_capture_on_commit_callbacks(execute=True):
        job = probe.using(queue="reports").enqueue(label="x", fail_times=1)
    assert state_of(job) == "scheduled"


def test_limits_hold_there_too(django_capture_on_commit_callbacks: Callbacks) -> None:
    @job_task(
        name="tests.limited", queue="reports", limits=[Rate(limit=2, per=timedelta(minutes=1))]
    )
    def limited() -> None:
        pass

    breaker.trip()
    with django_capture_on_commit_callbacks(execute=True):
        jobs = [limited.enqueue() for _ in range(3)]
    assert sorted(state_of(job) for job in jobs) == ["available", "succeeded", "succeeded"]
    assert Job.objects.filter(parked=True).count() == 1


def test_while_the_broker_is_up_nothing_runs_in_the_caller(
    django_capture_on_commit_callbacks: Callbacks,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        job = probe.using(queue="reports").enqueue(label="x")
    assert state_of(job) == "queued"
