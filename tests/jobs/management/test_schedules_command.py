"""``jobs schedules``, ``run-schedule`` and ``next``: what they print, and how they exit."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from compliance import deadlines
from jobs import dry_run, job_task
from jobs.models import AuditEntry, Beat, Canary, Firing, Job, Schedule
from jobs.schedules.scheduler import tick
from jobs.schedules.sync import sync_schedules
from jobs.states import State
from notifications.models import Notification
from tenants.models import Role, Tenant
from tests.compliance.builders import make_client, make_filing, make_tenant
from tests.inventory.builders import make_stock, move_at
from tests.jobs.management.test_jobs_command import fails, run
from tests.jobs.records import ago, make_job, make_worker
from tests.jobs.schedules.schedules import at, declare_and_plan, make_schedule
from tests.jobs.schedules.test_by_hand import DAY
from tests.tenants.builders import make_member
from tests.tenants.past import happened

pytestmark = pytest.mark.django_db

CHECK = "inventory.check_stock"
REMIND = "compliance.email_filing_reminders"


@pytest.fixture
def athens() -> Tenant:
    """A company in Athens; it and that of St John's have their schedules."""
    tenant = make_tenant(timezone="Europe/Athens")
    make_tenant(timezone="America/St_Johns")
    declare_and_plan()
    return tenant


