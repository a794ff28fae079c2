"""What the pages show."""

import re
import uuid

import pytest
from django.test import Client
from django.urls import reverse

from jobs import payload
from jobs.definition import Step
from jobs.models import Job, QueueState
from jobs.states import State
from tests.jobs.records import (
    ago,
    make_attempt,
    make_dead_letter,
    make_job,
    make_operator,
    make_viewer,
    make_worker,
    now,
)

pytestmark = pytest.mark.django_db

HOSTILE = "</pre></title><script>alert(1)</script><img src=x onerror=alert(2)>'\"{{ 7|add:7 }}"


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(make_viewer())
    return client


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(make_operator())
    return client


def text_of(client: Client, name: str, *args: object, query: str = "") -> str:
    response = client.get(reverse(name, args=args) + query)
    assert response.status_code == 200
    html = re.sub(r"(?s)<script.*?</script>|<style.*?</style>", "", response.content.decode())
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_the_dashboard_says_how_the_queues_are(viewer: Client) -> None:
    for _ in range(3):
        make_job(State.QUEUED, scheduled_at=ago(seconds=245))
    QueueState.objects.create(name="pdf", paused_at=now(), paused_by="user:ann")
    make_dead_letter()
    make_worker("inventory")
    text = text_of(viewer, "queues:index")
    assert "3 waiting oldest 4 min" in text
    assert "1 dead letter" in text
    assert "pdf paused" in text
    assert "email no worker" in text
    assert "worker-1 :42" in text


def test_the_dashboard_shows_failures_of_the_last_day_together(viewer: Client) -> None:
    job = make_job(State.SCHEDULED)
    for number in (1, 2):
        make_attempt(job, number=number, error_type="SMTPError", error="mailbox full")
    text = text_of(viewer, "queues:index")
    assert "SMTPError 2 attempts of 1 job" in text
    assert "mailbox full" in text


def test_the_live_part_is_the_page_without_the_admin_around_it(viewer: Client) -> None:
    response = viewer.get(reverse("queues:index"), {"live": ""})
    html = response.content.decode()
    assert "<html" not in html
    assert "Throughput" in html


def test_a_list_shows_the_jobs_that_fit_the_filter(viewer: Client) -> None:
    make_job(task="a.first", tenant="acme")
    make_job(State.SUCCEEDED, task="b.second")
    assert "b.second" not in text_of(viewer, "queues:jobs", query="?tenant=acme")
    assert "a.first" not in text_of(viewer, "queues:jobs", query="?state=succeeded")
    text = text_of(viewer, "queues:jobs")
    assert "a.first" in text
    assert "b.second" in text


@pytest.mark.parametrize(
    "query",
    [
        "?queue=nonsense",
        "?state=nonsense",
        "?since=yesterday",
        "?before=nonsense",
        "?after=1~2",
        "?task=%00",
        "?q=%00",
        "?tenant=%F0%9F%92%A9",
        "?q=" + "x" * 500,
    ],
)
def test_a_filter_that_makes_no_sense_does_no_harm(viewer: Client, query: str) -> None:
    for page in ("queues:jobs", "queues:dead-letters"):
        assert viewer.get(reverse(page) + query).status_code == 200


def test_the_older_and_newer_pages_are_linked(viewer: Client) -> None:
    for _ in range(51):
        make_job(tenant="acme")
    html = viewer.get(reverse("queues:jobs"), {"tenant": "acme"}).content.decode()
    (link,) = re.findall(r'href="(\?tenant=acme&amp;before=[^"]+)"', html)
    second = viewer.get(reverse("queues:jobs") + link.replace("&amp;", "&")).content.decode()
    assert second.count('class="ops-name"') == 1
    assert "after=" in second


def test_a_job_shows_its_arguments_attempts_progress_and_history(operator: Client) -> None:
    job = make_job(
        State.RUNNING, payload={"order_id": 10248}, progress={"done": 3, "total": 4, "note": "row"}
    )
    make_attempt(job, error_type="ValueError", error="bad row", traceback="Traceback: here")
    operator.post(reverse("queues:job-verb", args=["cancel"]), {"only": str(job.id)})
    text = text_of(operator, "queues:job", job.id)
    for part in (
        "order_id",
        "10248",
        "3 of 4",
        "bad row",
        "Traceback: here",
        "asked to stop",
        "cancel_requested user:olaf",
    ):
        assert part in text.replace("&quot;", '"')


def test_a_job_that_does_not_exist_is_not_found(viewer: Client) -> None:
    for job_id in (uuid.uuid4(), "nonsense"):
        assert viewer.get(reverse("queues:job", args=[job_id])).status_code == 404


def test_acts_are_offered_where_the_state_allows_them(operator: Client) -> None:
    def offered(job: Job) -> set[str]:
        html = operator.get(reverse("queues:job", args=[job.id])).content.decode()
        return set(re.findall(r"/jobs/act/([a-z-]+)/", html))

    assert offered(make_job(State.SCHEDULED)) == {"run-now", "cancel"}
    assert offered(make_job(State.RUNNING)) == {"cancel"}
    assert offered(make_job(State.SUCCEEDED)) == set()
    assert offered(make_dead_letter().job) == {"replay", "discard"}


def test_hostile_text_is_only_text_everywhere(operator: Client) -> None:
    letter = make_dead_letter(
        error=HOSTILE,
        task=HOSTILE[:60],
        tenant=HOSTILE[:60],
        payload={HOSTILE: HOSTILE},
        correlation_id=HOSTILE[:60],
        enqueued_by=HOSTILE,
        result={"x": HOSTILE},
        canvas={"chain": [Step(task=HOSTILE, payload={}).as_signature()]},
    )
    make_attempt(letter.job, error=HOSTILE, error_type=HOSTILE, traceback=HOSTILE)
    running = make_job(
        State.RUNNING,
        progress={"done": 1, "total": 2, "note": HOSTILE},
        worker=make_worker("email", HOSTILE, host=HOSTILE).id,
    )
    pages = [
        reverse("queues:index"),
        reverse("queues:jobs"),
        reverse("queues:dead-letters"),
        reverse("queues:job", args=[letter.job_id]),
        reverse("queues:job", args=[running.id]),
        reverse("queues:jobs") + "?q=%3Cscript%3Ealert(1)%3C/script%3E",
    ]
    for page in pages:
        html = operator.get(page).content.decode()
        assert "<script>alert" not in html
        assert "<img src=x" not in html
        assert "&lt;" in html


def test_a_broken_progress_or_payload_does_not_break_a_page(viewer: Client) -> None:
    for progress in ({"done": 1}, {"done": "x", "total": 0}, [1], {"done": 5, "total": 3}, "half"):
        job = make_job(State.RUNNING, progress=progress, payload=["not", "an", "object"])
        assert viewer.get(reverse("queues:job", args=[job.id])).status_code == 200
    assert viewer.get(reverse("queues:jobs")).status_code == 200


def test_secret_arguments_are_masked_on_every_page(operator: Client) -> None:
    sealed = b"gAAAA-the-encrypted-link"
    job = make_dead_letter(payload={"link": payload.MASK}, secrets=sealed).job
    for page in (
        reverse("queues:jobs"),
        reverse("queues:dead-letters"),
        reverse("queues:job", args=[job.id]),
    ):
        html = operator.get(page).content.decode()
        assert payload.MASK in html
        assert "the-encrypted-link" not in html
