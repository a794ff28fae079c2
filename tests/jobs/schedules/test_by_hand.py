"""Runs by hand: what they enqueue, what is kept of them, and what is refused."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django_celery_beat.models import PeriodicTask

from compliance.models import Client
from jobs.context import job_context
from jobs.definition import Unique
from jobs.errors import DayToCome, EnqueueError, InvalidPayload, NotPossible, UnknownTask
from jobs.models import AuditEntry, Firing, Job, Schedule
from jobs.queues import QUEUES
from jobs.schedules import by_hand
from jobs.schedules.by_hand import UnknownSchedule, UnknownTenant
from jobs.schedules.declare import declared
from jobs.schedules.sync import sync_schedules
from jobs.tasks import canary, probe
from jobs.testing import run_jobs
from tenants.models import Role, Tenant
from tests.compliance.builders import make_client, make_document, make_filing, make_tenant
from tests.inventory.builders import make_stock
from tests.jobs.schedules.schedules import make_schedule
from tests.jobs.test_dry_run import counted
from tests.tenants.builders import make_member
from tests.tenants.past import happened

pytestmark = pytest.mark.django_db

CHECK = "inventory.check_stock"
MAINTENANCE = ["audit.archive", "database.analyze", "jobs.prune", "sessions.clear"]
DAY = date(2026, 11, 20)
HOSTILE = ["nobody", "", "a\0b", "\udcff", "'; DROP TABLE jobs_job; --", "x" * 10_000, "\x1b[31m"]


@pytest.fixture
def athens() -> Tenant:
    """A company in Athens; it and that of St John's have their schedules."""
    tenant = make_tenant(timezone="Europe/Athens")
    make_tenant(timezone="America/St_Johns")
    sync_schedules()
    return tenant


def st_johns() -> Tenant:
    return Tenant.objects.get(timezone="America/St_Johns")


# --- a run ----------------------------------------------------------------------------------------


def test_a_declaration_is_run_in_all_its_places_each_for_its_own_today(athens: Tenant) -> None:
    with time_machine.travel(datetime(2026, 11, 22, 23, 30, tzinfo=UTC), tick=False):
        runs = by_hand.run(CHECK)
    assert [(run.schedule, run.day, run.arguments["zone"]) for run in runs] == [
        ("inventory.check_stock [America/St_Johns]", date(2026, 11, 22), "America/St_Johns"),
        ("inventory.check_stock [Europe/Athens]", date(2026, 11, 23), "Europe/Athens"),
    ]
    assert [job.payload["as_of"] for job in Job.objects.order_by("id")] == [
        "2026-11-22", "2026-11-23",
    ]  # fmt: skip


def test_a_run_for_a_tenant_and_a_past_day_has_just_these_arguments(athens: Tenant) -> None:
    (run,) = by_hand.run(CHECK, tenant=athens.slug, day=DAY)
    assert run.schedule == "inventory.check_stock [Europe/Athens]"
    assert (run.day, run.job.tenant, run.job.task) == (DAY, athens.slug, f"{CHECK}_of_zone")
    given = {name: value for name, value in run.job.payload.items() if value is not None}
    assert given == {"tenant": athens.slug, "as_of": "2026-11-20"}
    assert run.arguments == run.job.payload


def test_it_is_in_the_history_and_in_the_audit_log_with_who_asked(athens: Tenant) -> None:
    with job_context(actor="user:olaf"):
        (run,) = by_hand.run(CHECK, tenant=athens.slug, day=DAY)
    firing = Firing.objects.get()
    assert (firing.name, firing.outcome, firing.by_hand) == (run.schedule, "fired", "user:olaf")
    assert (firing.job_id, firing.reason) == (run.job.id, f"for 2026-11-20, for {athens.slug}")
    assert (run.job.enqueued_by, firing.late_by) == ("user:olaf", timedelta(0))
    entry = AuditEntry.objects.get(action="schedule.run")
    assert (entry.actor, entry.tenant) == ("user:olaf", athens.slug)
    assert entry.subject_id == str(firing.schedule_id)
    assert entry.detail == {
        "schedule": run.schedule,
        "job": str(run.job.id),
        "tenant": athens.slug,
        "day": "2026-11-20",
    }


