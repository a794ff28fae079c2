"""Schedules in the admin: what could never run is refused, rules are saved beside a running beat."""

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)

from jobs.celery_forms import RulesForm
from jobs.models import AuditEntry, Firing, Job, Schedule
from jobs.schedules.scheduler import tick
from jobs.schedules.sync import sync_schedules
from tests.jobs.records import ago, make_user
from tests.jobs.schedules.schedules import changed_at, make_schedule

pytestmark = pytest.mark.django_db

BASE = "/admin/django_celery_beat/periodictask/"
RULES = {
    "rules-0-missed": "once",
    "rules-0-missed_limit": "10",
    "rules-0-grace": "12:00:00",
    "rules-0-overlap": "allow",
    "rules-0-jitter": "00:00:00",
    "rules-0-days": "all",
    "rules-0-country": "",
}


def new(**fields: Any) -> dict[str, str]:
    """What the form of a new schedule sends."""
    every = IntervalSchedule.objects.get_or_create(every=1, period="days")[0]
    return {
        "name": "probe",
        "task": "jobs.probe",
        "enabled": "on",
        "interval": str(every.id),
        "kwargs": '{"label": "x"}',
        "rules-TOTAL_FORMS": "1",
        "rules-INITIAL_FORMS": "0",
        **RULES,
    } | {name.replace("rules_", "rules-0-"): str(value) for name, value in fields.items()}


def crontab(**fields: str) -> int:
    row = CrontabSchedule.objects.create(**{"minute": "0", "hour": "9", **fields})
    return int(row.pk)


def sent_back(client: Client, schedule: Schedule) -> dict[str, str]:
    """What the form of a schedule sends when nobody changes anything."""
    response = client.get(f"{BASE}{schedule.pk}/change/")
    data: dict[str, str] = {}
    forms = [response.context["adminform"].form]
    for inline in response.context["inline_admin_formsets"]:
        forms += [inline.formset.management_form, *inline.formset.forms]
    for form in forms:
        for field in form:
            value = field.value()
            widget = field.field.widget
            if hasattr(widget, "decompress") and not isinstance(value, str):
                parts = widget.decompress(value)
                data |= {
                    f"{field.html_name}_{at}": str(part or "") for at, part in enumerate(parts)
                }
            elif value is True:
                data[field.html_name] = "on"
            elif value is not False and value is not None:
                data[field.html_name] = str(getattr(value, "pk", value))
    return data


def change(client: Client, schedule: Schedule, **fields: Any) -> Any:
    data = sent_back(client, schedule)
    data |= {name.replace("rules_", "rules-0-"): str(value) for name, value in fields.items()}
    return client.post(f"{BASE}{schedule.pk}/change/", data)


def scheduling(schedule: Schedule) -> dict[str, Any]:
    names = ("next_at", "wake_at", "plan_after", "changed_at", "stale", "last_due_at")
    return dict(Schedule.objects.values(*names).get(pk=schedule.pk))


def recorded(action: str) -> tuple[str, list[str]]:
    """Who did the one thing of this kind, and to which fields."""
    entry = AuditEntry.objects.get(action=action)
    assert entry.detail is not None
    return entry.actor, sorted(entry.detail["changed"])


def planned(**fields: Any) -> Schedule:
    schedule = make_schedule(**fields)
    tick()
    return schedule


# --- what is refused ------------------------------------------------------------------------------


def test_a_schedule_is_kept_when_its_task_takes_its_arguments(admin_client: Client) -> None:
    response = admin_client.post(f"{BASE}add/", new())
    assert response.status_code == 302, response.context["errors"]
    assert PeriodicTask.objects.get(name="probe").task == "jobs.probe"
    assert "schedule.added" in AuditEntry.objects.values_list("action", flat=True)


