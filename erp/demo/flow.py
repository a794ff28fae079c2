"""The demo's day at the office: what business code would do with the sample, phase by phase.

It calls the same task helpers and services as the product does; real workers do the work.
"""

import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Permission
from django.core.files.base import File
from django.db import transaction
from django.utils import timezone

from compliance import services as compliance
from compliance.models import ClientDocument, Filing
from compliance.task_helpers import queue_score_refresh
from erp.demo.sample import CLOSED_MAILBOX, COMPANIES, FULL_MAILBOX, Company, Sample, write_sample
from imports.task_helpers import queue_import
from inventory.task_helpers import queue_stock_check
from jobs.context import job_context
from jobs.models import Job
from jobs.states import FINAL
from notifications.task_helpers import queue_password_reset_email
from sales import bulk as sales
from sales.models import Order
from tenants.models import Member, Role, Tenant, User

SEED = 2026
#: Told (done, total) while the jobs of a phase run.
Progress = Callable[[int, int], None]

_POLL_SECONDS = 0.1
_PAPERS = (
    "passport", "trade licence", "insurance", "tax certificate", "lease", "fire safety",
    "food hygiene", "power of attorney",
)  # fmt: skip


class DemoStuckError(Exception):
    """Jobs of the demo did not end in time."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What the phases share."""

    folder: Path
    mail_folder: Path
    password: str
    #: Seconds without any job ending after which the demo gives up.
    patience: float = 60.0


def create_companies(stage: Stage) -> list[Tenant]:
    """Make the tenants, their people, and a login for the person who watches."""
    hashed = make_password(stage.password)  # slow on purpose, so once for all
    User.objects.create(
        username="admin", email="admin@erp.example", password=hashed, first_name="Admin",
        is_staff=True, is_superuser=True,
    )  # fmt: skip
    viewer = User.objects.create(
        username="viewer", email="viewer@erp.example", password=hashed, is_staff=True
    )
    viewer.user_permissions.set(
        Permission.objects.filter(codename__startswith="view_", content_type__app_label="jobs")
    )
    return [_create_company(company, hashed) for company in COMPANIES]


def _create_company(company: Company, hashed: str) -> Tenant:
    tenant = Tenant.objects.create(
        slug=company.slug,
        name=company.name,
        timezone=company.timezone,
        currency=company.currency,
        locale=company.locale,
        address=company.address,
    )
    for person in company.people:
        first, _, last = person.name.partition(" ")
        user = User.objects.create(
            username=person.username,
            email=f"{person.username}@{company.slug}.example",
            password=hashed,
            first_name=first,
            last_name=last,
        )
        Member.objects.create(tenant=tenant, user=user, role=person.role)
    _create_clients(tenant, company)
    return tenant


def _create_clients(tenant: Tenant, company: Company) -> None:
    chance = random.Random(f"{SEED} clients {company.slug}")  # noqa: S311 - a sample
    today = timezone.localdate(timezone=tenant.zone)
    with transaction.atomic():
        for number in range(1, company.clients + 1):
            client = compliance.create_client(
                tenant=tenant, code=f"K{number:03}", name=f"Client {number} Œuvre & Σία"
            )
            careless = number % 4 == 0
            valid, pending = ClientDocument.Status.VALID, ClientDocument.Status.PENDING_REVIEW
            statuses = [pending] if careless else [valid] * 5 + [pending]
            for kind in _PAPERS[: chance.randrange(3, len(_PAPERS) + 1)]:
                compliance.add_document(
                    client=client,
                    kind=kind,
                    status=chance.choice(statuses),
                    expires_on=today + timedelta(days=chance.randrange(-60, 300)),
                )
            compliance.add_filing(
                client=client,
                kind="VAT return",
                authority="Tax office",
                period_end=date(today.year, 9, 30),
                due_on=today + timedelta(days=chance.randrange(-15, 40)),
                status=chance.choice([Filing.Status.DRAFT, Filing.Status.SUBMITTED]),
            )


