"""For those who write tasks: ask what was enqueued, and run it without a worker.

Works inside ``@pytest.mark.django_db``, where the test is one transaction that is rolled back.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.db.models.functions import Now

from jobs import effects
from jobs.inline import run_due
from jobs.models import Job
from jobs.states import WAITING, State
from jobs.task import JobTask

AnyTask = JobTask[Any, Any] | str


def enqueued_jobs(task: AnyTask | None = None) -> list[Job]:
    """Return the jobs that wait now, oldest first; those of one task, when it is given."""
    jobs = Job.objects.filter(state__in=WAITING).order_by("id")
    return list(jobs if task is None else jobs.filter(task=_name(task)))


def assert_enqueued(task: AnyTask, **payload: Any) -> Job:
    """Return the one waiting job of ``task`` whose arguments include ``payload``.

    Raises:
        AssertionError: there is none, or more than one; it lists what waits.
    """
    waiting = enqueued_jobs(task)
    found = [job for job in waiting if payload.items() <= job.payload.items()]
    listed = "\n".join(f"  {job.task} {job.payload}" for job in enqueued_jobs()) or "  nothing"
    assert len(found) == 1, (
        f"expected one waiting job of {_name(task)} with {payload}, found {len(found)}. "
        f"Waiting:\n{listed}"
    )
    return found[0]


def run_jobs(*, retries: bool = False) -> list[Job]:
    """Run what is due, and what that enqueues, here and now; returns the jobs that ran.

    Args:
        retries: Do not wait for the time of scheduled jobs: run them too, until all are final.
    """
    ran: dict[Any, None] = {}
    with _effects_allowed():
        while True:
            settlements = run_due()
            ran |= dict.fromkeys(settlement.id for settlement in settlements)
            if not retries or not _make_due():
                break
    found = Job.objects.in_bulk(list(ran))
    return [found[job_id] for job_id in ran]


def _make_due() -> int:
    return Job.objects.filter(state=State.SCHEDULED).update(
        scheduled_at=Now() - timedelta(seconds=1)
    )


@contextmanager
def _effects_allowed() -> Iterator[None]:
    before = effects.allow_in_transaction
    effects.allow_in_transaction = True
    try:
        yield
    finally:
        effects.allow_in_transaction = before


def _name(task: AnyTask) -> str:
    return task if isinstance(task, str) else task.definition.name
