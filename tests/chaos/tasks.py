"""The tasks of the chaos suite: each leaves a row for every run of its body that counted.

``chaos_effect`` is the count of what was done. A task that is not atomic commits its row in the
middle of its work, so that a kill can come between the effect and the settlement.
"""

import os
import signal
import time
from datetime import timedelta
from typing import Any

from django.db import connection

from jobs import current_job, job_task
from jobs.errors import PermanentError
from jobs.limits import Concurrency
from tests.chaos import timing

#: The faults spend attempts: more than any job will need.
MANY = 1_000
LIMITS: dict[str, Any] = {
    "soft_time_limit": timedelta(seconds=timing.SOFT_LIMIT),
    "hard_time_limit": timedelta(seconds=timing.HARD_LIMIT),
}


class NotYet(Exception):
    """This attempt was planned to fail."""


def _begin(fail_times: int, *, permanent: bool) -> None:
    job = current_job()
    assert job is not None
    if permanent:
        raise PermanentError("planned")
    if job.attempt <= fail_times:
        raise NotYet(f"attempt {job.attempt} of {fail_times} that fail")


def _leave_a_row(key: int) -> None:
    job = current_job()
    assert job is not None
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO chaos_effect (job_id, key, attempt, pid) VALUES (%s, %s, %s, %s)",
            [job.id, key, job.attempt, os.getpid()],
        )


def _work(key: int, sleep_ms: int, fail_times: int, *, permanent: bool) -> int:
    time.sleep(sleep_ms / 2000)
    _begin(fail_times, permanent=permanent)
    _leave_a_row(key)
    time.sleep(sleep_ms / 2000)
    return key


@job_task(name="chaos.effect", queue="email", attempts=MANY, **LIMITS)
def effect(*, key: int, sleep_ms: int, fail_times: int = 0, permanent: bool = False) -> int:
    """Leave a row that stays, whatever becomes of the attempt."""
    return _work(key, sleep_ms, fail_times, permanent=permanent)


@job_task(name="chaos.atomic_effect", queue="email", attempts=MANY, atomic=True, **LIMITS)
def atomic_effect(*, key: int, sleep_ms: int, fail_times: int = 0, permanent: bool = False) -> int:
    """Leave a row that commits with the attempt's success."""
    return _work(key, sleep_ms, fail_times, permanent=permanent)


@job_task(
    name="chaos.narrow_effect",
    queue="email",
    attempts=MANY,
    limits=[Concurrency(limit=1, by="tenant")],
    **LIMITS,
)
def narrow_effect(*, key: int, sleep_ms: int, fail_times: int = 0, permanent: bool = False) -> int:
    """Leave a row; one job of a tenant at a time."""
    return _work(key, sleep_ms, fail_times, permanent=permanent)


@job_task(name="chaos.bulk_effect", queue="notifications", attempts=MANY, atomic=True, **LIMITS)
def bulk_effect(*, key: int, sleep_ms: int) -> int:
    """Leave a row that commits with the attempt's success."""
    return _work(key, sleep_ms, 0, permanent=False)


@bulk_effect.bulk
def bulk_effects(calls: list[dict[str, Any]]) -> list[int]:
    """Do many of them at once: their rows commit with all of their successes."""
    time.sleep(sum(call["sleep_ms"] for call in calls) / 1000)
    keys = [call["key"] for call in calls]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO chaos_effect (key, pid) SELECT unnest(%s), %s", [keys, os.getpid()]
        )
    return keys


@job_task(name="chaos.hopeless", queue="email", attempts=2, **LIMITS)
def hopeless(*, key: int, sleep_ms: int) -> None:
    """Fail, until it is a dead letter."""
    time.sleep(sleep_ms / 1000)
    raise NotYet(f"job {key} never succeeds")


@job_task(name="chaos.poison", queue="pdf", attempts=3, **LIMITS)
def poison(*, key: int) -> None:
    """Kill its own process (of a prefork pool), until it is a dead letter."""
    os.kill(os.getpid(), signal.SIGKILL)


if os.environ.get("CHAOS_RELEASE") == "2":

    @job_task(name="chaos.effect_of_tomorrow", queue="email", attempts=MANY, **LIMITS)
    def effect_of_tomorrow(*, key: int, sleep_ms: int) -> int:
        """Leave a row: a task that workers of the release before do not know."""
        return _work(key, sleep_ms, 0, permanent=False)
