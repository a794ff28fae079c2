"""Running a task by hand, and replaying with other arguments."""

import re

import pytest
from django.test import Client
from django.urls import reverse
from pydantic import SecretStr

from jobs import job_task
from jobs.models import DeadLetter, Job
from jobs.testing import run_jobs
from tests.jobs.records import make_dead_letter, make_job, make_operator

pytestmark = pytest.mark.django_db

PROBE = reverse("queues:run-task", args=["jobs.probe"])


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(make_operator())
    return client


def test_every_task_can_be_chosen(operator: Client) -> None:
    assert PROBE in operator.get(reverse("queues:run")).content.decode()


def test_each_argument_has_an_input_of_its_kind(operator: Client) -> None:
    html = operator.get(PROBE).content.decode()
    assert re.search(r'<input type="text" name="arg-label"', html)
    assert re.search(r'<input type="checkbox" name="arg-crash"', html)
    assert "at most 200 characters" in html


def test_a_task_is_run_with_what_was_entered(operator: Client) -> None:
    response = operator.post(
        PROBE,
        {"arg-label": "5", "arg-sleep_ms": "20", "queue": "pdf", "priority": "0", "tenant": "acme"},
    )
    job = Job.objects.get()
    assert response["Location"] == reverse("queues:job", args=[job.id])
    assert job.payload | {"label": "5", "sleep_ms": 20} == job.payload
    assert (job.queue, job.priority, job.tenant, job.enqueued_by) == ("pdf", 0, "acme", "user:olaf")


def test_a_task_can_be_run_later(operator: Client) -> None:
    operator.post(PROBE, {"arg-label": "x", "delay": "600"})
    job = Job.objects.get()
    assert job.state == "scheduled"
    assert (job.scheduled_at - job.enqueued_at).total_seconds() == pytest.approx(600)


def test_what_does_not_fit_is_said_at_the_field_and_nothing_is_stored(operator: Client) -> None:
    response = operator.post(
        PROBE, {"arg-label": "", "arg-sleep_ms": "soon", "delay": "-1", "priority": "9"}
    )
    html = response.content.decode()
    assert response.status_code == 422
    for field, problem in (
        ("arg-label", "required, but not given"),
        ("arg-sleep_ms", "valid integer"),
    ):
        field_html = html[html.index(f'name="{field}"') :][:1500]
        assert problem in field_html
    assert not Job.objects.exists()


def test_an_unknown_task_is_not_found(operator: Client) -> None:
    assert operator.get(reverse("queues:run-task", args=["jobs.prob"])).status_code == 404


def test_a_dead_job_is_replayed_with_other_arguments(operator: Client) -> None:
    letter = make_dead_letter(payload={"label": "x", "fail_times": 9})
    address = reverse("queues:edit", args=[letter.job_id])
    assert 'value="9"' in operator.get(address).content.decode()
    operator.post(address, {"arg-label": "x", "arg-fail_times": "0"})
    replay = Job.objects.get(replay_of=letter.job)
    assert (replay.payload["label"], replay.payload["fail_times"]) == ("x", 0)
    assert DeadLetter.objects.get().decision == "replayed"


def test_a_replay_whose_arguments_do_not_fit_is_refused_at_the_field(operator: Client) -> None:
    letter = make_dead_letter(payload={"label": "x", "fail_times": 9})
    address = reverse("queues:edit", args=[letter.job_id])
    response = operator.post(address, {"arg-label": "x" * 201, "arg-fail_times": "9"})
    assert response.status_code == 422
    assert "at most 200 characters" in response.content.decode()
    assert DeadLetter.objects.get().decision == ""


def test_a_job_that_is_not_dead_cannot_be_replayed(operator: Client) -> None:
    job = make_job()
    response = operator.post(reverse("queues:edit", args=[job.id]), {"arg-label": "x"})
    assert response.status_code == 422
    assert "not dead" in response.content.decode()


def test_a_secret_is_shown_masked_and_stays_when_it_is_not_entered_anew(operator: Client) -> None:
    seen: list[tuple[str, str]] = []

    @job_task(name="tests.reset", queue="imports")
    def reset(*, to: str, link: SecretStr) -> None:
        seen.append((to, link.get_secret_value()))
        if to == "broken":
            raise ValueError("broken")

    for entered, expected in (("", "t0ken"), ("**********", "t0ken"), ("another", "another")):
        job = reset.enqueue(to="broken", link=SecretStr("t0ken"))
        run_jobs()
        address = reverse("queues:edit", args=[job.id])
        html = operator.get(address).content.decode()
        assert 'placeholder="**********"' in html
        assert "t0ken" not in html
        assert operator.post(address, {"arg-to": "whole", "arg-link": entered}).status_code == 302
        run_jobs()
        assert seen[-1] == ("whole", expected)


def test_arguments_that_the_task_no_longer_takes_are_named_and_left_out(operator: Client) -> None:
    letter = make_dead_letter(payload={"label": "x", "colour": "red"})
    address = reverse("queues:edit", args=[letter.job_id])
    assert "no longer takes colour" in operator.get(address).content.decode()
    operator.post(address, {"arg-label": "x"})
    assert "colour" not in Job.objects.get(replay_of=letter.job).payload


def test_a_job_whose_old_arguments_do_not_fit_can_be_mended(operator: Client) -> None:
    letter = make_dead_letter(payload={"label": "x" * 201})
    operator.post(reverse("queues:edit", args=[letter.job_id]), {"arg-label": "short"})
    assert Job.objects.get(replay_of=letter.job).payload["label"] == "short"
