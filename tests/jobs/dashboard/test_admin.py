"""The audit log, the tokens, and Celery's tables in the admin."""

import re

import pytest
from django.test import Client
from django_celery_results.models import TaskResult

from jobs.models import ApiToken, AuditEntry
from jobs.tokens import user_of_token
from tests.jobs.records import make_user

pytestmark = pytest.mark.django_db

TOKENS = "/admin/jobs/apitoken/"


def test_a_token_is_shown_once_and_kept_only_as_a_digest(client: Client) -> None:
    user = make_user("ann", "jobs.add_apitoken", "jobs.view_apitoken")
    client.force_login(user)
    response = client.post(f"{TOKENS}add/", {"name": "prometheus"})
    assert "no-store" in response["Cache-Control"]
    (secret,) = re.findall(r'<pre id="token">(\S+)</pre>', response.content.decode())
    assert user_of_token(secret) == user
    token = ApiToken.objects.get()
    assert secret not in str(vars(token))
    assert secret not in client.get(TOKENS).content.decode()
    assert AuditEntry.objects.get().action == "token.created"


def test_people_make_tokens_for_themselves_and_see_no_others(client: Client) -> None:
    root = make_user("root")
    ann = make_user("ann", "jobs.add_apitoken", "jobs.view_apitoken")
    ApiToken.objects.create(name="secret-of-root", user=root, digest="x", hint="erp_x")
    client.force_login(ann)
    client.post(f"{TOKENS}add/", {"name": "mine", "user": root.id})
    assert ApiToken.objects.get(name="mine").user == ann
    assert "secret-of-root" not in client.get(TOKENS).content.decode()


def test_a_revoked_token_is_gone_and_the_audit_log_says_so(admin_client: Client) -> None:
    response = admin_client.post(f"{TOKENS}add/", {"name": "t", "user": make_user("ann").id})
    (secret,) = re.findall(r'<pre id="token">(\S+)</pre>', response.content.decode())
    admin_client.post(f"{TOKENS}{ApiToken.objects.get().id}/delete/", {"post": "yes"})
    assert user_of_token(secret) is None
    assert "token.revoked" in AuditEntry.objects.values_list("action", flat=True)


def test_the_audit_log_links_jobs_and_shows_details(admin_client: Client) -> None:
    entry = AuditEntry.objects.create(
        actor="user:ann",
        action="job.cancelled",
        subject_type="job",
        subject_id="0198-x",
        detail={"note": "<script>alert(1)</script>"},
    )
    html = admin_client.get("/admin/jobs/auditentry/").content.decode()
    assert "/admin/queues/jobs/0198-x/" in html
    html = admin_client.get(f"/admin/jobs/auditentry/{entry.id}/change/").content.decode()
    assert "&lt;script&gt;alert(1)" in html
    assert "<script>alert(1)" not in html


def test_results_are_only_looked_at(admin_client: Client) -> None:
    row = TaskResult.objects.create(task_id="x", status="SUCCESS")
    base = "/admin/django_celery_results/taskresult/"
    assert admin_client.get(f"{base}{row.pk}/change/").status_code == 200
    assert admin_client.get(f"{base}add/").status_code == 403
    assert admin_client.post(f"{base}{row.pk}/delete/", {"post": "yes"}).status_code == 403
