"""The pages of schedules: what they show, to whom, and at what cost."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from jobs.models import Beat, Canary, Firing, Schedule
from jobs.queues import QUEUES
from jobs.schedules.scheduler import tick
from jobs.schedules.sync import sync_schedules
from jobs.states import State
from tests.jobs.records import ago, make_job, make_operator, make_user, make_viewer
from tests.jobs.schedules.schedules import changed_at, make_schedule

pytestmark = pytest.mark.django_db

PAGE = "/admin/queues/schedules/"
HOSTILE = "</td></title><script>alert(1)</script><img src=x onerror=alert(2)>'\"{{ 7|add:7 }}"


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(make_viewer())
    return client


def page_of(schedule: Schedule) -> str:
    return reverse("queues:schedule", args=[schedule.pk])


def text_of(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200
    html = re.sub(r"(?s)<script.*?</script>|<style.*?</style>", "", response.content.decode())
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def fired(schedule: Schedule, **fields: Any) -> Firing:
    values = {"due_at": ago(minutes=5), "fired_at": ago(minutes=5), "outcome": "fired"} | fields
    return Firing.objects.create(
        schedule_id=schedule.pk, name=schedule.periodic_task.name, **values
    )


def served() -> None:
    """A beat looks, and each queue's canary has just come through."""
    Beat.objects.create(host="h", pid=1)
    for queue in QUEUES:
        Canary.objects.create(queue=queue, enqueued_at=ago(seconds=2))


# --- who ------------------------------------------------------------------------------------------


def test_viewers_look_operators_also_find_the_form_and_others_nothing(client: Client) -> None:
    schedule = make_schedule(cron="0 9 * * *", kwargs={"label": "x"})
    sam = make_user("sam")
    for page in (PAGE, page_of(schedule)):
        client.logout()
        assert client.get(page)["Location"].startswith(reverse("admin:login"))
        client.force_login(sam)
        assert client.get(page).status_code == 403
    client.force_login(make_viewer())
    assert PAGE in client.get(PAGE).content.decode(), "in the navigation"
    assert "Run by hand" not in client.get(page_of(schedule)).content.decode()
    assert "Edit</a>" not in client.get(page_of(schedule)).content.decode()
    client.force_login(make_operator())
    assert "Run by hand" in client.get(page_of(schedule)).content.decode()


def test_who_may_change_schedules_finds_the_way_to_the_admin(client: Client) -> None:
    schedule = make_schedule(cron="0 9 * * *")
    client.force_login(make_user("e", "jobs.view_job", "django_celery_beat.change_periodictask"))
    address = reverse("admin:django_celery_beat_periodictask_change", args=[schedule.pk])
    assert address in client.get(page_of(schedule)).content.decode()


def test_pages_are_only_looked_at(client: Client) -> None:
    client.force_login(make_operator())
    assert client.post(PAGE).status_code == 405
    assert client.post(page_of(make_schedule(cron="0 9 * * *"))).status_code == 405


@pytest.mark.parametrize("number", ["999999", "0", "9" * 30])
def test_a_schedule_that_is_not_there_is_not_found(viewer: Client, number: str) -> None:
    assert viewer.get(f"{PAGE}{number}/").status_code == 404


# --- the list -------------------------------------------------------------------------------------


def test_a_line_says_what_runs_when_it_is_due_and_what_became_of_it(viewer: Client) -> None:
    schedule = make_schedule(name="night", cron="30 1 * * 1-5", zone="Asia/Tokyo")
    tick()
    fired(schedule, fired_at=ago(seconds=45), outcome="missed")
    text = text_of(viewer, PAGE)
    assert "night jobs.probe At 01:30, Monday through Friday Asia/Tokyo" in text
    assert re.search(r"(Mon|Tue|Wed|Thu|Fri) \d{4}-\d\d-\d\d 01:30 in \d", text)
    assert re.search(r"missed 5 min ago , 4 min 1\d s late on", text)
    html = viewer.get(PAGE).content.decode()
    assert re.search(r'title="\d{4}-\d\d-\d\d 16:30:00 UTC"', html)


def test_each_state_is_marked(viewer: Client) -> None:
    make_schedule(name="a off", cron="0 9 * * *", enabled=False)
    make_schedule(name="b broken", cron="0 9 * * *", days="business", country="XX")
    tick()
    make_schedule(name="c overdue", cron="0 9 * * *", since=ago(hours=1))
    text = text_of(viewer, PAGE + "?live")
    assert re.search(r"a off jobs.probe At 09:00 UTC – – off", text)
    assert re.search(r"b broken .* on problem c overdue", text)
    assert re.search(r"c overdue .* on overdue", text)


