"""Replaying many dead letters from the dashboard."""

import re

import pytest
from django.contrib.messages import get_messages
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from jobs import replays
from jobs.models import DeadLetter, Job, ReplayBatch
from jobs.selectors import DeadLetterFilter
from jobs.states import State
from jobs.testing import run_jobs
from tests.jobs.records import ago, make_dead_letter, make_operator, make_viewer, now

pytestmark = pytest.mark.django_db

START = reverse("queues:replay-start")


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(make_operator())
    return client


def text_of(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200
    html = re.sub(r"(?s)<script.*?</script>|<style.*?</style>", "", response.content.decode())
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def said(response: HttpResponse) -> str:
    request = response.wsgi_request  # type: ignore[attr-defined]
    return " ".join(str(message) for message in get_messages(request))


def start(client: Client, **data: object) -> HttpResponse:
    response = client.post(START, data)
    assert response.status_code == 302
    return response  # type: ignore[return-value]


def test_the_page_before_it_begins_tells_which_letters_and_why_they_died(operator: Client) -> None:
    for _ in range(3):
        make_dead_letter()
    make_dead_letter(queue="pdf")
    decided = make_dead_letter()
    DeadLetter.objects.filter(job=decided.job).update(decision="discarded")
    address = reverse("queues:replay-new")
    text = text_of(operator, f"{address}?queue=email&decided=1")
    assert "3 dead letters that fit" in text
    assert "jobs.probe ValueError out of attempts email 3" in text
    assert "Really all of them" not in text
    assert "Really all of them" in text_of(operator, address)
    assert "No dead letter that waits" in text_of(operator, f"{address}?queue=imports")


def test_what_fits_the_filter_is_replayed_one_first(operator: Client) -> None:
    letters = [make_dead_letter() for _ in range(3)]
    make_dead_letter(queue="pdf")
    response = start(operator, queue="email", task="", died_after="")
    batch = ReplayBatch.objects.get()
    assert response["Location"] == reverse("queues:replay", args=[batch.id])
    assert (batch.total, batch.state, batch.created_by) == (3, "canary", "user:olaf")
    run_jobs(retries=True)
    text = text_of(operator, response["Location"])
    assert "done 3 of 3 replayed" in text
    assert "3: 3 replayed, 0 refused" in text
    replayed = DeadLetter.objects.filter(decision="replayed").values_list("job_id", flat=True)
    assert set(replayed) == {letter.job_id for letter in letters}


def test_the_selected_are_replayed_and_no_others(operator: Client) -> None:
    letters = [make_dead_letter() for _ in range(3)]
    start(operator, selected=1, id=[letter.job_id for letter in letters[:2]])
    batch = ReplayBatch.objects.get()
    assert batch.total == 2
    assert "Selected 2" in text_of(operator, reverse("queues:replay", args=[batch.id]))


def test_without_a_first_one_when_that_was_ticked(operator: Client) -> None:
    make_dead_letter()
    start(operator, queue="email", **{"at-once": "1"})
    assert ReplayBatch.objects.get().state == "running"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({}, "or that you mean all of them"),
        ({"queue": "imports"}, "No dead letter that waits"),
        ({"selected": "1"}, "Nothing was selected"),
        ({"selected": "1", "id": ["nonsense"]}, "no job id"),
        ({"queue": "email", "died_before": "yesterday"}, "The filter does not fit"),
        ({"queue": "nonsense", "all": "1"}, "The filter does not fit"),
    ],
)
def test_what_does_not_fit_replays_nothing_and_says_why(
    operator: Client, data: dict[str, object], text: str
) -> None:
    make_dead_letter()
    assert text in said(start(operator, **data))
    assert not ReplayBatch.objects.exists()


def test_all_are_replayed_when_that_was_ticked(operator: Client) -> None:
    make_dead_letter()
    start(operator, all="1")
    assert ReplayBatch.objects.get().total == 1


def test_a_replay_shows_how_far_it_is_and_can_be_stopped(operator: Client) -> None:
    for _ in range(2):
        make_dead_letter(task="tests.removed", finished_at=ago(minutes=5))
    for _ in range(2):
        make_dead_letter()
    batch = replays.replay_many(DeadLetterFilter(queue="email"), actor="user:ann")
    with pytest.raises(Exception, match="not finished"):
        replays.go_on(batch.id)
    address = reverse("queues:replay", args=[batch.id])
    text = text_of(operator, address)
    assert "3 of 4" in text
    assert "2 × Unknown task &#x27;tests.removed&#x27;" in text
    assert "jobs.probe queued" in text
    assert "data-live" in operator.get(address).content.decode()
    assert "3 of 4" in operator.get(address, {"live": ""}).content.decode()
    response = operator.post(reverse("queues:replay-stop", args=[batch.id]))
    assert "is stopped" in said(response)  # type: ignore[arg-type]
    text = text_of(operator, address)
    assert "Stopped by user:olaf." in text
    assert "data-live" not in operator.get(address).content.decode()
    response = operator.post(reverse("queues:replay-stop", args=[batch.id]))
    assert "stopped already" in said(response)  # type: ignore[arg-type]


def test_a_first_one_that_died_is_shown_with_its_error(operator: Client) -> None:
    make_dead_letter(payload={"label": "x", "fail_permanently": True})
    start(operator, queue="email")
    run_jobs(retries=True)
    text = text_of(operator, reverse("queues:replay", args=[ReplayBatch.objects.get().id]))
    assert "The first one ended as dead. PermanentError: The probe was asked" in text
    assert "jobs.probe dead" in text


def test_the_list_has_all_replays_and_viewers_find_nothing_to_act_with(client: Client) -> None:
    for queue in ("email", "pdf"):
        make_dead_letter(queue=queue)
        replays.replay_many(DeadLetterFilter(queue=queue), actor="user:ann")
    Job.objects.filter(state=State.DEAD).update(finished_at=now())
    client.force_login(make_viewer())
    text = text_of(client, reverse("queues:replays"))
    assert text.index("queue pdf") < text.index("queue email")
    assert "0 of 1" in text
    batch = ReplayBatch.objects.first()
    assert batch is not None
    page = client.get(reverse("queues:replay", args=[batch.id])).content.decode()
    assert "formaction" not in page
    assert client.get(reverse("queues:replay", args=[99_999])).status_code == 404


def test_the_dead_letters_lead_to_replaying_those_that_fit_the_filter(operator: Client) -> None:
    make_dead_letter(queue="pdf")
    html = operator.get(reverse("queues:dead-letters"), {"queue": "pdf"}).content.decode()
    assert f'href="{reverse("queues:replay-new")}?queue=pdf"' in html
    assert "Replay one first, then the rest" in html
