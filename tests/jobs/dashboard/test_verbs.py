"""What operators do."""

import pytest
from django.contrib.messages import get_messages
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from jobs.models import AuditEntry, DeadLetter, Job, QueueState
from jobs.states import State
from tests.jobs.records import ago, make_dead_letter, make_job, make_operator

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(make_operator())
    return client


def act(client: Client, verb: str, **data: object) -> HttpResponse:
    response = client.post(reverse("queues:job-verb", args=[verb]), data)
    assert response.status_code == 302
    return response  # type: ignore[return-value]


def said(response: HttpResponse) -> str:
    return " ".join(
        str(message)
        for message in get_messages(response.wsgi_request)  # type: ignore[attr-defined]
    )


def state_of(job: Job) -> str:
    job.refresh_from_db()
    return job.state


def test_a_queue_is_paused_and_resumed_and_the_audit_log_knows_by_whom(operator: Client) -> None:
    operator.post(reverse("queues:queue-verb", args=["email", "pause"]))
    assert QueueState.objects.get(name="email").paused_by == "user:olaf"
    operator.post(reverse("queues:queue-verb", args=["email", "resume"]))
    assert QueueState.objects.get(name="email").paused_at is None
    assert set(AuditEntry.objects.values_list("actor", "action")) == {
        ("user:olaf", "queue.paused"),
        ("user:olaf", "queue.resumed"),
    }


def test_pausing_twice_is_said_and_not_done(operator: Client) -> None:
    address = reverse("queues:queue-verb", args=["email", "pause"])
    operator.post(address)
    assert "paused already" in said(operator.post(address))  # type: ignore[arg-type]


def test_an_unknown_queue_or_verb_is_not_found(operator: Client) -> None:
    for args in (["nonsense", "pause"], ["email", "delete"]):
        assert operator.post(reverse("queues:queue-verb", args=args)).status_code == 404
    assert operator.post(reverse("queues:job-verb", args=["delete"])).status_code == 404


def test_a_waiting_job_is_cancelled(operator: Client) -> None:
    job = make_job(State.QUEUED)
    act(operator, "cancel", only=job.id)
    assert state_of(job) == State.CANCELLED


def test_a_scheduled_job_is_run_now(operator: Client) -> None:
    job = make_job(State.SCHEDULED, scheduled_at=ago(hours=-1))
    act(operator, "run-now", only=job.id)
    assert state_of(job) == State.AVAILABLE


def test_the_selected_dead_letters_are_replayed_and_the_others_left(operator: Client) -> None:
    letters = [make_dead_letter() for _ in range(3)]
    response = act(operator, "replay", id=[letter.job_id for letter in letters[:2]])
    assert "2 jobs replayed" in said(response)
    assert DeadLetter.objects.filter(decision="replayed").count() == 2
    assert Job.objects.filter(replay_of__in=[letters[0].job_id, letters[1].job_id]).count() == 2
    assert Job.objects.filter(replay_of=letters[2].job_id).count() == 0


def test_the_button_of_a_row_acts_on_its_row_whatever_is_selected(operator: Client) -> None:
    letter, other = make_dead_letter(), make_dead_letter()
    act(operator, "discard", only=letter.job_id, id=[other.job_id])
    assert DeadLetter.objects.get(job=letter.job).decision == "discarded"
    assert DeadLetter.objects.get(job=other.job).decision == ""


def test_what_is_not_possible_is_said_and_the_rest_is_done(operator: Client) -> None:
    done, waiting = make_job(State.SUCCEEDED), make_job(State.QUEUED)
    response = act(operator, "cancel", id=[done.id, waiting.id, "nonsense"])
    assert state_of(waiting) == State.CANCELLED
    text = said(response)
    assert "1 job cancelled" in text
    assert "succeeded already" in text
    assert "'nonsense' is no job id" in text


def test_nothing_selected_is_said(operator: Client) -> None:
    assert "Nothing was selected" in said(act(operator, "cancel"))


@pytest.mark.parametrize(
    "address", ["https://evil.example/", "//evil.example", "javascript:alert(1)", ""]
)
def test_an_act_never_leads_to_another_site(operator: Client, address: str) -> None:
    assert act(operator, "cancel", next=address)["Location"] == reverse("queues:index")


def test_an_act_returns_to_the_page_it_was_done_on(operator: Client) -> None:
    address = reverse("queues:jobs") + "?state=dead&queue=pdf"
    assert act(operator, "cancel", next=address)["Location"] == address