def test_when_it_is_due_next_does_not_change(athens: Tenant) -> None:
    before = list(Schedule.objects.order_by("pk").values())
    by_hand.run(CHECK)
    assert list(Schedule.objects.order_by("pk").values()) == before


def test_its_job_does_the_work(athens: Tenant) -> None:
    by_hand.run(CHECK, tenant=athens.slug)
    assert {(job.task, job.state, job.tenant) for job in run_jobs()} == {
        (f"{CHECK}_of_zone", "succeeded", athens.slug),
        (CHECK, "succeeded", athens.slug),
    }


def test_the_job_has_the_schedule_s_queue_priority_and_tenant() -> None:
    make_schedule(
        cron="0 9 * * *", name="mine", task=CHECK, queue="reports", priority=1,
        kwargs={"tenant": "acme"},
    )  # fmt: skip
    (run,) = by_hand.run("mine")
    assert (run.job.queue, run.job.priority, run.job.tenant) == ("reports", 1, "acme")


def test_a_schedule_that_is_off_or_has_run_already_can_be_run() -> None:
    make_schedule(cron="0 9 * * *", name="off", enabled=False)
    make_schedule(cron="0 9 * * *", name="broken", days="business", country="XX")
    for name in ("off", "broken"):
        (run,) = by_hand.run(name)
        assert run.job.task == "jobs.probe"


def test_a_unique_job_that_is_there_already_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    monkeypatch.setattr(probe, "definition", replace(probe.definition, unique=Unique()))
    make_schedule(cron="0 9 * * *", name="mine")
    (first,), (second,) = by_hand.run("mine"), by_hand.run("mine")
    assert (second.job.id, second.job.is_twin) == (first.job.id, True)
    assert Firing.objects.latest("id").reason == "an equal job was there already"


def test_secret_arguments_are_masked_in_what_is_told() -> None:
    kwargs = {
        "to": "ann@acme.example",
        "recipient_name": "Ann",
        "reset_link": "https://erp.example/hunter2",
        "expires_at": "2099-01-01T00:00:00Z",
    }
    task = "notifications.email_password_reset"
    make_schedule(cron="0 9 * * *", name="reset", task=task, kwargs=kwargs)
    (run,) = by_hand.run("reset")
    assert run.arguments["to"] == "ann@acme.example"
    assert "hunter2" not in repr(
        [run.arguments, Firing.objects.values(), AuditEntry.objects.values()]
    )


# --- what is refused ------------------------------------------------------------------------------


def refused(error: type[Exception], name: str, **asked: Any) -> str:
    """Return what is said by both; nothing is left of either."""
    before = counted()
    said = []
    for act in (by_hand.run, by_hand.try_out):
        with pytest.raises(error) as told:
            act(name, **asked)
        said.append(str(told.value))
    assert counted() == before
    assert len(set(said)) == 1
    return said[0]


def test_an_unknown_name_is_answered_with_the_nearest(athens: Tenant) -> None:
    assert refused(UnknownSchedule, "inventory.chek_stock") == (
        "Unknown schedule 'inventory.chek_stock'. Did you mean 'inventory.check_stock'?"
    )
    near = refused(UnknownSchedule, "inventory.check_stock [Europe/Athen]")
    assert near.endswith("Did you mean 'inventory.check_stock [Europe/Athens]'?")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_only_unknown(name: str) -> None:
    refused(UnknownSchedule, name)


@pytest.mark.parametrize("tenant", HOSTILE)
def test_hostile_tenants_are_only_unknown(athens: Tenant, tenant: str) -> None:
    refused(UnknownTenant, CHECK, tenant=tenant)