def answered(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return what a person sees: the lines, and the tables."""
    lines = run(*arguments)
    return capsys.readouterr().out + lines


# --- schedules ------------------------------------------------------------------------------------


def test_schedules_are_listed_with_their_next_instants_and_their_last_outcome(
    athens: Tenant, capsys: pytest.CaptureFixture[str]
) -> None:
    (view,) = answered("schedules", "--name", f"{CHECK} [Europe/Athens]")
    assert (view["when"], view["zone"], view["state"]) == ("0 1 * * *", "Europe/Athens", "on")
    local = datetime.fromisoformat(view["next"]["local"])
    assert (local.hour, local.utcoffset()) in {(1, timedelta(hours=2)), (1, timedelta(hours=3))}
    assert local == datetime.fromisoformat(view["next"]["utc"])
    assert view["last"] is None

    due = at("2026-03-01 23:00")
    Firing.objects.create(
        schedule_id=view["id"], name="", due_at=due, fired_at=due + timedelta(minutes=5),
        outcome="missed",
    )  # fmt: skip
    (row,) = (line for line in printed(capsys, "schedules").splitlines() if view["name"] in line)
    assert f"{local:%a %Y-%m-%d} 01:00:00" in row
    assert row.split()[-4:] == ["missed", "5", "min", "on"]


def test_the_canaries_are_listed_when_they_are_asked_for_and_last(athens: Tenant) -> None:
    names = [view["name"] for view in answered("schedules")]
    assert "jobs.prune" in names
    assert not [name for name in names if "canary" in name]
    every = [view["name"] for view in answered("schedules", "--all")]
    assert every[: len(names)] == names
    assert len(every) > len(names)
    assert len(answered("schedules", "--name", "jobs.canary")) == len(every) - len(names)


def test_a_problem_and_what_a_person_changed_are_told_below(
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_schedule(cron="0 9 * * *", name="mine", days="business", country="XX")
    tick()
    out = printed(capsys, "schedules")
    assert "0 9 * * *, business days XX" in out
    assert "mine: country: no calendar is known for 'XX'" in out


def test_the_last_line_says_whether_schedules_are_fired() -> None:
    assert "No beat runs (start manage.py beat); none has looked yet" in run("schedules")
    Beat.objects.create(host="h", pid=1, ticked_at=ago(seconds=2))
    told = run("schedules").splitlines()[-1]
    assert told.startswith("1 beat runs; the last look was 2.")
    assert "; nothing is overdue; no canary came through email, pdf, " in told
    names = [make_schedule(cron="0 9 * * *", name=f"late {number}") for number in range(7)]
    Schedule.objects.filter(pk__in=[one.pk for one in names]).update(wake_at=ago(minutes=5))
    assert "overdue: late 0, late 1, late 2, late 3, late 4 and 2 more;" in run("schedules")


def test_a_name_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    make_schedule(cron="0 9 * * *", name="\x1b[31m[red]evil\u202e\n[/red]")
    tick()
    out = printed(capsys, "schedules")
    assert "�[31m[red]evil� [/red]" in out
    assert "\x1b" not in out


# --- run-schedule ---------------------------------------------------------------------------------


def test_a_run_enqueues_a_job_for_each_place_in_the_name_of_who_is_at_the_terminal(
    athens: Tenant,
) -> None:
    answers = answered("run-schedule", CHECK, "--date", "2026-11-20")
    assert [answer["schedule"] for answer in answers] == [
        "inventory.check_stock [America/St_Johns]", "inventory.check_stock [Europe/Athens]",
    ]  # fmt: skip
    assert {answer["day"] for answer in answers} == {"2026-11-20"}
    for answer in answers:
        job = Job.objects.get(id=answer["job"]["id"])
        assert job.enqueued_by.startswith("shell:")
        assert answer["job"]["payload"] == job.payload == answer["arguments"]
    actors = AuditEntry.objects.filter(action="schedule.run").values_list("actor", flat=True)
    assert {actor.partition(":")[0] for actor in actors} == {"shell"}


def test_a_run_for_a_tenant_is_one_job_of_it(
    athens: Tenant, capsys: pytest.CaptureFixture[str]
) -> None:
    out = printed(capsys, "run-schedule", CHECK, "--tenant", athens.slug)
    job = Job.objects.get()
    assert str(job.id) in out
    assert (job.tenant, job.payload["tenant"]) == (athens.slug, athens.slug)


def test_it_waits_for_all_jobs_and_runs_what_no_worker_serves_itself(athens: Tenant) -> None:
    answers = answered("run-schedule", CHECK, "--wait", "60")
    assert [answer["job"]["state"] for answer in answers] == ["succeeded", "succeeded"]
    assert [answer["job"]["result"] for answer in answers][1] == [athens.slug]
    (answer,) = answered("run-schedule", CHECK, "--tenant", athens.slug, "--wait")
    assert answer["job"]["state"] == "succeeded"


def test_a_job_that_dies_is_an_exit_code_of_1() -> None:
    kwargs = {"label": "x", "fail_permanently": True}
    make_schedule(cron="0 9 * * *", name="mine", kwargs=kwargs)
    code, text = fails("run-schedule", "mine", "--wait", "60", "--json")
    assert code == 1
    (answer,) = json.loads(text[text.index("[") : text.rindex("]") + 1])
    assert (answer["job"]["state"], answer["job"]["error_type"]) == ("dead", "PermanentError")


def test_a_job_that_does_not_end_in_time_is_an_exit_code_of_1_and_goes_on() -> None:
    @job_task(name="tests.later", queue="email")
    def later() -> None: ...

    make_schedule(cron="0 9 * * *", name="mine", task="tests.later", kwargs={})
    from jobs import operations

    operations.pause_queue("email", actor="test")
    code, text = fails("run-schedule", "mine", "--wait", "0.2")
    assert code == 1
    assert "after 0.2 seconds; it goes on" in text
    assert str(Job.objects.get().id) in text


def test_a_dry_run_says_who_would_get_what_by_kind_and_leaves_nothing(
    athens: Tenant, capsys: pytest.CaptureFixture[str]
) -> None:
    make_member(athens, Role.OWNER, email="ann@acme.example")
    make_filing(make_client(athens), DAY + timedelta(days=3))
    asked = ("run-schedule", REMIND, "--date", DAY.isoformat(), "--dry-run")
    johns, trial = answered(*asked)
    assert {told["to"] for told in johns["told"]} == {""}
    assert (trial["schedule"], trial["day"]) == (f"{REMIND} [Europe/Athens]", "2026-11-20")
    email = trial["told"][-1]
    assert (email["what"], email["tenant"], email["to"]) == (
        "notifications.email_filing_reminder", athens.slug, "ann@acme.example",
    )  # fmt: skip
    assert len(email["detail"]["filings"]) == 1

    lines = run(*asked)
    table = capsys.readouterr().out
    assert f"{REMIND} [Europe/Athens] for 2026-11-20" in lines
    assert "notifications.email_filing_reminder: 1\n" in lines
    assert "Nothing was done: this was a dry run." in lines
    assert "ann@acme.example" in table
    assert 'filings="1 of them"' in table
    assert not Job.objects.exists()
    assert not Firing.objects.exists()


def test_a_dry_run_of_what_would_fail_says_so_by_an_exit_code_of_1(
    athens: Tenant, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("run-schedule", REMIND, "--date", "0001-01-01", "--dry-run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deadlines, "check_day", lambda day: None)  # so the jobs of companies fail
        code, text = fails(*asked)
    assert code == 1
    assert "2 would fail. Nothing was done" in text
    assert "too near to an end of the calendar" in capsys.readouterr().out
    code, text = fails(*asked)
    assert code == 1
    assert "too near to an end of the calendar" in text
    code, text = fails(*asked, "--tenant", athens.slug)
    assert code == 1
    assert f"{REMIND} would fail: as_of: 0001-01-01 is too near" in text


def test_of_very_many_that_would_be_told_the_first_are_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    @job_task(name="tests.many", queue="email", atomic=True)
    def many() -> None:
        for number in range(60):
            dry_run.tell("notice", tenant="acme", to=f"person {number}")

    make_schedule(cron="0 9 * * *", name="mine", task="tests.many", kwargs={})
    lines = run("run-schedule", "mine", "--dry-run")
    out = capsys.readouterr().out
    assert ("person 49" in out, "person 50" in out) == (True, False)
    assert "notice: 60\n… and 10 more\n" in lines
    assert "Nobody would be told." not in lines
    (trial,) = answered("run-schedule", "mine", "--dry-run")
    assert len(trial["told"]) == 61


def test_a_canary_of_a_past_day_is_looked_up_and_can_be_tried(athens: Tenant) -> None:
    name = "jobs.canary [email]"
    gave = {
        "queue": "email",
        "day": "2026-11-20",
        "probes": None,
        "expired": 0,
        "slowest_wait": None,
    }
    (trial,) = answered("run-schedule", name, "--date", "2026-11-20", "--dry-run")
    assert [told["detail"]["result"] for told in trial["told"]] == [gave]
    (answer,) = answered("run-schedule", name, "--date", "2026-11-20", "--wait")
    assert answer["job"]["result"] == gave
    (trial,) = answered("run-schedule", name, "--dry-run")
    assert [told["what"] for told in trial["told"]] == ["jobs.canary", "probe"]
    assert not Canary.objects.exists()


def test_a_dry_run_of_the_stock_check_names_people_and_what_they_would_find(
    athens: Tenant, capsys: pytest.CaptureFixture[str]
) -> None:
    person = make_member(athens, Role.OWNER, email="owner@acme.example")
    move_at(make_stock(athens, 0, 10, name="Chai"), at("2026-11-01 12:00"), 3)
    happened(at("2026-11-01 12:00"))
    lines = run("run-schedule", CHECK, "--date", "2026-11-20", "--dry-run")
    out = capsys.readouterr().out
    for expected in (person.get_username(), "Chai: 3 left on 20 November 2026", person.email):
        assert expected in out
    # The last of the result of a job that it enqueued.
    assert '"people_emailed": 1}' in " ".join(out.split())
    assert not Notification.objects.exists()
    # St John's: nobody; Athens: somebody.
    assert lines.count("Nobody would be told.\n") == 1


def test_a_dry_run_shows_the_whole_result_of_the_task_itself(
    capsys: pytest.CaptureFixture[str],
) -> None:
    @job_task(name="tests.long", queue="email", atomic=True)
    def long() -> dict[str, Any]:
        dry_run.tell("notice", tenant="acme", text="x" * 200)
        return {"found": "y" * 300 + "\x1b", "people_emailed": 7}

    make_schedule(cron="0 9 * * *", name="mine", task="tests.long", kwargs={})
    lines = run("run-schedule", "mine", "--dry-run")
    out = capsys.readouterr().out
    assert "x" * 100 in out
    assert "x" * 120 not in out
    assert out.count("y") == 300
    assert '"people_emailed": 7}' in " ".join(out.split())
    assert "\x1b" not in out
    assert "Nobody would be told.\n" in lines


def test_a_dry_run_of_the_pruner_says_how_much_of_what_would_go_and_leaves_it(
    athens: Tenant, capsys: pytest.CaptureFixture[str]
) -> None:
    for days in (8, 9, 1):
        make_job(State.SUCCEEDED, finished_at=ago(days=days))
    make_worker("email", stopped_at=ago(days=9))
    make_job(State.CANCELLED, finished_at=ago(days=30))
    lines = run("run-schedule", "jobs.prune", "--dry-run")
    table = capsys.readouterr().out
    assert "succeeded jobs: 2\n" in lines
    assert "workers: 1\n" in lines
    assert f'before="{ago(days=7).date()} ' in table
    assert "tenant" not in table
    day = ago(days=10).date()
    (trial,) = answered("run-schedule", "jobs.prune", "--dry-run", "--date", str(day))
    assert [(told["what"], told["count"], told["detail"]) for told in trial["told"][1:]] == [
        ("cancelled jobs", 1, {"before": f"{day - timedelta(days=7)} 00:00:00 UTC"})
    ]
    assert Job.objects.count() == 4
    (answer,) = answered("run-schedule", "jobs.prune", "--date", str(day), "--wait")
    assert answer["job"]["result"] == {"cancelled jobs": 1}


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["inventory.chek"], 2, "Did you mean 'inventory.check_stock'?"),
        ([CHECK, "--tenant", "nobody"], 2, "Unknown tenant 'nobody'."),
        ([CHECK, "--tenant", "\udcff"], 2, "Unknown tenant"),
        (["jobs.prune", "--tenant", "acme"], 2, "Unknown tenant"),
        (["mine", "--date", "2026-11-20"], 1, "not done for a day"),
        (["jobs.canary [email]", "--date", "2999-01-01"], 1, "date: 2999-01-01 is still to come"),
        (["jobs.prune", "--date", "2999-01-01"], 1, "date: 2999-01-01 is still to come"),
        (["jobs.prune", "--date", "2999-01-01", "--dry-run"], 1, "is still to come"),
        (["jobs.prune", "--date", "2026-11-31"], 1, "expected a date, such as 2026-11-21"),
        (["mine", "--dry-run"], 1, "only atomic tasks have a dry run, and those with a preview"),
        ([CHECK, "--dry-run", "--wait"], 2, "a dry run leaves no job to wait for"),
        ([CHECK, "--date", "20261120"], 1, "expected a date, such as 2026-11-21"),
        ([CHECK, "--date", "2026-02-30"], 1, "expected a date, such as 2026-11-21"),
        ([CHECK, "--wait", "-1"], 1, "expected seconds"),
    ],
)
def test_what_cannot_be_run_is_refused_with_a_reason(
    athens: Tenant, arguments: list[str], code: int, text: str
) -> None:
    make_schedule(cron="0 9 * * *", name="mine")
    found_code, found = fails("run-schedule", *arguments)
    assert text in found
    assert found_code == code
    assert not Job.objects.exists()


# --- next -----------------------------------------------------------------------------------------


def test_a_cron_is_told_in_utc_and_in_local_time_across_a_change_of_the_clocks() -> None:
    cron = ("next", "--cron", "30 2 * * *", "--timezone", "Europe/Berlin", "--count", "3")
    assert answered(*cron, "--after", "2026-03-28T00:00") == [
        {"schedule": "", "utc": utc, "local": local, "weekday": day}
        for utc, local, day in (
            ("2026-03-28T01:30:00+00:00", "2026-03-28T02:30:00+01:00", "Sat"),
            ("2026-03-29T01:00:00+00:00", "2026-03-29T03:00:00+02:00", "Sun"),
            ("2026-03-30T00:30:00+00:00", "2026-03-30T02:30:00+02:00", "Mon"),
        )
    ]


def test_a_time_without_an_offset_is_in_the_zone_of_the_cron_and_one_with_it_is_what_it_says() -> (
    None
):
    cron = ("next", "--cron", "0 * * * *", "--timezone", "Asia/Tokyo", "--count", "1", "--after")
    assert answered(*cron, "2026-03-01T09:30")[0]["local"] == "2026-03-01T10:00:00+09:00"
    assert answered(*cron, "2026-03-01T09:30Z")[0]["local"] == "2026-03-01T19:00:00+09:00"


def test_a_cron_may_be_for_business_days() -> None:
    asked = ("next", "--cron", "0 8 * * *", "--country", "DE", "--after", "2026-12-20", "--days")
    found = {days: answered(*asked, days, "--count", "1")[0]["local"][:10] for days in
             ("business", "first_business", "last_business")}  # fmt: skip
    assert found == {
        "business": "2026-12-21",
        "first_business": "2027-01-04",
        "last_business": "2026-12-31",
    }


def test_a_declaration_is_told_with_all_its_places_the_soonest_first(athens: Tenant) -> None:
    found = answered("next", CHECK, "--count", "3", "--after", "2026-07-01T12:00Z")
    assert [(one["schedule"], one["local"]) for one in found] == [
        ("inventory.check_stock [Europe/Athens]", "2026-07-02T01:00:00+03:00"),
        ("inventory.check_stock [America/St_Johns]", "2026-07-02T01:00:00-02:30"),
        ("inventory.check_stock [Europe/Athens]", "2026-07-03T01:00:00+03:00"),
    ]
    assert len(answered("next", f"{CHECK} [Europe/Athens]")) == 20


def test_without_a_name_the_next_instant_of_each_schedule_is_told_the_soonest_first(
    athens: Tenant, capsys: pytest.CaptureFixture[str]
) -> None:
    with time_machine.travel(datetime(2026, 7, 1, 12, tzinfo=UTC), tick=False):
        found = answered("next")
        every = answered("next", "--all")
        few = answered("next", "--count", "2")
    assert len(found) == len({one["schedule"] for one in found}) > 10
    assert [one["utc"] for one in found] == sorted(one["utc"] for one in found)
    assert "jobs.canary [email]" in {one["schedule"] for one in every}
    assert "jobs.canary [email]" not in {one["schedule"] for one in found}
    assert few == found[:2]
    run("next")
    assert "inventory.check_stock [Europe/Athens]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"cron": "0 9 * * *", "enabled": False}, "mine is off."),
        ({"cron": "0 0 31 2 *"}, "mine: it is never due again."),
        ({"cron": "0 9 * * *", "days": "business", "country": "XX"}, "mine: country: no calendar"),
    ],
)
def test_what_is_never_due_says_why(fields: dict[str, Any], why: str) -> None:
    make_schedule(name="mine", **fields)
    tick()
    assert run("next", "mine").startswith(why)
    assert answered("next", "mine") == []


def test_nothing_at_all_is_said_to_be_so() -> None:
    assert run("next") == "There is no schedule.\n"
    assert run("next", "--cron", "0 0 31 2 *") == "It is never due.\n"


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["jobs.prun"], 2, "Did you mean 'jobs.prune'?"),
        (["--cron", "0 8 * * *", "--timezone", "europe/berln"], 2, "Did you mean 'Europe/Berlin'?"),
        (["--cron", "0 8 * * *", "--timezone", "../etc/passwd"], 2, "Unknown time zone"),
        (["--cron", "0 8 * *"], 2, "expected five fields"),
        (["--cron", "0 25 * * *"], 2, "hour: '25' cannot be read"),
        (["--cron", "*/0 8 * * *"], 2, "minute: '*/0' cannot be read"),
        (["--cron", "0 8 * * mo"], 2, "day_of_week: 'mo'"),
        (["--cron", "0 8 * * *", "--days", "business"], 2, "--days and --country"),
        (["--cron", "0 8 * * *", "--country", "DE"], 2, "--days and --country"),
        (["--cron", "0 8 * * *", "--country", "XX", "--days", "business"], 2, "'XX'"),
        (["--cron", "0 8 * * *", "--days", "odd"], 1, "invalid choice"),
        (["jobs.prune", "--cron", "0 8 * * *"], 2, "expected one of them, and not both"),
        (["jobs.prune", "--timezone", "UTC"], 2, "--timezone is for --cron"),
        (["--country", "DE", "--days", "business"], 2, "is for --cron"),
        (["jobs.prune", "--after", "tomorrow"], 1, "expected a time from 1970 to 2200"),
        (["jobs.prune", "--after", "9999-12-31T23:59"], 1, "expected a time from 1970 to 2200"),
        (["jobs.prune", "--after", "0001-01-01"], 1, "expected a time from 1970 to 2200"),
        *((["--count", count], 1, "from 1 to 1000") for count in ("0", "1001", "-5", "1e3", "٣")),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_with_a_reason(
    arguments: list[str], code: int, text: str
) -> None:
    sync_schedules()
    found_code, found = fails("next", *arguments)
    assert text in found
    assert found_code == code
