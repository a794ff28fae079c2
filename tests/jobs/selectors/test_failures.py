"""What has been going wrong lately."""

import pytest

from jobs import selectors
from tests.jobs.records import ago, make_attempt, make_job

pytestmark = pytest.mark.django_db


def test_attempts_of_a_task_with_the_same_type_of_error_are_one_group() -> None:
    job, other = make_job(), make_job()
    make_attempt(job, number=1, error_type="ValueError", error="first")
    make_attempt(job, number=2, error_type="ValueError", error="second")
    make_attempt(other, error_type="ValueError", error="last")
    make_attempt(other, number=2, error_type="KeyError", error="key")
    groups = {group.error_type: group for group in selectors.recent_failures()}
    group = groups["ValueError"]
    assert (group.times, group.jobs) == (3, 2)
    assert (group.last_error, group.last_job) == ("last", other.id)
    assert groups["KeyError"].times == 1


def test_a_crash_is_a_failure_and_a_success_or_a_snooze_is_not() -> None:
    job = make_job()
    for number, outcome in enumerate(("succeeded", "snoozed", "released", "crashed"), 1):
        make_attempt(job, outcome, number)
    (group,) = selectors.recent_failures()
    assert (group.outcome, group.error_type) == ("crashed", "")


def test_what_failed_before_yesterday_is_left_out() -> None:
    make_attempt(make_job(), finished_at=ago(hours=25))
    assert selectors.recent_failures() == []