def test_all_that_a_schedule_has_is_kept(admin_client: Client) -> None:
    fields = {
        "interval": "", "crontab": crontab(), "queue": "email", "priority": 1, "expire_seconds": 90,
        "start_time_0": "2027-01-01", "start_time_1": "08:00", "args": "[]",
    }  # fmt: skip
    response = admin_client.post(f"{BASE}add/", new(**fields))
    assert response.status_code == 302, response.context["errors"]
    row = PeriodicTask.objects.get()
    assert (row.priority, row.expire_seconds, row.queue) == (1, 90, "email")
    assert f"{row.start_time:%Y-%m-%d %H:%M}" == "2027-01-01 08:00"
    tick()
    assert Schedule.objects.get().next_at == row.start_time + timedelta(hours=1)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"kwargs": '{"lable": "x"}'}, "lable: unknown argument"),
        ({"kwargs": "[1]"}, "Expected a JSON object"),
        ({"kwargs": "{"}, "This is not JSON"),
        ({"args": "[1]"}, "args: tasks take arguments by name"),
        ({"task": "os.system"}, "os.system is not one of the available choices"),
        ({"queue": "nonsense"}, "nonsense is not one of the available choices"),
        ({"priority": "9"}, "9 is not one of the available choices"),
        ({"priority": "x"}, "x is not one of the available choices"),
        ({"expire_seconds": "0"}, "expire_seconds: at least 1"),
        ({"expire_seconds": "-1"}, "greater than or equal to 0"),
        ({"expire_seconds": "9" * 30}, "less than or equal to 2147483647"),
        ({"start_time_0": "9999-12-31", "start_time_1": "00:00"}, "start_time: this is more than"),
        ({"start_time_0": "0000-00-00", "start_time_1": "00:00"}, "Enter a valid date"),
        ({"expires_0": "2020-01-01", "expires_1": "00:00"}, "expires: it is not due before"),
        (
            {"expires_0": "2099-01-01", "expires_1": "00:00", "expire_seconds": "5"},
            "expire_seconds: an end is set already",
        ),
        ({"interval": ""}, "must be set"),
        ({"rules_grace": "0:00:30"}, "greater than or equal to 0:01:00"),
        ({"rules_grace": "999999999 00:00:00"}, "less than or equal to 366 days"),
        ({"rules_grace": "9" * 40}, "number of days"),
        ({"kwargs": '{"label": "\\u0000"}'}, "NUL"),
        ({"rules_grace": "soon"}, "Enter a valid duration"),
        ({"rules_jitter": "-00:05:00"}, "greater than or equal to"),
        ({"rules_jitter": "2 00:00:00"}, "less than or equal to 1 day"),
        ({"rules_missed_limit": "0", "rules_missed": "all"}, "greater than or equal to 1"),
        ({"rules_missed_limit": "101"}, "less than or equal to 100"),
        ({"rules_days": "business"}, "country: no calendar is known for"),
        ({"rules_days": "business", "rules_country": "utils"}, "no calendar is known"),
        ({"rules_days": "business", "rules_country": "DE-XX"}, "no calendar is known"),
        ({"rules_days": "business", "rules_country": "💩"}, "no calendar is known"),
        ({"rules_days": "sundays"}, "sundays is not one of the available choices"),
    ],
)
def test_a_schedule_that_could_not_run_is_refused(
    admin_client: Client, fields: dict[str, str], problem: str
) -> None:
    response = admin_client.post(f"{BASE}add/", new(**fields))
    assert response.status_code == 200
    assert problem in response.content.decode()
    assert not PeriodicTask.objects.exists()


