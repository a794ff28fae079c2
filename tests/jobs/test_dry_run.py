"""What a dry run tells, and that nothing of it is left."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
import redis
from django.core.files.storage import default_storage
from django.db import connection, transaction
from pydantic import SecretStr

from compliance import tasks as compliance
from documents import storage
from inventory import tasks as inventory
from jobs import dry_run, job_task
from jobs.dry_run import Told, WouldFail, is_dry_run, tell, try_out
from jobs.errors import InvalidPayload, NotPossible, PermanentError
from jobs.models import AuditEntry, Job
from jobs.task import JobTask
from jobs.tasks import probe
from notifications.models import Notification
from tenants.models import Role
from tests.compliance.builders import DAY, make_client, make_filing, make_tenant
from tests.inventory.builders import make_stock
from tests.tenants.builders import make_member

pytestmark = pytest.mark.django_db


def counted() -> dict[str, int]:
    """Return how many rows each table has."""
    with connection.cursor() as cursor:
        found = {}
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT count(*) FROM {connection.ops.quote_name(table)}")
            (found[table],) = cursor.fetchone()
        return found


def tried(task: JobTask[Any, Any], *, of: str = "", **arguments: Any) -> list[Told]:
    """Try the task out, and see to it that nothing is left."""
    before = counted()
    try:
        return try_out(task, arguments, tenant=of)
    finally:
        assert counted() == before
        assert not is_dry_run()


# --- what is told ---------------------------------------------------------------------------------


def test_the_task_is_told_first_with_its_arguments_and_its_result() -> None:
    @job_task(name="tests.adds", queue="email", atomic=True)
    def adds(*, one: int, other: int = 2) -> int:
        tell("notice", to="ann", tenant="acme", title="hello")
        return one + other

    assert tried(adds, of="acme", one=1) == [
        Told(what="tests.adds", tenant="acme", detail={"one": 1, "other": 2, "result": 3}),
        Told(what="notice", tenant="acme", to="ann", detail={"title": "hello"}),
    ]


def test_an_e_mail_is_told_with_its_address_and_tenant_and_is_not_sent() -> None:
    tenant = make_tenant()
    make_member(tenant, Role.OWNER, email="ann@acme.example")
    make_filing(make_client(tenant), DAY)
    task, email = tried(
        compliance.email_filing_reminders, of=tenant.slug, tenant=tenant.slug, as_of=DAY
    )
    assert task.detail["result"]["people"] == 1
    assert (email.what, email.tenant, email.to) == (
        "notifications.email_filing_reminder", tenant.slug, "ann@acme.example",
    )  # fmt: skip
    assert email.detail["day"] == DAY.isoformat()
    assert "result" not in email.detail


def test_a_notice_is_told_with_who_would_find_it() -> None:
    tenant = make_tenant()
    make_member(tenant, Role.OWNER, username="ann")
    make_filing(make_client(tenant), DAY)
    _, notice = tried(
        compliance.notify_filing_deadlines, of=tenant.slug, tenant=tenant.slug, as_of=DAY
    )
    assert (notice.what, notice.tenant, notice.to) == ("notice", tenant.slug, "ann")
    assert not Notification.objects.exists()


def test_what_it_enqueues_is_tried_too_and_what_that_enqueues() -> None:
    low, well = (make_tenant(timezone="Europe/Athens") for _ in range(2))
    make_member(low, Role.OWNER, email="ann@acme.example")
    make_stock(low, 1, threshold=10)
    told = tried(inventory.check_stock_of_zone, zone="Europe/Athens")
    assert [(one.what, one.tenant) for one in told if "check_stock" in one.what] == [
        ("inventory.check_stock_of_zone", ""),
        ("inventory.check_stock", low.slug),
        ("inventory.check_stock", well.slug),
    ]
    assert told[1].detail["result"]["opened"] == 1
    assert "ann@acme.example" in {one.to for one in told}


def test_secrets_are_masked_wherever_they_are_told() -> None:
    @job_task(name="tests.child", queue="email")
    def child(*, to: str, password: SecretStr) -> None: ...

    @job_task(name="tests.parent", queue="email", atomic=True)
    def parent(*, password: SecretStr) -> str:
        child.enqueue(to="ann@acme.example", password=password)
        assert password.get_secret_value() == "hunter2"
        return "done"

    told = tried(parent, password="hunter2")
    assert [one.what for one in told] == ["tests.parent", "tests.child"]
    assert "hunter2" not in repr(told)
    assert told[1].to == "ann@acme.example"


def test_a_task_that_keeps_on_enqueueing_itself_is_tried_so_often_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dry_run, "MOST_TRIED", 5)

    @job_task(name="tests.again", queue="email", atomic=True)
    def again(*, number: int = 0) -> int:
        again.enqueue(number=number + 1)
        return number

    told = tried(again)
    assert [one.detail.get("result") for one in told] == [0, 1, 2, 3, 4, 5, None]


# --- what fails -----------------------------------------------------------------------------------


def broken_in_sql() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 / 0")


def broken_for_good() -> None:
    raise PermanentError("The warehouse burned down.")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (broken_in_sql, "DataError: division by zero"),
        (broken_for_good, "The warehouse burned down."),
    ],
)
def test_a_job_that_would_fail_says_with_what_and_others_are_tried_all_the_same(
    body: Callable[[], None], text: str
) -> None:
    @job_task(name="tests.fails", queue="email", atomic=True)
    def fails() -> None:
        tell("notice", to="ann")
        body()

    @job_task(name="tests.works", queue="email", atomic=True)
    def works() -> int:
        return Job.objects.count()

    @job_task(name="tests.both", queue="email", atomic=True)
    def both() -> None:
        fails.enqueue()
        works.enqueue()

    told = {one.what: one.detail for one in tried(both)}
    assert text in told["tests.fails"]["error"]
    assert told["tests.works"]["result"] == 2

    with pytest.raises(WouldFail, match=r"tests\.fails would fail: ") as refused:
        tried(fails)
    assert text in str(refused.value)


def test_what_a_job_told_before_it_failed_would_not_happen() -> None:
    @job_task(name="tests.tells", queue="email", atomic=True)
    def tells() -> None:
        tell("notice", to="ann")
        raise ValueError("too late")

    @job_task(name="tests.above", queue="email", atomic=True)
    def above() -> None:
        tells.enqueue()

    assert [one.what for one in tried(above)] == ["tests.above", "tests.tells"]


def test_a_task_that_acts_outside_the_database_is_refused() -> None:
    with pytest.raises(NotPossible, match=r"jobs\.probe acts outside the database.*@task\.preview"):
        tried(probe, label="x")


# --- previews -------------------------------------------------------------------------------------


def test_of_a_task_that_acts_outside_its_preview_is_run_with_its_arguments() -> None:
    @job_task(name="tests.clears", queue="email")
    def clears(*, folder: str, password: SecretStr) -> int:
        raise AssertionError("it is not run")

    @clears.preview
    def look(*, folder: str, password: SecretStr) -> int:
        assert password.get_secret_value() == "hunter2"
        assert is_dry_run()
        tell("file", count=3, folder=folder)
        return 3

    told = tried(clears, of="acme", folder="x", password="hunter2")
    assert told[0].what == "tests.clears"
    assert told[0].detail == {"folder": "x", "password": "**********", "result": 3}
    assert told[1:] == [Told(what="file", count=3, detail={"folder": "x"})]


@pytest.mark.parametrize(
    "write",
    [
        lambda: probe.enqueue(label="x"),
        lambda: Notification.objects.all().delete(),
        lambda: list(Job.objects.select_for_update()),
        lambda: connection.cursor().execute("CREATE TABLE other (id int)"),
    ],
)
def test_a_preview_that_writes_is_refused_and_says_so(write: Callable[[], object]) -> None:
    @job_task(name="tests.sends", queue="email")
    def sends() -> None: ...

    @sends.preview
    def look() -> None:
        write()

    with pytest.raises(NotPossible, match=r"^The preview of tests\.sends may only look: cannot ex"):
        tried(sends)
    make_tenant()  # the transaction around it can still write


def test_a_preview_that_fails_says_with_what() -> None:
    @job_task(name="tests.sends", queue="email")
    def sends() -> None: ...

    @sends.preview
    def look() -> None:
        broken_in_sql()

    with pytest.raises(WouldFail, match=r"tests\.sends would fail: DataError: division by zero"):
        tried(sends)


def test_jobs_with_a_preview_that_are_enqueued_on_the_way_are_tried_by_it() -> None:
    @job_task(name="tests.sends", queue="email")
    def sends(*, to: str) -> None: ...

    @sends.preview
    def look(*, to: str) -> None:
        tell("letter", to=to, jobs=Job.objects.count())
        if to == "bob":
            Job.objects.all().delete()

    @job_task(name="tests.above", queue="email", atomic=True)
    def above() -> None:
        sends.enqueue(to="ann")
        sends.enqueue(to="bob")
        made.enqueue()

    @job_task(name="tests.made", queue="email", atomic=True)
    def made() -> int:
        make_tenant()
        return 1

    _, ann, letter, bob, last = tried(above)
    assert (ann.to, letter.what, letter.detail) == ("ann", "letter", {"jobs": 3})
    assert bob.detail["error"].startswith("The preview of tests.sends may only look")
    assert last.detail == {"result": 1}


def test_a_preview_that_does_not_fit_its_task_is_refused_when_it_is_declared() -> None:
    @job_task(name="tests.sends", queue="email")
    def sends(*, to: str) -> None: ...

    @job_task(name="tests.adds", queue="email", atomic=True)
    def adds() -> None: ...

    with pytest.raises(TypeError, match=r"tests\.sends: its preview must take its arguments"):
        sends.preview(lambda: None)  # type: ignore[arg-type, misc]
    with pytest.raises(TypeError, match=r"tests\.adds is atomic"):
        adds.preview(lambda: None)


def test_arguments_that_do_not_fit_are_refused_by_their_names() -> None:
    with pytest.raises(InvalidPayload) as refused:
        tried(compliance.refresh_scores, zone="Mars/Olympus", as_of="soon")
    assert refused.value.problems.keys() == {"zone", "as_of"}


# --- nothing of it happens ------------------------------------------------------------------------


def test_what_was_to_happen_after_the_commit_does_not(
    django_capture_on_commit_callbacks: Callable[..., Any],
) -> None:
    happened: list[str] = []

    @job_task(name="tests.commits", queue="email", atomic=True)
    def commits(*, day: date | None = None) -> None:
        transaction.on_commit(lambda: happened.append("inside"))
        commits_below.enqueue()

    @job_task(name="tests.commits_below", queue="email", atomic=True)
    def commits_below() -> None:
        transaction.on_commit(lambda: happened.append("below"))

    with django_capture_on_commit_callbacks(execute=True) as callbacks:
        tried(commits)
    assert (callbacks, happened) == ([], [])


def test_nothing_is_published(
    broker: redis.Redis, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    tenant = make_tenant(timezone="Europe/Athens")
    with django_capture_on_commit_callbacks(execute=True):
        told = tried(inventory.check_stock_of_zone, zone="Europe/Athens")
    assert [one.tenant for one in told] == ["", tenant.slug]
    assert broker.dbsize() == 0
    with django_capture_on_commit_callbacks(execute=True):
        inventory.check_stock_of_zone.enqueue(zone="Europe/Athens")
    assert broker.dbsize() > 0, "or this test would not notice"


def test_a_dry_run_inside_a_transaction_leaves_that_as_it_is() -> None:
    with transaction.atomic():
        tenant = make_tenant()
        tried(inventory.check_stock, tenant=tenant.slug)
        AuditEntry.objects.create(actor="a", action="b", subject_type="c", subject_id="d")
    tenant.refresh_from_db()
    assert AuditEntry.objects.filter(action="b").count() == 1


def test_no_file_is_kept(settings: Any, tmp_path: Any) -> None:
    settings.MEDIA_ROOT = tmp_path

    @job_task(name="tests.keeps", queue="pdf", atomic=True)
    def keeps() -> str:
        return storage.keep(b"%PDF", lambda digest: f"documents/{digest}.pdf")

    (told,) = tried(keeps)
    assert told.detail["result"].startswith("documents/")
    assert not default_storage.exists(told.detail["result"])
    assert list(tmp_path.iterdir()) == []


def test_outside_of_a_dry_run_nothing_is_told() -> None:
    assert not is_dry_run()
    tell("notice", to="ann")
