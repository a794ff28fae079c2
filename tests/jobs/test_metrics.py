"""What Prometheus is told."""

import math

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from jobs.maintenance.pruner import prune
from jobs.maintenance.rollup import merge
from jobs.models import Beat, Canary, Job, Schedule
from jobs.states import State
from jobs.tokens import create_token
from tenants.models import User
from tests.jobs.records import (
    ago,
    make_attempt,
    make_dead_letter,
    make_job,
    make_user,
    make_viewer,
    make_worker,
)
from tests.jobs.schedules.schedules import make_schedule

pytestmark = pytest.mark.django_db


def scraped() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    viewer = User.objects.filter(username="vera").first() or make_viewer()
    _, secret = create_token(name="prometheus", user=viewer, actor="test")
    response = Client().get("/metrics", headers={"authorization": f"Bearer {secret}"})
    assert response.status_code == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
    }


def test_finished_jobs_are_counted_by_queue_task_and_outcome() -> None:
    make_job(State.SUCCEEDED)
    make_job(State.SUCCEEDED)
    make_dead_letter()
    samples = scraped()
    labels = (("queue", "email"), ("task", "jobs.probe"))
    assert samples["jobs_total", (("outcome", "succeeded"), *labels)] == 2
    assert samples["jobs_total", (("outcome", "dead"), *labels)] == 1
    assert samples["dead_letters", (("queue", "email"),)] == 1


def test_times_fall_into_cumulative_buckets() -> None:
    for seconds in (0.2, 0.2, 7, 7200):
        make_job(
            State.SUCCEEDED,
            started_at=ago(hours=3),
            scheduled_at=ago(hours=3),
            finished_at=ago(seconds=3 * 3600 - seconds),
        )
    samples = scraped()

    def bucket(bound: str) -> float:
        labels = (("le", bound), ("queue", "email"), ("task", "jobs.probe"))
        return samples["job_duration_seconds_bucket", labels]

    assert [bucket(bound) for bound in ("0.1", "0.25", "5.0", "10.0", "1800.0", "+Inf")] == [
        0,
        2,
        2,
        3,
        3,
        4,
    ]
    labels = (("queue", "email"), ("task", "jobs.probe"))
    assert samples["job_duration_seconds_count", labels] == 4
    assert samples["job_duration_seconds_sum", labels] == pytest.approx(7207.4, abs=0.5)
    assert samples["job_wait_seconds_count", labels] == 4


def test_failed_attempts_are_counted_by_their_error() -> None:
    job = make_job(State.SCHEDULED)
    make_attempt(job, number=1, error_type="ValueError")
    make_attempt(job, number=2, error_type="ValueError")
    make_attempt(job, "crashed", number=3)
    samples = scraped()
    labels = (("queue", "email"), ("task", "jobs.probe"))
    assert samples["job_failures_total", (("error", "ValueError"), *labels)] == 2
    assert samples["job_failures_total", (("error", "crashed"), *labels)] == 1
    by_task = (("queue", "email"), ("task", "jobs.probe"))
    assert samples["job_attempts_total", (("outcome", "failed"), *by_task)] == 2
    assert samples["job_wait_seconds_count", by_task] == 3


def test_counters_do_not_fall_when_jobs_and_roll_ups_are_pruned() -> None:
    make_job(State.SUCCEEDED, finished_at=ago(days=1000))
    make_job(State.SUCCEEDED)
    before = scraped()
    assert merge() == 1
    assert prune()["roll-ups"] == 1
    assert Job.objects.count() == 1
    assert scraped() == before


def test_queues_and_workers_are_measured_as_they_are_now() -> None:
    make_job(State.QUEUED, scheduled_at=ago(seconds=30))
    make_worker("email")
    make_worker("email", silent=600)
    samples = scraped()
    assert samples["queue_depth", (("queue", "email"), ("state", "queued"))] == 1
    assert samples["queue_depth", (("queue", "pdf"), ("state", "queued"))] == 0
    assert samples["queue_oldest_seconds", (("queue", "email"),)] == pytest.approx(30, abs=5)
    assert samples["queue_workers", (("queue", "email"),)] == 1
    assert samples["workers", ()] == 1


def test_strangers_and_people_without_the_permission_are_refused(client: Client) -> None:
    assert client.get("/metrics").status_code == 401
    refused = client.get("/metrics", headers={"authorization": "Bearer nonsense"})
    assert refused.status_code == 401
    client.force_login(make_user("sam"))
    assert client.get("/metrics").status_code == 403


def test_a_viewer_sees_them_in_a_session(client: Client) -> None:
    client.force_login(make_viewer())
    assert client.get("/metrics").status_code == 200
    assert client.post("/metrics").status_code == 405


def test_parked_jobs_are_counted_by_their_limit_and_never_by_its_keys() -> None:
    for number in range(3):
        make_job(State.AVAILABLE, parked=True, gate=f"email/rate/to={number}")
    samples = scraped()
    assert samples["jobs_parked", (("limit", "email/rate/to"),)] == 3
    assert samples["jobs_parked", (("limit", "email/rate"),)] == 0
    assert not [name for name, labels in samples if any("=" in value for _, value in labels)]


def test_a_job_that_waits_for_a_limit_does_not_make_its_queue_late() -> None:
    make_job(State.AVAILABLE, parked=True, gate="email/rate", scheduled_at=ago(hours=1))
    make_job(State.QUEUED, scheduled_at=ago(seconds=30))
    samples = scraped()
    assert 29 < samples["queue_oldest_seconds", (("queue", "email"),)] < 300
    assert samples["queue_depth", (("queue", "email"), ("state", "available"))] == 1


def test_schedules_are_measured_as_they_are_now() -> None:
    Beat.objects.create(host="h", pid=1, ticked_at=ago(seconds=3))
    schedule = make_schedule(cron="0 9 * * *")
    Schedule.objects.filter(pk=schedule.pk).update(wake_at=ago(minutes=5), problem="broken")
    make_schedule(cron="0 9 * * *")
    samples = scraped()
    assert (samples["beats", ()], samples["schedules_overdue", ()]) == (1, 1)
    assert samples["schedules_troubled", ()] == 1
    assert samples["beat_last_tick_seconds", ()] == pytest.approx(3, abs=2)


def test_before_the_first_look_nobody_says_how_long_ago_it_was() -> None:
    samples = scraped()
    assert samples["beats", ()] == 0
    assert ("beat_last_tick_seconds", ()) not in samples


def test_each_queue_has_the_age_of_its_canary_and_infinity_before_the_first() -> None:
    Canary.objects.create(queue="email", enqueued_at=ago(seconds=9), ran_at=ago(seconds=5))
    samples = scraped()
    assert samples["canary_age_seconds", (("queue", "email"),)] == pytest.approx(5, abs=2)
    assert samples["canary_wait_seconds", (("queue", "email"),)] == pytest.approx(4, abs=0.5)
    assert samples["canary_age_seconds", (("queue", "pdf"),)] == math.inf
    assert ("canary_wait_seconds", (("queue", "pdf"),)) not in samples