def test_a_time_that_never_comes_is_refused(admin_client: Client) -> None:
    def problem(**fields: Any) -> str:
        response = admin_client.post(f"{BASE}add/", new(**{"interval": "", **fields}))
        assert response.status_code == 200
        assert not PeriodicTask.objects.exists()
        return response.content.decode()

    never = crontab(day_of_month="31", month_of_year="4")
    assert "crontab: it is never due" in problem(crontab=never)
    sunday = crontab(day_of_week="0")
    assert "days: it is never due on such a day" in problem(
        crontab=sunday, rules_days="business", rules_country="DE"
    )
    past = ClockedSchedule.objects.create(clocked_time=ago(hours=1)).pk
    assert "clocked: this is in the past" in problem(clocked=past, one_off="on")
    soon = ClockedSchedule.objects.create(clocked_time=ago(hours=-1)).pk
    assert "one_off: what is due at one instant runs once" in problem(clocked=soon)
    short = IntervalSchedule.objects.create(every=5, period="microseconds").pk
    assert "interval: 0:00:00.000005 is less than a second" in problem(interval=short)
    long = IntervalSchedule.objects.create(every=2_000_000_000, period="days").pk
    assert "interval: " in problem(interval=long)
    sun = SolarSchedule.objects.create(event="sunset", latitude=1, longitude=1).pk
    assert "solar: schedules by the sun are not carried out" in problem(solar=sun)


def test_what_has_passed_may_still_be_described(admin_client: Client) -> None:
    schedule = planned(clocked=ago(hours=1), enabled=False)
    assert change(admin_client, schedule, description="done").status_code == 302
    response = change(admin_client, schedule, enabled="on")
    assert "clocked: this is in the past" in response.content.decode()


def test_positional_arguments_that_stand_there_can_be_emptied(admin_client: Client) -> None:
    schedule = planned(cron="0 9 * * *", args="[1]")
    assert "args: tasks take" in change(admin_client, schedule, name="n").content.decode()
    assert change(admin_client, schedule, args="[]").status_code == 302
    assert PeriodicTask.objects.get().args == "[]"
    assert 'name="args"' not in admin_client.get(f"{BASE}{schedule.pk}/change/").content.decode()


@pytest.mark.parametrize(
    ("model", "fields", "problem"),
    [
        ("crontab", {"day_of_month": "31", "month_of_year": "2,4"}, "it would never be due"),
        ("crontab", {"hour": "25"}, "hour"),
        ("crontab", {"minute": "💩"}, "minute"),
        ("interval", {"every": "5", "period": "microseconds"}, "every: interval: 0:00:00.000005"),
        ("interval", {"every": "2000000000", "period": "days"}, "every: "),
    ],
)
def test_a_time_by_itself_is_checked_too(
    admin_client: Client, model: str, fields: dict[str, str], problem: str
) -> None:
    given = {"minute": "0", "hour": "9", "day_of_month": "*", "month_of_year": "*",
             "day_of_week": "*", "timezone": "UTC"} | fields  # fmt: skip
    response = admin_client.post(f"/admin/django_celery_beat/{model}schedule/add/", given)
    assert response.status_code == 200
    assert problem in response.content.decode()


# --- the rules ------------------------------------------------------------------------------------


def test_a_new_schedule_is_kept_with_its_rules(admin_client: Client) -> None:
    fields = {"rules_grace": "01:00:00", "rules_days": "business", "rules_country": "DE-BY"}
    before = timezone.now()
    response = admin_client.post(f"{BASE}add/", new(**fields))
    assert response.status_code == 302, response.context["errors"]
    rules = Schedule.objects.get()
    assert (rules.grace, rules.days, rules.country) == (timedelta(hours=1), "business", "DE-BY")
    assert (rules.missed, rules.missed_limit) == ("once", 10)
    assert rules.stale
    assert rules.wake_at is not None
    assert rules.wake_at >= before
    _, changed = recorded("schedule.added")
    assert {"grace", "days", "country"} <= set(changed)
    assert "missed" not in changed


