"""What people do in the admin, in a real browser, against the stack with its real workers."""

import json
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.test import override_settings
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect, sync_playwright

from jobs.models import Job
from jobs.states import State
from jobs.tasks import probe
from notifications.task_helpers import queue_password_reset_email
from tenants.models import Member, Role, Tenant, User
from tests.conftest import Live, wait_until

pytestmark = pytest.mark.processes

PASSWORD = "correct horse battery staple"
#: Chromium looks up nothing outside of the page.
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
GUARDED = [
    "/admin/", "/admin/queues/", "/admin/queues/jobs/", "/admin/queues/dead-letters/",
    "/admin/queues/replays/", "/admin/queues/replays/new/", "/api/replays",
    "/admin/queues/run/", "/admin/jobs/auditentry/", "/admin/sales/order/", "/api/queues/stats",
    "/api/jobs/email", "/api/dead-letters", "/api/health/queues", "/metrics",
]  # fmt: skip


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


@pytest.fixture
def site(live: Live) -> Iterator[str]:
    """The address of a running stack."""
    # The site does not know the quick hashes of the tests.
    hashers = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
    with override_settings(PASSWORD_HASHERS=hashers):
        yield from running_site(live)


def running_site(live: Live) -> Iterator[str]:
    facts = Path(settings.DATA_DIR) / "run" / "stack.json"
    facts.unlink(missing_ok=True)
    # Without canaries, which would be counted with the jobs of a test.
    process = live.start("stack", "--no-flower", "--port", "18437", JOBS_CANARY="false")
    wait_until(facts.exists, within=60)
    address = str(json.loads(facts.read_text())["site"])
    wait_until(lambda: answers(f"{address}/api/health/live"), within=60)
    yield address
    live.stop(process)


@pytest.fixture(autouse=True, scope="module")
def database_beside_the_browser() -> Iterator[None]:
    """Playwright keeps an event loop in this thread, which Django takes for asynchronous code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        yield


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    if found is None:
        pytest.fail("no Chromium: run scripts/system_packages.sh test")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


def refused_to_strangers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return "/admin/login/" in answer.url
    except urllib.error.HTTPError as error:
        error.close()
        return error.code in {401, 403}


def log_in(page: Page, site: str, username: str) -> None:
    page.goto(f"{site}/admin/login/")
    page.fill("input[name=username]", username)
    page.fill("input[name=password]", PASSWORD)
    with page.expect_navigation():
        page.click("button[type=submit]")


def refuse(answers: dict[str, str]) -> None:
    path = Path(settings.DATA_DIR) / "mail" / "refusals.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(answers))


def test_an_operator_sees_the_dashboard_move_and_replays_a_dead_letter(
    live: Live, site: str, browser: Browser
) -> None:
    User.objects.create_superuser("admin", "admin@erp.example", PASSWORD)
    refuse({"ann@closed.example": "550 5.2.1 Mailbox closed"})
    delivery = queue_password_reset_email(
        to="ann@closed.example",
        recipient_name="Ann",
        reset_link="https://erp.example/reset/4711",
        expires_at=timezone.now() + timedelta(hours=1),
    )
    assert delivery.job_id is not None
    dead = Job.objects.filter(id=delivery.job_id, state=State.DEAD)
    wait_until(dead.exists)

    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    log_in(page, site, "admin")
    page.goto(f"{site}/admin/queues/")
    row = page.locator("tr", has_text="one message to one person")
    before = row.inner_text()
    for _ in range(10):
        probe.using(queue="email").enqueue(label="seen", sleep_ms=300)
    expect(row).not_to_have_text(before, timeout=15_000)  # without reloading the page
    wait_until(lambda: Job.objects.filter(task="jobs.probe", state=State.SUCCEEDED).count() == 10)
    expect(row).to_contain_text("10", timeout=15_000)

    refuse({})
    page.goto(f"{site}/admin/queues/dead-letters/")
    page.locator("a", has_text="notifications.email_password_reset").click()
    assert "4711" not in page.content(), "a secret is masked"
    page.locator("button", has_text=re.compile("^Replay")).first.click()
    page.locator("a", has_text="notifications.email_password_reset").first.wait_for()
    replays = Job.objects.filter(replay_of_id=delivery.job_id)
    wait_until(replays.filter(state=State.SUCCEEDED).exists)
    page.goto(f"{site}/admin/queues/jobs/{replays.get().id}/")
    expect(page.locator("main, body").first).to_contain_text("succeeded", timeout=15_000)
    page.goto(f"{site}/admin/queues/dead-letters/")
    expect(page.locator("button", has_text=re.compile("^Replay$"))).to_have_count(0)
    assert errors == []


def test_an_operator_replays_what_an_outage_killed_one_first_and_watches_the_rest(
    live: Live, site: str, browser: Browser
) -> None:
    User.objects.create_superuser("admin", "admin@erp.example", PASSWORD)
    for n in range(12):
        probe.using(queue="email").enqueue(label=f"letter {n}", fail_permanently=True)
    wait_until(lambda: Job.objects.filter(state=State.DEAD).count() == 12)
    Job.objects.update(payload={"label": "mended", "sleep_ms": 500})

    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    log_in(page, site, "admin")
    page.goto(f"{site}/admin/queues/dead-letters/?queue=email")
    page.get_by_role("link", name="Replay all that fit…").click()
    expect(page.locator("h2", has_text="12 dead letters that fit")).to_be_visible()
    page.get_by_role("button", name="Replay").click()
    expect(page.locator("p", has_text="12 of 12 replayed")).to_be_visible(timeout=30_000)
    mended = Job.objects.filter(payload__label="mended", state=State.SUCCEEDED)
    wait_until(lambda: mended.count() == 12)
    page.goto(f"{site}/admin/queues/replays/")
    expect(page.locator("tr", has_text="queue email")).to_contain_text("done")
    assert errors == []


def test_a_member_without_staff_rights_reaches_nothing(
    live: Live, site: str, browser: Browser
) -> None:
    tenant = Tenant.objects.create(slug="acme", name="Acme")
    member = User.objects.create_user("bob", "bob@acme.example", PASSWORD)
    Member.objects.create(tenant=tenant, user=member, role=Role.OWNER)
    page = browser.new_page()
    log_in(page, site, "bob")
    for path in GUARDED:
        response = page.goto(f"{site}{path}")
        assert response is not None
        refused = response.status in {401, 403} or "/admin/login/" in page.url
        assert refused, f"{path} answered {response.status} at {page.url}"
    for path in GUARDED:
        assert refused_to_strangers(f"{site}{path}"), path
