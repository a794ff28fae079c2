"""The page of a queue, and changing its limits there."""

import re
from collections.abc import Iterator

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from jobs import gates, job_task
from jobs.definition import Unique
from jobs.models import AuditEntry, Job, LimitOverride
from jobs.states import State
from tests.jobs.records import ago, make_job, make_operator, make_user, make_viewer, make_worker

pytestmark = pytest.mark.django_db

PAGE = "/admin/queues/email/"
LIMIT = "/admin/queues/limits/email/rate/to/"


@pytest.fixture(autouse=True)
def what_operators_set_is_read_anew() -> Iterator[None]:
    gates.overrides.forget()
    yield
    gates.overrides.forget()


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(make_operator())
    return client


def text_of(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200
    html = re.sub(r"(?s)<script.*?</script>|<style.*?</style>", "", response.content.decode())
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def changed(client: Client, **form: object) -> str:
    response = client.post(LIMIT, form)
    assert response.status_code == 302
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def test_it_says_how_the_queue_is_and_what_its_limits_are(operator: Client) -> None:
    for gate in ("email/rate/to=aa", "email/rate/to=bb", "email/rate"):
        make_job(State.AVAILABLE, parked=True, gate=gate, scheduled_at=ago(hours=1))
    make_job(State.QUEUED, scheduled_at=ago(seconds=4))
    make_worker("email")
    text = text_of(operator, PAGE)
    assert "One message to one person" in text
    assert "4 waiting oldest in line 4" in text, "who waits for a limit is not late"
    assert "3 parked" in text
    assert "email/rate/to 20 in 3600 s for each to" in text
    assert "as declared" in text
    assert "worker-1 :42" in text


def test_parked_jobs_are_seen_in_the_depth_of_their_queue(operator: Client) -> None:
    make_job(State.AVAILABLE, parked=True, gate="email/rate")
    text = text_of(operator, reverse("queues:index"))
    assert "1 parked" in text
    assert "1 waiting parked, for limits" in text


def test_it_tells_who_changed_a_limit_and_what_the_code_says(operator: Client) -> None:
    assert changed(operator, value="5") == "Limit email/rate/to: 5 in 3600 s for each to."
    text = text_of(operator, PAGE)
    assert "email/rate/to 5 in 3600 s for each to" in text
    assert "user:olaf" in text
    assert "declared 20 in 3600 s for each to" in text


def test_a_limit_is_taken_away_and_put_back(operator: Client) -> None:
    assert changed(operator, value="5", to="off") == "Limit email/rate/to: no limit."
    assert "As declared" in text_of(operator, PAGE)
    assert "20 in 3600 s" in changed(operator, value="5", to="default")
    assert not LimitOverride.objects.exists()
    assert {entry.actor for entry in AuditEntry.objects.all()} == {"user:olaf"}


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ({"value": ""}, "whole number"),
        ({"value": "many"}, "whole number"),
        ({"value": "1.5"}, "whole number"),
        ({"value": "-1"}, "from 0 to"),
        ({"value": "10000000"}, "from 0 to"),
        ({"to": "default"}, "Nobody changed"),
    ],
)
def test_what_cannot_be_set_is_said_and_not_done(
    operator: Client, form: dict[str, str], text: str
) -> None:
    assert text in changed(operator, **form)
    assert not LimitOverride.objects.exists()


def test_an_unknown_queue_or_limit_is_not_found(operator: Client) -> None:
    assert operator.get("/admin/queues/emial/").status_code == 404
    for form in ({"value": "1"}, {"to": "default"}):
        assert operator.post("/admin/queues/limits/emial/rate/", form).status_code == 404


def test_an_act_returns_to_the_page_of_the_queue(operator: Client) -> None:
    assert operator.post(LIMIT, {"value": "5", "next": PAGE})["Location"] == PAGE


def test_viewers_look_and_find_nothing_to_act_with(client: Client) -> None:
    assert client.get(PAGE).status_code == 302
    client.force_login(make_user("sam"))
    assert client.get(PAGE).status_code == 403
    client.force_login(make_viewer())
    html = client.get(PAGE).content.decode()
    assert "email/rate/to" in html
    assert "formaction" not in html
    assert "/limits/" not in html


def test_only_operators_change_limits_by_a_form_with_a_token(client: Client) -> None:
    assert client.post(LIMIT, {"value": "5"}).status_code == 302
    client.force_login(make_viewer())
    assert client.post(LIMIT, {"value": "5"}).status_code == 403
    strict = Client(enforce_csrf_checks=True)
    operator = make_operator()
    strict.force_login(operator)
    assert strict.post(LIMIT, {"value": "5"}).status_code == 403
    client.force_login(operator)
    assert client.get(LIMIT).status_code == 405
    assert not LimitOverride.objects.exists()


def test_a_queue_without_limits_says_so(operator: Client) -> None:
    text = text_of(operator, "/admin/queues/maintenance/")
    assert "Neither the queue nor a task of it declares a limit" in text


def test_a_job_says_why_it_waits_when_it_expires_and_that_it_is_unique(operator: Client) -> None:
    gate = "email/rate/to=aa"
    job = make_job(
        State.AVAILABLE, parked=True, gate=gate, gates=[gate, "email/rate"], unique_key="k",
        expires_at=ago(hours=-1),
    )  # fmt: skip
    text = text_of(operator, reverse("queues:job", args=[job.id]))
    assert "It is parked" in text
    assert "It waits: email/rate/to: 20 in 3600 s for each to" in text
    assert "email/rate: 100 in 60 s" in text
    assert "Expires" in text
    assert "who enqueues another like it gets this one" in text
    assert "available parked" in text_of(operator, reverse("queues:jobs"))


def test_a_job_of_a_queue_that_is_no_longer_declared_is_shown(operator: Client) -> None:
    job = make_job(State.AVAILABLE, queue="fax", parked=True, gate="fax/rate")
    text = text_of(operator, reverse("queues:job", args=[job.id]))
    assert "fax/rate: no longer declared" in text
    assert "1 parked" not in text_of(operator, reverse("queues:index"))


def test_running_a_task_says_when_the_job_was_there_already(operator: Client) -> None:
    @job_task(name="tests.only", queue="reports", unique=Unique())
    def only() -> None:
        pass

    address = reverse("queues:run-task", args=["tests.only"])
    form = {"queue": "", "priority": "", "tenant": "", "delay": "", "expires": "60"}
    operator.post(address, form)
    response = operator.post(address, form)
    job = Job.objects.get()
    assert response["Location"] == reverse("queues:job", args=[job.id])
    told = [str(message) for message in get_messages(response.wsgi_request)]
    assert "A job like it was there already: this one." in told
    assert job.expires_at is not None