def test_rules_are_saved_without_touching_what_the_scheduler_keeps(admin_client: Client) -> None:
    schedule = planned(cron="0 9 * * *", zone="Asia/Tokyo")
    before = scheduling(schedule)
    response = change(admin_client, schedule, rules_grace="02:00:00", rules_overlap="skip")
    assert response.status_code == 302, response.context["errors"]
    rules = Schedule.objects.get(pk=schedule.pk)
    assert (rules.grace, rules.overlap) == (timedelta(hours=2), "skip")
    assert scheduling(schedule) == before
    assert recorded("schedule.changed") == ("user:admin", ["grace", "overlap"])


def test_a_beat_that_fires_while_a_form_is_saved_loses_nothing(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = planned(cron="* * * * *")
    due = Schedule.objects.get().next_at
    assert due is not None
    checked, after = RulesForm.clean, {}

    def fire_between(form: RulesForm) -> dict[str, Any]:
        """The rows of the form are read; a beat fires before they are written."""
        tick(due)
        after.update(scheduling(schedule))
        return checked(form)

    monkeypatch.setattr(RulesForm, "clean", fire_between)
    form = {"rules_jitter": "00:05:00", "description": "new"}
    assert change(admin_client, schedule, **form).status_code == 302
    assert Schedule.objects.get().jitter == timedelta(minutes=5)
    assert scheduling(schedule) == after
    assert after["next_at"] == due + timedelta(minutes=1)
    row = PeriodicTask.objects.get()
    assert row.description == "new"
    assert (row.total_run_count, row.last_run_at) == (1, due)


def test_a_form_that_was_opened_before_the_schedule_ran_or_changed_is_refused(
    admin_client: Client,
) -> None:
    schedule = planned(every=timedelta(hours=1), one_off=True)
    data = sent_back(admin_client, schedule)
    changed_at(schedule.pk, ago(minutes=90))
    assert tick().fired == 1
    response = admin_client.post(f"{BASE}{schedule.pk}/change/", data | {"description": "new"})
    assert "has changed since this page was opened" in response.content.decode()
    assert not PeriodicTask.objects.get(pk=schedule.pk).enabled
    assert change(admin_client, schedule, description="new").status_code == 302
    assert tick().fired == 0


def test_what_is_declared_cannot_be_deleted_not_even_with_its_crontab(admin_client: Client) -> None:
    sync_schedules()
    row = PeriodicTask.objects.get(name="audit.archive")
    mine = make_schedule(cron="0 9 * * *")
    for address in (BASE, BASE.replace("periodictask", "crontabschedule")):
        pk = row.pk if address == BASE else row.crontab_id
        admin_client.post(f"{address}{pk}/delete/", {"post": "yes"})
        data = {"action": "delete_selected", "_selected_action": [str(pk)], "post": "yes"}
        admin_client.post(address, data)
    assert PeriodicTask.objects.filter(pk=row.pk).exists()
    admin_client.post(f"{BASE}{mine.pk}/delete/", {"post": "yes"})
    assert not PeriodicTask.objects.filter(pk=mine.pk).exists()


def test_a_form_that_changes_nothing_writes_nothing(admin_client: Client) -> None:
    schedule = planned(cron="0 9 * * *", priority=2, queue="email")
    before = scheduling(schedule)
    assert change(admin_client, schedule).status_code == 302
    assert scheduling(schedule) == before
    assert recorded("schedule.changed") == ("user:admin", [])


def test_an_edit_takes_effect_at_the_next_look_and_fires_nothing_at_once(
    admin_client: Client,
) -> None:
    schedule = planned(cron="0 9 * * *")
    now = timezone.now()
    earlier = now - timedelta(hours=2)  # it would have been due today
    at = CrontabSchedule.objects.create(minute=str(earlier.minute), hour=str(earlier.hour))
    assert change(admin_client, schedule, crontab=at.pk).status_code == 302
    assert tick().fired == 0
    due = Schedule.objects.get(pk=schedule.pk).next_at
    assert due == datetime.combine(
        (earlier + timedelta(days=1)).date(), earlier.time().replace(second=0, microsecond=0),
        now.tzinfo,
    )  # fmt: skip
    assert (
        change(admin_client, schedule, rules_days="business", rules_country="DE").status_code == 302
    )
    assert tick().fired == 0
    later = Schedule.objects.get(pk=schedule.pk).next_at
    assert later is not None
    assert later.weekday() < 5
    assert not Firing.objects.exists()
    assert not Job.objects.exists()


def test_the_rules_are_for_those_who_may_change_the_schedule(client: Client) -> None:
    schedule = planned(cron="0 9 * * *")
    address = f"{BASE}{schedule.pk}/change/"
    client.force_login(make_user("eve", "django_celery_beat.change_periodictask"))
    assert 'name="rules-0-grace"' in client.get(address).content.decode()
    client.force_login(make_user("vera", "django_celery_beat.view_periodictask"))
    html = client.get(address).content.decode()
    assert "12:00:00" in html
    assert 'name="rules-0-grace"' not in html
    data = {"rules-TOTAL_FORMS": "1", "rules-INITIAL_FORMS": "1", "rules-0-grace": "02:00:00"}
    assert client.post(address, data).status_code == 403


def test_the_page_of_a_schedule_is_linked_and_its_next_instants_are_said(
    admin_client: Client,
) -> None:
    schedule = planned(cron="0 9 * * *", zone="Asia/Tokyo")
    html = admin_client.get(f"{BASE}{schedule.pk}/change/").content.decode()
    assert reverse("queues:schedule", args=[schedule.pk]) in html
    assert len(re.findall(r"\w{3} \d{4}-\d\d-\d\d 09:00 Asia/Tokyo", html)) == 5
    assert admin_client.get(f"{BASE}add/").status_code == 200


# --- acts -----------------------------------------------------------------------------------------


def test_a_schedule_is_run_at_once_by_those_who_operate(client: Client) -> None:
    schedule = planned(cron="0 9 * * *")
    data = {"action": "run_now", "_selected_action": str(schedule.pk)}
    looks = ("django_celery_beat.view_periodictask", "django_celery_beat.change_periodictask")
    client.force_login(make_user("vera", *looks))
    client.post(BASE, data)
    assert not Job.objects.exists()
    before = scheduling(schedule)
    client.force_login(make_user("olaf", "jobs.operate", *looks))
    client.post(BASE, data)
    job = Job.objects.get()
    assert job.enqueued_by == "user:olaf"
    firing = Firing.objects.get()
    assert (firing.job_id, firing.by_hand) == (job.id, "user:olaf")
    assert AuditEntry.objects.get(action="schedule.run").actor == "user:olaf"
    assert scheduling(schedule) == before


def test_what_cannot_be_run_is_said_and_the_others_are_run(admin_client: Client) -> None:
    rows = [
        make_schedule(name="a", cron="0 9 * * *", task="no.longer.there"),
        make_schedule(name="b", cron="0 9 * * *", priority=9),
        make_schedule(name="c", cron="0 9 * * *"),
    ]
    data = {"action": "run_now", "_selected_action": [str(row.pk) for row in rows]}
    response = admin_client.post(BASE, data)
    told = sorted(str(message) for message in get_messages(response.wsgi_request))
    assert told[0].startswith("a: Unknown task")
    assert told[1].startswith("b: priority: 9 is none of")
    assert told[2] == f"c is enqueued: job {Job.objects.get().id}."


def test_switching_off_and_on_is_seen_to_by_the_next_look(admin_client: Client) -> None:
    schedule = planned(cron="0 9 * * *")
    for action, is_planned in (("disable", False), ("enable", True)):
        admin_client.post(BASE, {"action": action, "_selected_action": str(schedule.pk)})
        assert tick().fired == 0
        assert (Schedule.objects.get().next_at is not None) is is_planned
    actions = AuditEntry.objects.order_by("id").values_list("action", flat=True)
    assert list(actions) == ["schedule.disabled", "schedule.enabled"]
