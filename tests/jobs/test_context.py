"""On whose behalf code runs: contexts nest, end, and keep to their thread; requests open one."""

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from jobs.context import (
    Context,
    CorrelationMiddleware,
    add_context,
    current_context,
    job_context,
)
from jobs.models import Job
from jobs.tasks import probe
from tenants.models import User


def known() -> tuple[str, str, str]:
    context = current_context()
    return context.tenant, context.actor, context.correlation_id


def test_outside_of_everything_it_is_the_system_for_no_tenant() -> None:
    assert known() == ("", "system", "")


def test_contexts_nest_and_end_even_by_an_error() -> None:
    with job_context(tenant="acme", actor="user:ann", correlation_id="c-1"):
        with job_context(tenant="globex"):
            assert known() == ("globex", "user:ann", "c-1")
        with suppress(LookupError), job_context(actor="schedule:nightly"):
            assert known() == ("acme", "schedule:nightly", "c-1")
            raise LookupError
        assert known() == ("acme", "user:ann", "c-1")
    assert known() == ("", "system", "")


def test_a_thread_does_not_see_the_context_of_another() -> None:
    with job_context(tenant="acme"):
        assert ThreadPoolExecutor().submit(known).result() == ("", "system", "")


def told() -> dict[str, Any]:
    return add_context(None, "info", {})


def test_log_lines_carry_the_context_and_lose_it_afterwards() -> None:
    before = told()
    with job_context(tenant="acme", correlation_id="c-1"):
        with job_context(tenant="globex", job_id="7"):
            assert told() == before | {
                "tenant": "globex",
                "correlation_id": "c-1",
                "job_id": "7",
            }
        assert told() == before | {"tenant": "acme", "correlation_id": "c-1"}
        assert add_context(None, "info", {"tenant": "said"})["tenant"] == "said"
    assert told() == before


def answered(request: HttpRequest) -> tuple[HttpResponse, Context]:
    """Return the answer to a request, and the context in which it was made."""
    seen: list[Context] = []

    def view(_: HttpRequest) -> HttpResponse:
        seen.append(current_context())
        return HttpResponse()

    response = CorrelationMiddleware(view)(request)
    return response, seen[0]


@pytest.mark.parametrize(
    "given", ["a", "request-7", "01J.ABC_def:9", "f" * 64, "3f2504e0-4f89-11d3-9a0c-0305e82c3301"]
)
def test_a_sane_request_id_is_taken_over_and_given_back(given: str) -> None:
    response, context = answered(RequestFactory().get("/", headers={"X-Request-ID": given}))
    assert context.correlation_id == response.headers["X-Request-ID"] == given


@pytest.mark.parametrize(
    "given",
    [
        "",
        " ",
        "f" * 65,
        "a b",
        "a\nSet-Cookie: x=1",
        "a\r\nlog line",
        "a\n",
        "<script>alert(1)</script>",
        "'; DROP TABLE jobs_job; --",
        "../../etc/passwd",
        "Ζ",
        "a\x00b",
        "%0a",
        "{{7*7}}",
    ],
    ids=ascii,
)
def test_a_hostile_request_id_is_replaced_by_one_of_ours(given: str) -> None:
    response, context = answered(RequestFactory().get("/", headers={"X-Request-ID": given}))
    assert context.correlation_id == response.headers["X-Request-ID"]
    assert re.fullmatch(r"[0-9a-f]{32}", context.correlation_id)


def test_requests_without_an_id_get_different_ones() -> None:
    ids = {answered(RequestFactory().get("/"))[1].correlation_id for _ in range(10)}
    assert len(ids) == 10


@pytest.mark.django_db
def test_the_actor_is_the_request_s_user_and_asked_for_only_when_needed() -> None:
    for user, actor in (
        (User(username="ann"), "user:ann"),
        (User(username="n" * 150), f"user:{'n' * 145}"),
        (AnonymousUser(), "anonymous"),
        (None, "anonymous"),
    ):
        request = RequestFactory().get("/")
        if user is not None:
            request.user = user
        assert answered(request)[1].actor == actor
    assert answered(RequestFactory().get("/"))[1].tenant == ""


@pytest.mark.django_db
def test_a_job_enqueued_by_a_request_names_the_user_and_the_request() -> None:
    request = RequestFactory().get("/", headers={"X-Request-ID": "request-7"})
    request.user = User(username="ann")

    def view(_: HttpRequest) -> HttpResponse:
        probe.enqueue(label="x")
        return HttpResponse()

    CorrelationMiddleware(view)(request)
    job = Job.objects.get()
    assert (job.enqueued_by, job.correlation_id) == ("user:ann", "request-7")


@pytest.mark.django_db
def test_every_answer_of_the_site_names_its_request(client: Client) -> None:
    response = client.get("/no-such-page", headers={"X-Request-ID": "request-7"})
    assert response.headers["X-Request-ID"] == "request-7"
