"""Notices in the app: who gets them, and never twice."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from pydantic import ValidationError
from pytest_django import DjangoAssertNumQueries

from jobs import dry_run
from jobs.errors import InvalidPayload
from jobs.states import State
from jobs.testing import run_jobs
from notifications import task_helpers, tasks
from notifications.inbox import Notice, mark_read, notify, notify_members, set_preference
from notifications.kinds import Channel, Choice, Kind, Urgency
from notifications.models import Notification
from notifications.selectors import inbox, people_to_tell
from tenants.models import Member, Role, Tenant, User
from tests.tenants.builders import make_member, make_tenant, make_user

from .builders import DAY, notice

pytestmark = pytest.mark.django_db


def tell(tenant: Tenant, *notices: Notice, **options: object) -> int:
    """Tell the members about low stock."""
    values = {"kind": Kind.LOW_STOCK, "day": DAY} | options
    return notify_members(tenant=tenant, notices=notices or [notice()], **values)  # type: ignore[arg-type]


def told() -> set[User]:
    return {each.user for each in Notification.objects.select_related("user")}


def test_the_role_decides_who_is_told_and_a_viewer_is_not() -> None:
    tenant = make_tenant()
    owner = make_member(tenant, Role.OWNER)
    keeper = make_member(tenant, Role.WAREHOUSE)
    make_member(tenant, Role.ACCOUNTANT)
    make_member(tenant, Role.VIEWER)
    make_member(tenant, Role.OWNER, is_active=False)
    make_member(make_tenant(), Role.OWNER)

    assert tell(tenant) == 2
    assert told() == {owner, keeper}


def test_a_role_in_another_company_counts_for_nothing() -> None:
    here, there = make_tenant(), make_tenant()
    viewer = make_member(here, Role.VIEWER)
    Member.objects.create(tenant=there, user=viewer, role=Role.OWNER)

    assert tell(here) == 0


def test_a_choice_of_ones_own_comes_before_the_role() -> None:
    tenant = make_tenant()
    owner = make_member(tenant, Role.OWNER)
    viewer = make_member(tenant, Role.VIEWER)
    set_preference(user_id=owner.pk, kind=Kind.LOW_STOCK, channel=Channel.IN_APP, choice=Choice.OFF)
    set_preference(user_id=viewer.pk, kind=Kind.LOW_STOCK, channel=Channel.IN_APP, choice=Choice.ON)
    set_preference(user_id=viewer.pk, kind=Kind.ORDER, channel=Channel.IN_APP, choice=Choice.OFF)

    tell(tenant)

    assert told() == {viewer}


def test_named_roles_are_told_unless_they_turned_it_off() -> None:
    tenant = make_tenant()
    accountant = make_member(tenant, Role.ACCOUNTANT)
    silent = make_member(tenant, Role.ACCOUNTANT)
    make_member(tenant, Role.OWNER)
    set_preference(
        user_id=silent.pk, kind=Kind.LOW_STOCK, channel=Channel.IN_APP, choice=Choice.OFF
    )

    tell(tenant, roles=[Role.ACCOUNTANT])

    assert told() == {accountant}


def test_a_person_is_told_once_per_subject_and_day() -> None:
    tenant = make_tenant()
    make_member(tenant, Role.OWNER)

    assert tell(tenant, notice("a"), notice("b")) == 2
    assert tell(tenant, notice("a", title="Other words"), notice("c")) == 1
    assert tell(tenant, notice("a"), day=DAY + timedelta(days=1)) == 1
    assert Notification.objects.count() == 4
    assert Notification.objects.filter(subject_key="a", day=DAY).get().title == "Chai is low"


def test_one_subject_twice_in_one_call_is_one_notice() -> None:
    tenant = make_tenant()
    make_member(tenant, Role.OWNER)

    assert tell(tenant, notice("a"), notice("a")) == 1


def test_who_works_for_two_companies_hears_from_both() -> None:
    here, there = make_tenant(), make_tenant()
    user = make_member(here, Role.OWNER)
    Member.objects.create(tenant=there, user=user, role=Role.OWNER)

    assert tell(here) + tell(there) == 2


def test_the_day_is_that_of_the_tenant() -> None:
    tokyo, new_york = make_tenant(timezone="Asia/Tokyo"), make_tenant(timezone="America/New_York")
    for tenant in (tokyo, new_york):
        make_member(tenant, Role.OWNER)

    with time_machine.travel(datetime(2026, 3, 31, 23, 0, tzinfo=UTC), tick=False):
        tell(tokyo, day=None)
        tell(new_york, day=None)

    days = dict(Notification.objects.values_list("tenant__timezone", "day"))
    assert days == {"Asia/Tokyo": date(2026, 4, 1), "America/New_York": date(2026, 3, 31)}


def test_telling_many_costs_as_many_statements_as_telling_one(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    tenant = make_tenant()
    for _ in range(5):
        make_member(tenant, Role.OWNER)
    many = [notice(f"subject:{n}") for n in range(200)]

    with django_assert_num_queries(2):
        assert tell(tenant, *many) == 1000


def test_people_can_be_told_by_name_with_or_without_a_company() -> None:
    ann, bob, silent = make_user(), make_user(), make_user()
    set_preference(user_id=silent.pk, kind=Kind.SYSTEM, channel=Channel.IN_APP, choice=Choice.OFF)

    for _ in range(2):
        notify(
            user_ids=[ann.pk, bob.pk, silent.pk],
            tenant=None,
            kind=Kind.SYSTEM,
            notices=[notice(priority=Urgency.URGENT, action_url="https://erp.example/x")],
        )

    assert told() == {ann, bob}
    assert Notification.objects.count() == 2
    assert {each.priority for each in inbox(ann)} == {"urgent"}


def test_only_ones_own_notices_can_be_marked_as_read() -> None:
    ann, bob = make_user(), make_user()
    for user in (ann, bob):
        notify(user_ids=[user.pk], tenant=None, kind=Kind.SYSTEM, notices=[notice()])
    ids = list(Notification.objects.values_list("id", flat=True))

    assert mark_read(user=ann, notification_ids=ids) == 1
    assert mark_read(user=ann, notification_ids=ids) == 0
    assert inbox(ann, unread_only=True).count() == 0
    assert inbox(bob, unread_only=True).count() == 1


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "//evil.example", "/\\evil.example", "ftp://x", "data:text/html,x"],
)
def test_a_link_that_is_neither_of_this_site_nor_of_the_web_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="expected a path"):
        notice(action_url=url)
    with pytest.raises(IntegrityError, match="notif_notification_url_safe"), transaction.atomic():
        Notification.objects.create(
            user=make_user(), kind=Kind.SYSTEM, title="x", subject_key="x", day=DAY, action_url=url
        )


def test_a_title_is_one_line() -> None:
    assert notice(title="two\nlines\t and " + "x" * 300).title.startswith("two lines and xxx")
    assert len(notice(title="x" * 300).title) == 200


def test_a_digest_in_the_app_does_not_exist() -> None:
    with pytest.raises(IntegrityError, match="notif_preference_digest_is_email"):
        set_preference(
            user_id=make_user().pk, kind=Kind.ORDER, channel=Channel.IN_APP, choice=Choice.DIGEST
        )


def test_e_mail_goes_to_who_wants_it_as_it_comes_or_as_a_digest() -> None:
    tenant = make_tenant()
    on, digest, off, nowhere = (make_member(tenant, Role.OWNER) for _ in range(4))
    nowhere.email = ""
    nowhere.save()
    for user, choice in ((on, Choice.ON), (digest, Choice.DIGEST), (off, Choice.OFF)):
        set_preference(user_id=user.pk, kind=Kind.LOW_STOCK, channel=Channel.EMAIL, choice=choice)

    def people(*, as_digest: bool) -> list[User]:
        return list(
            people_to_tell(tenant, Kind.LOW_STOCK, channel=Channel.EMAIL, as_digest=as_digest)
        )

    assert people(as_digest=False) == [on]
    assert people(as_digest=True) == [on, digest]


def test_the_fan_out_as_a_job_says_how_many_are_new() -> None:
    tenant = make_tenant()
    make_member(tenant, Role.OWNER)
    make_member(tenant, Role.VIEWER)

    for _ in range(2):
        task_helpers.queue_notify_members(
            tenant=tenant,
            kind=Kind.LOW_STOCK,
            notices=[notice("a"), notice("b")],
            roles={Role.OWNER, Role.MANAGER},
            day=DAY,
        )
    first, again = run_jobs()

    assert (first.state, first.result, again.result) == (State.SUCCEEDED, 2, 0)
    assert first.tenant == tenant.slug


def test_a_company_that_does_not_exist_is_a_dead_letter_at_once() -> None:
    tasks.notify_members.enqueue(tenant="nobody", kind=Kind.SYSTEM, notices=[notice()])
    (job,) = run_jobs(retries=True)

    assert (job.state, job.attempt) == (State.DEAD, 1)
    assert "'nobody'" in job.error


def test_a_kind_that_does_not_exist_is_refused_at_enqueue() -> None:
    with pytest.raises(InvalidPayload) as caught:
        tasks.notify_members.enqueue(tenant="x", kind="gossip", notices=[notice()])  # type: ignore[arg-type]

    assert list(caught.value.problems) == ["kind"]


@pytest.fixture
def dry() -> Iterator[list[dry_run.Told]]:
    """What a dry run is told, which lasts as long as the test."""
    told: list[dry_run.Told] = []
    token = dry_run._told.set(told)
    yield told
    dry_run._told.reset(token)


def test_a_dry_run_is_told_of_each_new_notice_of_each_person(dry: list[dry_run.Told]) -> None:
    tenant = make_tenant()
    for name in ("ann", "bob"):
        make_member(tenant, Role.OWNER, username=name)
    make_member(tenant, Role.VIEWER)

    assert tell(tenant, notice("a"), notice("b", title="Tofu\nis low")) == 4
    assert tell(tenant, notice("a")) == 0

    assert [(each.what, each.tenant, each.to) for each in dry] == [
        ("notice", tenant.slug, name) for name in ("ann", "ann", "bob", "bob")
    ]
    assert [each.detail for each in dry[:2]] == [
        {"kind": "low_stock", "title": "Chai is low"},
        {"kind": "low_stock", "title": "Tofu is low"},
    ]


def test_a_dry_run_is_told_of_people_without_a_company(dry: list[dry_run.Told]) -> None:
    ann = make_user(username="ann")
    notify(user_ids=[ann.pk], tenant=None, kind=Kind.SYSTEM, notices=[notice()])
    assert [(each.tenant, each.to) for each in dry] == [("", "ann")]


def test_a_dry_run_reads_who_it_was_in_one_statement_more(
    dry: list[dry_run.Told], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    tenant = make_tenant()
    for _ in range(5):
        make_member(tenant, Role.OWNER)

    with django_assert_num_queries(3):
        tell(tenant, *[notice(f"subject:{n}") for n in range(20)])
    assert len(dry) == 100


def test_outside_of_a_dry_run_nothing_is_read_back() -> None:
    tenant = make_tenant()
    make_member(tenant, Role.OWNER)
    with CaptureQueriesContext(connection) as queries:
        tell(tenant)
    assert "RETURNING" not in queries[-1]["sql"]
