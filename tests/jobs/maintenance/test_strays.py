"""Jobs that no worker knows how to run: left alone for a while, then told to a person."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db.models.functions import Now

from jobs import gates
from jobs.maintenance import strays
from jobs.models import DeadLetter, Job, Worker
from jobs.tasks import probe

pytestmark = pytest.mark.django_db


def stray(*, waited: timedelta) -> UUID:
    id_ = probe.enqueue(label="x").id
    Job.objects.filter(id=id_).update(task="of.tomorrow", scheduled_at=Now() - waited)
    return id_


def worker(*tasks: str, silent: timedelta = timedelta(0)) -> None:
    Worker.objects.create(
        id=uuid4(), host="there", pid=1, queues=["maintenance"], pool="prefork", concurrency=1,
        tasks=list(tasks), heartbeat_at=Now() - silent,
    )  # fmt: skip


def test_a_job_of_the_next_release_leaves_the_line_and_comes_back_with_its_workers() -> None:
    job = stray(waited=timedelta(minutes=9))
    assert strays.look_after() == 0
    kept = Job.objects.get(id=job)
    assert (kept.state, kept.parked, kept.gate) == ("available", True, "unknown-task=of.tomorrow")
    assert gates.let_through() == 0, "no limit holds it"
    worker("of.tomorrow")
    strays.look_after()
    assert not Job.objects.get(id=job).parked


def test_as_long_as_a_living_worker_knows_its_task_it_stays_in_line_whatever_time() -> None:
    worker("of.tomorrow")
    job = stray(waited=timedelta(days=1))
    assert strays.look_after() == 0
    assert not Job.objects.get(id=job).parked


def test_what_nobody_knows_for_long_is_a_dead_letter_that_says_so() -> None:
    worker("of.tomorrow", silent=timedelta(hours=1))
    known = probe.enqueue(label="x")
    Job.objects.filter(id=known.id).update(scheduled_at=Now() - timedelta(days=1))
    job = stray(waited=timedelta(minutes=11))
    assert strays.look_after() == 1
    letter = DeadLetter.objects.get(job_id=job)
    assert letter.reason == "permanent"
    assert letter.error == "Unknown task 'of.tomorrow'. No living worker knows it."
    assert Job.objects.get(id=known.id).state == "queued"