def test_what_is_declared_and_stands_nowhere_says_why() -> None:
    assert "start manage.py beat" in refused(NotPossible, CHECK)


def test_a_schedule_of_another_place_does_not_do_a_tenants_work(athens: Tenant) -> None:
    name = "inventory.check_stock [Europe/Athens]"
    said = refused(NotPossible, name, tenant=st_johns().slug)
    assert "America/St_Johns" in said
    assert name in said


def test_a_task_without_tenant_or_day_is_not_run_for_one(athens: Tenant) -> None:
    said = refused(NotPossible, "jobs.prune", tenant=athens.slug)
    assert "no argument 'tenant'" in said
    make_schedule(cron="0 9 * * *", name="mine")
    assert "not done for a day" in refused(NotPossible, "mine", day=DAY)


@pytest.mark.parametrize("name", MAINTENANCE)
def test_maintenance_is_not_run_for_a_day_to_come(athens: Tenant, name: str) -> None:
    with time_machine.travel(datetime(2026, 11, 22, 23, 30, tzinfo=UTC), tick=False):
        said = refused(DayToCome, name, day=date(2026, 11, 23))
    assert said == (
        "date: 2026-11-23 is still to come, it is 2026-11-22; expected today or a past date."
    )


# VACUUM runs in no transaction, and so not in that of a test.
@pytest.mark.parametrize("name", [name for name in MAINTENANCE if name != "database.analyze"])
def test_maintenance_is_run_for_a_past_day_and_for_today(athens: Tenant, name: str) -> None:
    today = datetime.now(UTC).date()
    for day in (DAY, None):
        (run,) = by_hand.run(name, day=day)
        assert (run.day, run.arguments) == (day or today, {"as_of": str(day or today)})
        (trial,) = by_hand.try_out(name, day=day)
        assert (trial.day, trial.arguments) == (run.day, run.arguments)
        run_jobs()
    assert [job.state for job in Job.objects.filter(task=name)] == ["succeeded", "succeeded"]


def test_what_is_not_atomic_and_has_no_preview_has_no_dry_run() -> None:
    make_schedule(cron="0 9 * * *", name="mine")
    with pytest.raises(NotPossible, match="only atomic tasks have a dry run"):
        by_hand.try_out("mine")


@pytest.mark.parametrize(
    ("fields", "error", "told"),
    [
        ({"kwargs": {"label": 7}}, InvalidPayload, "label"),
        ({"kwargs": {"zone": "UTC", "country": "DE"}}, InvalidPayload, "zone"),
        ({"args": "[1]"}, InvalidPayload, "args"),
        ({"args": "{"}, InvalidPayload, "args"),
        ({"task": "jobs.prove"}, UnknownTask, "jobs.probe"),
        ({"queue": "emali"}, EnqueueError, "email"),
        ({"priority": 9}, EnqueueError, "priority: 9"),
    ],
)
def test_a_schedule_whose_values_do_not_fit_is_not_run_and_says_which(
    fields: dict[str, Any], error: type[Exception], told: str
) -> None:
    make_schedule(cron="0 9 * * *", name="mine", **fields)
    with pytest.raises(error) as refused:
        by_hand.run("mine")
    assert told in str(refused.value)
    assert not Job.objects.exists()
    assert not Firing.objects.exists()


@pytest.mark.parametrize("kwargs", ["{", "[]", "7", '"x"', '{"zone": ["UTC"]}', '{"nothing": 1}'])
def test_arguments_that_cannot_be_read_are_told_and_not_a_fault_of_ours(
    athens: Tenant, kwargs: str
) -> None:
    PeriodicTask.objects.filter(name__startswith=CHECK).update(kwargs=kwargs)
    refused(InvalidPayload, CHECK)
    with pytest.raises((InvalidPayload, NotPossible)):
        by_hand.run(CHECK, tenant=athens.slug)