def test_it_says_what_to_do_when_no_beat_runs(viewer: Client) -> None:
    text = text_of(viewer, PAGE)
    assert "0 beats nothing is fired" in text
    assert "No beat is running: start one with manage.py beat ." in text


def test_it_says_what_to_do_about_silent_queues_and_troubled_schedules(viewer: Client) -> None:
    served()
    Canary.objects.filter(queue="pdf").update(ran_at=ago(minutes=7))
    make_schedule(name="broken", cron="0 9 * * *", days="business", country="XX")
    tick()
    text = text_of(viewer, PAGE)
    assert "1 beat running" in text
    assert "1 silent queue of 8" in text
    assert "pdf silent 7 min ago" in text
    assert "No worker took a job of pdf in the last two minutes" in text
    assert "manage.py worker pdf" in text
    assert "broken : country: no calendar is known for &#x27;XX&#x27;" in text


def test_when_all_is_well_there_is_nothing_to_do(viewer: Client) -> None:
    served()
    make_schedule(cron="0 9 * * *")
    tick()
    assert "What to do" not in text_of(viewer, PAGE)


def test_canaries_stand_apart_at_the_end(viewer: Client) -> None:
    sync_schedules()
    make_schedule(name="zebra", cron="0 9 * * *")
    html = viewer.get(PAGE).content.decode()
    assert html.index("zebra") < html.index('<details id="canaries"') < html.index("jobs.canary [")
    assert '<details id="canaries" open' not in html
    assert '<details id="canaries" open' in viewer.get(PAGE, {"q": "canary"}).content.decode()


def test_a_part_of_the_name_or_task_restricts_the_list(viewer: Client) -> None:
    make_schedule(name="Morning", cron="0 9 * * *")
    make_schedule(name="evening", cron="0 19 * * *")
    text = text_of(viewer, PAGE + "?q=mORN")
    assert "Morning" in text
    assert "evening jobs.probe" not in text
    assert "No schedule fits" in text_of(viewer, PAGE + "?q=noon")


@pytest.mark.parametrize("query", ["?q=%00", "?q=" + "x" * 500, "?q=%F0%9F%92%A9", "?live&q=%ff"])
def test_a_filter_that_makes_no_sense_does_no_harm(viewer: Client, query: str) -> None:
    assert viewer.get(PAGE + query).status_code == 200


def test_the_live_part_is_the_page_without_the_admin_around_it(viewer: Client) -> None:
    schedule = make_schedule(cron="0 9 * * *")
    for page in (PAGE, page_of(schedule)):
        assert "<html" not in viewer.get(page, {"live": ""}).content.decode()


