"""Running a schedule by hand, and trying what that would do."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from jobs import job_task
from jobs.dry_run import tell
from jobs.models import AuditEntry, Firing, Job, Schedule
from jobs.scheduled_date import ScheduledDate
from jobs.states import State
from jobs.tasks import canary, probe
from tenants.models import Tenant
from tests.jobs.records import ago, make_job, make_operator, make_user, make_viewer, make_worker
from tests.jobs.schedules.schedules import make_schedule

pytestmark = pytest.mark.django_db

HOSTILE = "<script>alert(1)</script>"
QUOTE = "&quot;"


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(make_operator())
    return client


@pytest.fixture(autouse=True)
def acme() -> Tenant:
    return Tenant.objects.create(slug="acme", name="Acme", timezone="Asia/Tokyo")


@pytest.fixture
def digests() -> Schedule:
    """A schedule whose task takes a day and a tenant, enqueues jobs, and tells of a notice."""

    @job_task(name="tests.mail", queue="email")
    def mail(*, to: str, subject: str) -> None:
        pass

    @job_task(name="tests.breaks", queue="reports", atomic=True)
    def breaks(*, to: str) -> None:
        raise ValueError(HOSTILE)

    @job_task(name="tests.digests", queue="reports", atomic=True)
    def make(
        *, zone: str | None = None, tenant: str | None = None, as_of: ScheduledDate = None
    ) -> dict[str, int]:
        Tenant.objects.create(slug="made", name="made")
        for number in range(3):
            mail.using(tenant=tenant or "acme").enqueue(to="ann@example.org", subject=f"{number}")
        mail.using(tenant="acme").enqueue(to=HOSTILE, subject=f"for {as_of} {tenant}")
        breaks.using(tenant="acme").enqueue(to="bob@example.org")
        for _ in range(2):
            tell("notice", tenant="acme", to="ann", subject="3 documents")
        return {"digests": 4}

    return make_schedule(
        name="digests", cron="0 7 * * *", zone="Asia/Tokyo", task="tests.digests",
        kwargs={"zone": "Asia/Tokyo"},
    )  # fmt: skip


def run(client: Client, schedule: Schedule, **form: str) -> Any:
    return client.post(reverse("queues:schedule-run", args=[schedule.pk]), form)


def text_of(response: Any) -> str:
    html = re.sub(r"(?s)<script.*?</script>|<style.*?</style>", "", response.content.decode())
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def everything() -> dict[str, int]:
    """How many rows each table has, and how often any was written."""
    with connection.cursor() as cursor:
        found = {}
        for name in connection.introspection.table_names():
            cursor.execute(
                f"SELECT count(*), md5(string_agg(t::text, '' ORDER BY t::text)) FROM \"{name}\" t"
            )
            found[name] = cursor.fetchone()
    return found


def test_a_run_is_a_job_of_the_operator_in_the_history_and_the_audit_log(
    operator: Client, digests: Schedule
) -> None:
    response = run(operator, digests, day="2026-02-28", tenant="acme")
    (job,) = Job.objects.filter(task="tests.digests")
    assert response["Location"] == reverse("queues:job", args=[job.id])
    assert job.payload == {"zone": None, "tenant": "acme", "as_of": "2026-02-28"}
    assert (job.enqueued_by, job.tenant) == ("user:olaf", "acme")
    told = [str(message) for message in get_messages(response.wsgi_request)]
    assert told == [f"digests is enqueued: job {job.id}."]
    firing = Firing.objects.get()
    assert (firing.by_hand, firing.job_id) == ("user:olaf", job.id)
    entry = AuditEntry.objects.get(action="schedule.run")
    assert entry.detail is not None
    assert (entry.actor, entry.detail["day"]) == ("user:olaf", "2026-02-28")
    page = operator.get(reverse("queues:schedule", args=[digests.pk]))
    assert "by user:olaf" in text_of(page)


def test_left_empty_it_is_run_for_today_and_for_all(operator: Client, digests: Schedule) -> None:
    run(operator, digests, day="", tenant="")
    (job,) = Job.objects.filter(task="tests.digests")
    today = timezone.now() + timedelta(hours=9)
    assert job.payload == {"zone": "Asia/Tokyo", "tenant": None, "as_of": f"{today:%Y-%m-%d}"}


def test_a_dry_run_says_who_would_get_what_how_often(operator: Client, digests: Schedule) -> None:
    response = run(operator, digests, **{"try": "1", "day": "2026-02-28", "tenant": "acme"})
    assert response.status_code == 200
    text = text_of(response)
    assert "7 things would happen" in text
    assert "Day Sat 2026-02-28" in text
    assert "It returns digests=4" in text
    mails = r" ann@example.org 1 to=\S+ subject=\S*0\S* ann@example.org 1 to=\S+ subject=\S*1\S* "
    assert re.search(rf"4 × tests.mail acme .*{mails}", text), "each says something else"
    assert re.search(r"2 × notice acme .* ann 2 subject=", text)
    assert "would fail: ValueError: &lt;script&gt;" in text
    assert HOSTILE not in response.content.decode()
    assert 'value="2026-02-28"' in response.content.decode(), "to run it now as it was tried"


def test_a_dry_run_changes_nothing(operator: Client, digests: Schedule) -> None:
    run(operator, digests, **{"try": "1"})  # whoever comes first writes his session
    before = everything()
    assert run(operator, digests, **{"try": "1"}).status_code == 200
    assert everything() == before


def test_of_very_many_things_some_are_shown_and_all_are_counted(operator: Client) -> None:
    @job_task(name="tests.many", queue="reports", atomic=True)
    def many() -> None:
        for number in range(120):
            tell("notice", to=f"user {number:03}")

    schedule = make_schedule(cron="0 7 * * *", task="tests.many", kwargs={})
    text = text_of(run(operator, schedule, **{"try": "1"}))
    assert "120 × notice" in text
    assert "user 049" in text
    assert "user 050" not in text
    assert "And 70 more like these" in text


def test_a_dry_run_of_the_pruner_says_how_much_of_what_would_go(operator: Client) -> None:
    for _ in range(3):
        make_job(State.SUCCEEDED, finished_at=ago(days=40))
    make_worker("email", stopped_at=ago(days=40))
    schedule = make_schedule(cron="0 3 * * *", task="jobs.prune", kwargs={})
    day = ago(days=20).date()
    response = run(operator, schedule, **{"try": "1", "day": str(day)})
    text = text_of(response)
    assert "4 things would happen" in text
    assert "It returns succeeded jobs=3 workers=1" in text
    assert f"3 × succeeded jobs of no tenant Times What it would say 3 before={QUOTE}" in text
    assert f"{day - timedelta(days=7)} 00:00:00 UTC" in text
    assert Job.objects.count() == 3
    refused = run(operator, schedule, **{"try": "1", "day": "2999-01-01"})
    assert (refused.status_code, "date: 2999-01-01 is still to come" in text_of(refused)) == (
        422,
        True,
    )


@pytest.mark.parametrize("act", [{"try": "1"}, {}])
@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ({"day": "0000-00-00"}, "Enter a valid date"),
        ({"day": "2026-02-30"}, "Enter a valid date"),
        ({"day": "tomorrow"}, "Enter a valid date"),
        ({"day": "💩"}, "Enter a valid date"),
        ({"day": "9" * 10_000}, "Enter a valid date"),
        ({"day": "\0"}, "Enter a valid date"),
        ({"tenant": "nobody"}, "Unknown tenant &#x27;nobody&#x27;"),
        ({"tenant": "ünïcödé 💩"}, "Unknown tenant"),
        ({"tenant": "x" * 10_000}, "at most 64 characters"),
        ({"tenant": "\0"}, "Null characters are not allowed"),
        ({"tenant": "<script>alert(1)</script>"}, "Unknown tenant"),
    ],
)
def test_what_does_not_fit_is_said_and_not_done(
    operator: Client, digests: Schedule, act: dict[str, str], form: dict[str, str], problem: str
) -> None:
    response = run(operator, digests, **form, **act)
    assert response.status_code == 422
    assert problem in text_of(response)
    assert HOSTILE not in response.content.decode()
    assert not Job.objects.exists()
    assert not Firing.objects.exists()


def test_a_body_that_raises_is_told_of(operator: Client) -> None:
    @job_task(name="tests.bad", queue="reports", atomic=True)
    def bad(*, as_of: ScheduledDate = None) -> None:
        assert as_of
        Schedule.objects.filter(pk=as_of - timedelta(days=400)).get()

    schedule = make_schedule(cron="0 7 * * *", task="tests.bad", kwargs={})
    for day in ("0001-01-01", "2026-01-01"):
        response = run(operator, schedule, **{"try": "1", "day": day})
        assert response.status_code == 422
        assert "tests.bad would fail" in text_of(response)


@pytest.mark.parametrize(
    ("fields", "form", "problem"),
    [
        ({"task": "jobs.probe"}, {"try": "1"}, "only atomic tasks have a dry run"),
        ({"task": "jobs.probe"}, {"day": "2026-01-01"}, "not done for a day"),
        ({"task": "jobs.probe"}, {"tenant": "acme"}, "takes no argument"),
        ({"task": "no.longer.there"}, {}, "Unknown task"),
        ({"kwargs": {"lable": 1}}, {}, "unknown argument"),
        ({"priority": 9}, {}, "priority: 9 is none of"),
        ({"queue": "fax"}, {}, "Unknown queue"),
        ({"args": "[1]"}, {}, "by name"),
    ],
)
def test_what_cannot_be_run_says_why(
    operator: Client, fields: dict[str, Any], form: dict[str, str], problem: str
) -> None:
    response = run(operator, make_schedule(cron="0 7 * * *", **fields), **form)
    assert response.status_code == 422
    assert problem in text_of(response)
    assert not Job.objects.exists()


def test_the_form_asks_for_what_the_task_takes(operator: Client, digests: Schedule) -> None:
    def asked(schedule: Schedule) -> set[str]:
        html = operator.get(reverse("queues:schedule", args=[schedule.pk])).content.decode()
        return set(re.findall(r'name="(day|tenant)"', html))

    assert asked(digests) == {"day", "tenant"}
    assert asked(make_schedule(cron="0 7 * * *", task=probe.name)) == set()
    of_a_queue = make_schedule(cron="* * * * *", task=canary.name, kwargs={"queue": "email"})
    assert asked(of_a_queue) == {"day"}


def test_only_operators_run_and_by_post(client: Client, digests: Schedule) -> None:
    for user in (make_user("sam"), make_viewer()):
        client.force_login(user)
        for form in ({}, {"try": "1"}):
            assert run(client, digests, **form).status_code == 403
    client.force_login(make_operator())
    assert client.get(reverse("queues:schedule-run", args=[digests.pk])).status_code == 405
    assert not Job.objects.filter(state=State.AVAILABLE).exists()
    assert client.post("/admin/queues/schedules/999999/run/").status_code == 404