def test_of_several_places_all_are_run_or_none(athens: Tenant) -> None:
    PeriodicTask.objects.filter(name="inventory.check_stock [Europe/Athens]").update(
        kwargs=json.dumps({"zone": 7})
    )
    with pytest.raises(InvalidPayload):
        by_hand.run(CHECK)
    assert not Job.objects.exists()


# --- a dry run ------------------------------------------------------------------------------------


def filled(tenant: Tenant) -> Client:
    """Give the company people, low stock, a document that expires and a filing that is due."""
    for role in Role:
        make_member(tenant, role, email=f"{role.value}@{tenant.slug}.example")
    make_stock(tenant, 1, threshold=10)
    client = make_client(tenant, issues=1)
    make_document(client, DAY + timedelta(days=7))
    make_filing(client, DAY + timedelta(days=3))
    return client


@pytest.mark.parametrize("name", sorted(declared()))
def test_every_declared_schedule_is_tried_for_a_past_day_and_leaves_nothing(
    athens: Tenant, name: str
) -> None:
    tenants = {filled(athens).tenant, filled(st_johns()).tenant}
    happened(datetime(2026, 11, 1, tzinfo=UTC))
    before = counted()
    trials = by_hand.try_out(name, day=DAY)
    assert counted() == before
    told = [one for trial in trials for one in trial.told]
    assert {trial.day for trial in trials} == {DAY}
    assert not [one for one in told if "error" in one.detail]
    if name in MAINTENANCE:
        assert [trial.arguments for trial in trials] == [{"as_of": DAY.isoformat()}]
    elif name == canary.name:
        assert {trial.arguments["queue"] for trial in trials} == set(QUEUES)
    else:
        assert [trial.arguments["zone"] for trial in trials] == [
            "America/St_Johns",
            "Europe/Athens",
        ]
    reaching = {"email": "@", "notify": "notice", "check": "notice"}
    kind = reaching.get(name.partition(".")[2].partition("_")[0])
    if kind is not None:
        got = {one.tenant for one in told if kind in (one.what if kind == "notice" else one.to)}
        assert got == {tenant.slug for tenant in tenants}


def test_a_dry_run_for_a_tenant_tells_only_of_this_one(athens: Tenant) -> None:
    filled(athens)
    filled(st_johns())
    (trial,) = by_hand.try_out("compliance.email_filing_reminders", tenant=athens.slug, day=DAY)
    assert trial.schedule == "compliance.email_filing_reminders [Europe/Athens]"
    assert {one.tenant for one in trial.told} == {athens.slug}
    assert {one.to.partition("@")[2] for one in trial.told if one.to} == {f"{athens.slug}.example"}
    assert {name for name, value in trial.arguments.items() if value} == {"tenant", "as_of"}


def test_a_run_does_what_its_dry_run_told(athens: Tenant) -> None:
    filled(athens)
    name = "compliance.email_filing_reminders"
    (trial,) = by_hand.try_out(name, tenant=athens.slug, day=DAY)
    by_hand.run(name, tenant=athens.slug, day=DAY)
    run_jobs()
    done = {(job.task, job.tenant, job.payload.get("to", "")) for job in Job.objects.all()}
    assert done == {(one.what, one.tenant, one.to) for one in trial.told}


@pytest.mark.parametrize("name", ["email_filing_reminders", "notify_filing_deadlines"])
def test_who_had_it_for_that_day_does_not_get_it_again(athens: Tenant, name: str) -> None:
    filled(athens)
    asked: dict[str, Any] = {"tenant": athens.slug, "day": DAY}
    (before,) = by_hand.try_out(f"compliance.{name}", **asked)
    by_hand.run(f"compliance.{name}", **asked)
    run_jobs()
    (after,) = by_hand.try_out(f"compliance.{name}", **asked)
    assert [one for one in before.told if one.to]
    assert not [one for one in after.told if one.to]