def statements(client: Client, address: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert client.get(address).status_code == 200
    return len(captured)


def test_more_schedules_cost_no_more_statements(viewer: Client) -> None:
    def grow(number: int) -> None:
        for _ in range(number):
            schedule = make_schedule(cron="0 9 * * *", since=ago(hours=1))
            fired(schedule, job_id=make_job(State.SUCCEEDED).id)

    grow(30)
    viewer.get(PAGE)
    before = statements(viewer, PAGE), statements(viewer, PAGE + "?live")
    grow(70)
    assert (statements(viewer, PAGE), statements(viewer, PAGE + "?live")) == before
    assert max(before) < 25


def test_a_longer_history_costs_no_more_statements(viewer: Client) -> None:
    schedule = make_schedule(cron="0 9 * * *")
    for count in (3, 40):
        for number in range(count):
            due = ago(days=count, minutes=number)
            fired(schedule, due_at=due, job_id=make_job(State.SUCCEEDED).id)
        if count == 3:
            viewer.get(page_of(schedule))
            before = statements(viewer, page_of(schedule))
    assert statements(viewer, page_of(schedule)) == before


# --- one schedule ---------------------------------------------------------------------------------


def test_its_page_says_rules_differences_and_next_instants(viewer: Client) -> None:
    sync_schedules()
    row = PeriodicTask.objects.get(name="jobs.prune")
    Schedule.objects.filter(pk=row.pk).update(grace=timedelta(hours=2), overlap="skip")
    tick()
    text = text_of(viewer, f"{PAGE}{row.pk}/")
    assert "Grace What is late by more than 2 h is never run" in text
    assert "Overlap While the last job is unfinished: skip it" in text
    assert "Days Every day" in text
    assert "Grace 2 h declared: 12 h" in text
    assert "Overlap skip it declared: run both" in text
    html = viewer.get(f"{PAGE}{row.pk}/").content.decode()
    (coming,) = re.findall(r'(?s)<ol class="ops-instants">(.*?)</ol>', html)
    assert len(re.findall(r"\w{3} \d{4}-\d\d-\d\d 03:00<", coming)) == 20
    assert "changed" in text_of(viewer, PAGE)


def test_next_instants_are_told_in_the_zone_and_in_utc_across_a_shift(viewer: Client) -> None:
    start = datetime(2030, 3, 30, tzinfo=UTC)
    schedule = make_schedule(cron="0 8 * * *", zone="Europe/Berlin", start_time=start)
    text = text_of(viewer, page_of(schedule))
    assert "Sat 2030-03-30 08:00 Sat 07:00 UTC Sun 2030-03-31 08:00 Sun 06:00 UTC" in text


def test_its_history_says_what_became_of_each_instant(viewer: Client) -> None:
    schedule = make_schedule(name="night", cron="0 9 * * *", zone="Asia/Tokyo")
    job = make_job(State.RUNNING)
    due = datetime(2026, 3, 1, 0, 0, tzinfo=UTC)
    fired(schedule, due_at=due, fired_at=due + timedelta(minutes=4), job_id=job.id)
    fired(schedule, outcome="missed", reason="no beat", instants=12)
    fired(schedule, due_at=ago(days=1), by_hand="user:olaf", reason="for acme", job_id=uuid4())
    text = text_of(viewer, page_of(schedule))
    assert re.search(r"Sun 2026-03-01 09:00 fired \S+ d ago 4 min job running", text)
    assert re.search(r"and 11 before it missed no beat 5 min ago", text)
    assert re.search(r"fired by user:olaf for acme .* – no longer kept", text)
    assert reverse("queues:job", args=[job.id]) in viewer.get(page_of(schedule)).content.decode()


def test_its_history_is_paged(viewer: Client) -> None:
    schedule = make_schedule(cron="0 9 * * *")
    for number in range(60):
        fired(schedule, due_at=ago(minutes=number), reason=f"number {number:02}.")
    seen: list[str] = []
    address, pages = page_of(schedule), 0
    while address:
        html = viewer.get(address).content.decode()
        seen += re.findall(r"number (\d\d)\.", html)
        link = re.search(r'href="(\?before=\d+)"', html)
        address = page_of(schedule) + link.group(1) if link else ""
        pages += 1
    assert seen == [f"{number:02}" for number in range(60)]
    assert pages == 3


@pytest.mark.parametrize("before", ["x", "-1", "9" * 18, "9" * 40, "%00", "٣", "²"])
def test_a_page_that_makes_no_sense_is_the_first_one(viewer: Client, before: str) -> None:
    schedule = make_schedule(cron="0 9 * * *")
    fired(schedule, reason="the only one")
    assert "the only one" in text_of(viewer, f"{page_of(schedule)}?before={before}")


def test_names_reasons_and_arguments_with_html_are_harmless(client: Client) -> None:
    client.force_login(make_operator())
    schedule = make_schedule(
        name=HOSTILE, cron="0 9 * * *", kwargs={"label": HOSTILE}, description=HOSTILE
    )
    fired(schedule, reason=HOSTILE, outcome="failed", by_hand=HOSTILE)
    Schedule.objects.update(problem=HOSTILE, declared_name="x" + HOSTILE)
    for page in (PAGE, page_of(schedule)):
        html = client.get(page).content.decode()
        assert "<script>alert(1)" not in html
        assert "<img src=x" not in html
        assert "&lt;img src=x" in html
        assert "7|add:7" in html


@pytest.mark.parametrize(
    "make",
    [
        lambda: make_schedule(task="no.longer.there", cron="0 9 * * *"),
        lambda: make_schedule(every=timedelta(minutes=10)),
        lambda: make_schedule(clocked=timezone.now() + timedelta(days=1)),
        lambda: make_schedule(cron="0 0 31 4 *"),
        lambda: make_schedule(cron="0 9 * * *", days="business", country="utils"),
        lambda: make_schedule(cron="0 9 * * *", kwargs=[1], args="[1]", priority=200),
    ],
)
def test_whatever_stands_in_the_table_is_shown(
    client: Client, make: Callable[[], Schedule]
) -> None:
    client.force_login(make_operator())
    schedule = make()
    for _ in range(2):
        for page in (PAGE, page_of(schedule)):
            assert client.get(page).status_code == 200
        tick()


def test_what_lies_beyond_the_calendar_keeps_no_other_schedule_from_being_fired(
    viewer: Client,
) -> None:
    far = make_schedule(every=timedelta(days=1), start_time=datetime(9999, 12, 31, tzinfo=UTC))
    schedule = make_schedule(cron="0 9 * * *")
    changed_at(schedule.pk, datetime(2026, 3, 1, 8, tzinfo=UTC))
    assert tick(datetime(2026, 3, 1, 9, tzinfo=UTC)).fired == 1
    assert viewer.get(page_of(far)).status_code == 200