def import_samples(stage: Stage, tenants: Sequence[Tenant], progress: Progress) -> list[Sample]:
    """Import each company's four files; those that refer to others after them."""
    samples = []
    for company, tenant in zip(COMPANIES, tenants, strict=True):
        folder = stage.folder / "import" / company.slug
        today = timezone.localdate(timezone=tenant.zone)
        samples.append(
            write_sample(
                company, folder, today=today, seed=SEED, plant_failures=company is COMPANIES[0]
            )
        )
    for kinds in (["products", "customers"], ["orders"], ["order_lines"]):
        for sample, tenant in zip(samples, tenants, strict=True):
            for kind in kinds:
                with sample.files[kind].open("rb") as file, _as_user(sample.company):
                    queue_import(tenant=tenant, kind=kind, file=File(file), filename=f"{kind}.csv")
        wait_for_all(stage, progress)
    return samples


def confirm_orders(stage: Stage, samples: Sequence[Sample], progress: Progress) -> None:
    """Confirm every order: a confirmation e-mail and an order sheet each.

    One customer's mailbox is closed: a dead letter at once.
    """
    _refuse(stage, {CLOSED_MAILBOX: "550 5.2.1 Mailbox closed"})
    for sample in samples:
        with _as_user(sample.company):
            orders = Order.objects.filter(tenant__slug=sample.company.slug).order_by("id")
            sales.confirm_orders(orders.values_list("id", flat=True))
    wait_for_all(stage, progress)


def issue_invoices(stage: Stage, samples: Sequence[Sample], progress: Progress) -> None:
    """Invoice a quarter of the orders: PDF, then e-mail with the PDF, then audit entry.

    One customer's mailbox is full for now: retried with growing waits, then a dead letter.
    """
    _refuse(stage, {FULL_MAILBOX: "452 4.2.2 Mailbox full"})
    for sample in samples:
        with _as_user(sample.company):
            sales.issue_invoices(order.pk for order in orders_to_invoice(sample.company.slug))
    wait_for_all(stage, progress)


def orders_to_invoice(slug: str) -> list[Order]:
    """Return every fourth order; the one whose customer's mailbox is closed is none of them."""
    orders = Order.objects.filter(tenant__slug=slug).order_by("id")
    return list(orders)[1::4]


def run_the_night(stage: Stage, tenants: Sequence[Tenant], progress: Progress) -> None:
    """Do by hand what the schedules do at night, and what a forgetful owner asks for."""
    for tenant in tenants:
        queue_stock_check(tenant=tenant)
        queue_score_refresh(tenant=tenant.slug)
        owner = tenant.members.select_related("user").get(role=Role.OWNER).user
        queue_password_reset_email(
            tenant=tenant,
            to=owner.email,
            recipient_name=owner.get_full_name(),
            reset_link=f"https://erp.example/reset/{random.getrandbits(64):x}",
            expires_at=timezone.now() + timedelta(hours=1),
        )
    wait_for_all(stage, progress)


def mend_the_mailboxes(stage: Stage) -> None:
    """The cause is gone: whoever replays the dead letters from now on sees them succeed."""
    _refuse(stage, {})


def wait_for_all(stage: Stage, progress: Progress) -> None:
    """Wait until every job is final; raises :class:`DemoStuckError` when none ends any more."""
    seen, since = -1, time.monotonic()
    while True:
        total = Job.objects.count()
        done = Job.objects.filter(state__in=FINAL).count()
        progress(done, total)
        if done == total:
            return
        if done != seen:
            seen, since = done, time.monotonic()
        elif time.monotonic() - since > stage.patience:
            waiting = Job.objects.exclude(state__in=FINAL).values_list("task", "state", "error")
            raise DemoStuckError(
                f"{total - done} jobs did not end, such as {list(waiting[:3])}. "
                f"The worker's log says why."
            )
        time.sleep(_POLL_SECONDS)


def _as_user(company: Company) -> Any:
    return job_context(tenant=company.slug, actor=f"user:{company.people[0].username}")


def _refuse(stage: Stage, answers: dict[str, str]) -> None:
    """Tell the mail server which recipients to refuse, and how."""
    path = stage.mail_folder / "refusals.json"
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(answers))
    draft.replace(path)
