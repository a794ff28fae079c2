"""Options that make no sense are refused by name, whoever enqueues, and leave nothing behind."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from celery import chain, group

from jobs import workflows
from jobs.context import job_context
from jobs.definition import LONGEST_WAIT
from jobs.errors import InvalidPayload
from jobs.models import Job
from jobs.tasks import probe
from jobs.testing import run_jobs

pytestmark = pytest.mark.django_db

SOON = datetime(2031, 1, 1, tzinfo=UTC)
TENANTS = ["a\x00", "x" * 65, "\ud800", 5, b"acme"]


def refused(call: Callable[[], object]) -> list[str]:
    """Return the fields by which a call is refused."""
    with pytest.raises(InvalidPayload) as error:
        call()
    assert not Job.objects.exists()
    return list(error.value.problems)


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({"expires": "soon"}, ["expires"]),
        ({"expires": 60}, ["expires"]),
        ({"expires": datetime(2031, 1, 1)}, ["expires"]),
        ({"expires": timedelta.max}, ["expires"]),
        ({"run_at": datetime(2031, 1, 1)}, ["run_at"]),
        ({"run_at": "soon"}, ["run_at"]),
        ({"delay": timedelta.max}, ["delay"]),
        ({"delay": timedelta(seconds=-1)}, ["delay"]),
        ({"delay": 5}, ["delay"]),
        ({"delay": timedelta(0), "run_at": SOON}, ["delay", "run_at"]),
        ({"priority": 4}, ["priority"]),
        ({"unique": True}, ["unique"]),
        *(({"tenant": tenant}, ["tenant"]) for tenant in TENANTS),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(
    options: dict[str, Any], fields: list[str]
) -> None:
    assert refused(lambda: probe.using(**options).enqueue(label="x")) == fields
    many = probe.using(**options).options
    assert refused(lambda: probe.enqueue_many([{"label": "x"}], many)) == fields


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({"countdown": 60, "eta": SOON}, ["countdown", "eta"]),
        ({"countdown": "60"}, ["countdown"]),
        ({"countdown": 1e300}, ["countdown"]),
        ({"countdown": float("nan")}, ["countdown"]),
        ({"eta": "soon"}, ["eta"]),
        ({"expires": "soon"}, ["expires"]),
        ({"expires": 1e300}, ["expires"]),
        ({"priority": [1]}, ["priority"]),
        ({"tenant": "x" * 65}, ["tenant"]),
        ({"tenant": 5}, ["tenant"]),
    ],
)
def test_so_are_those_of_celery_and_of_each_step_of_its_canvas(
    options: dict[str, Any], fields: list[str]
) -> None:
    step, other = probe.si(label="x"), probe.si(label="x").set(**options)
    assert refused(lambda: probe.apply_async(kwargs={"label": "x"}, **options)) == fields
    assert refused(lambda: group(step, other).apply_async()) == fields
    assert refused(lambda: chain(step, other, step).apply_async()) in (fields, ["canvas"])


def test_the_tenant_of_the_context_is_checked_too() -> None:
    with job_context(tenant="x" * 65):
        assert refused(lambda: probe.enqueue(label="x")) == ["tenant"]


def test_the_longest_wait_is_a_wait() -> None:
    job = probe.using(delay=LONGEST_WAIT, expires=LONGEST_WAIT).enqueue(label="x")
    assert job.scheduled_at == job.expires_at == job.enqueued_at + LONGEST_WAIT


@pytest.mark.parametrize(
    "expires", [timedelta(0), timedelta(days=-1), datetime(2001, 1, 1, tzinfo=UTC)]
)
def test_a_job_that_has_expired_when_it_is_enqueued_is_cancelled(expires: Any) -> None:
    job = probe.using(expires=expires).enqueue(label="x")
    run_jobs()
    assert workflows.expire(10) == 1
    job.refresh_from_db()
    assert (job.state, job.error_type, job.attempt) == ("cancelled", "Expired", 0)


def test_an_id_that_is_taken_is_refused_and_the_transaction_goes_on() -> None:
    taken = str(probe.enqueue(label="first").id)
    step, again = probe.si(label="x"), probe.si(label="x").set(task_id=taken)
    twice = probe.si(label="x").set(task_id=str(uuid4()))
    calls: list[Callable[[], object]] = [
        lambda: probe.apply_async(kwargs={"label": "x"}, task_id=taken),
        lambda: again.apply_async(),
        lambda: group(step, again).apply_async(),
        lambda: group(twice, twice).apply_async(),
        lambda: chain(again, step).apply_async(),
    ]
    for call in calls:
        with pytest.raises(InvalidPayload, match="task_id: there is a job or a group with this id"):
            call()
        assert Job.objects.count() == 1
