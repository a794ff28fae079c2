"""The one place where tests of compliance get their records from."""

import random
from datetime import date, timedelta
from itertools import count

from compliance.models import (
    Client,
    ClientDocument,
    ClientScore,
    DocumentVersion,
    Filing,
    ScoreHistory,
)
from tenants.models import Member, Role, Tenant, User

from .reference import Expected

_numbers = count(1)
DAY = date(2026, 3, 1)


def make_tenant(*, timezone: str = "UTC", is_active: bool = True) -> Tenant:
    """Return a new tenant."""
    number = next(_numbers)
    return Tenant.objects.create(
        slug=f"tenant-{number}", name=f"Tenant {number}", timezone=timezone, is_active=is_active
    )


def make_member(tenant: Tenant, role: Role, *, email: str = "") -> User:
    """Return a new person who works there as that."""
    user = User.objects.create(username=f"{role.value}@{tenant.slug}", email=email)
    Member.objects.create(tenant=tenant, user=user, role=role)
    return user


def make_client(
    tenant: Tenant, *, issues: int = 0, is_active: bool = True, name: str = ""
) -> Client:
    """Return a new client with that many rejected documents."""
    number = next(_numbers)
    client = Client.objects.create(
        tenant=tenant, code=f"C{number:06}", name=name or f"Client {number}", is_active=is_active
    )
    add_issues(client, issues)
    return client


def add_issues(client: Client, number: int) -> None:
    """Give the client that many rejected documents more."""
    ClientDocument.objects.bulk_create(
        ClientDocument(client=client, kind="passport", status="rejected") for _ in range(number)
    )


def make_document(client: Client, *expiries: date | None, status: str = "valid") -> ClientDocument:
    """Return a new document with a version for each expiry date, the last being the latest."""
    document = ClientDocument.objects.create(client=client, kind="licence", status=status)
    for number, expires_on in enumerate(expiries, start=1):
        DocumentVersion.objects.create(document=document, number=number, expires_on=expires_on)
    return document


def make_filing(client: Client, due_on: date, *, status: str = "draft") -> Filing:
    """Return a new filing."""
    return Filing.objects.create(
        client=client,
        kind=f"return {next(_numbers)}",
        authority="Tax office",
        period_end=due_on - timedelta(days=30),
        due_on=due_on,
        status=status,
    )


def figures(row: ClientScore | ScoreHistory) -> Expected:
    """Return what a stored score says, to compare with the reference."""
    return Expected(row.score, row.risk, row.missing, row.expiring, row.overdue)


def make_random_clients(dice: random.Random, tenants: list[Tenant], day: date, many: int) -> None:
    """Make clients with documents and filings around ``day``, mostly on the edges of the rules."""
    offsets = [-366, -31, -30, -1, 0, 1, 29, 30, 31, 32, 365]

    def some_day() -> date:
        return day + timedelta(days=dice.choice([*offsets, dice.randint(-500, 500)]))

    for _ in range(many):
        client = make_client(dice.choice(tenants), is_active=dice.random() < 0.9)
        for _ in range(dice.choice([0, 1, 2, 4, 8])):
            document = ClientDocument.objects.create(
                client=client, kind="licence", status=dice.choice(ClientDocument.Status.values)
            )
            # Numbers with gaps, in no order: neither the newest row nor the last date is the latest.
            for number in dice.sample(range(1, 9), dice.choice([0, 1, 1, 2, 4])):
                DocumentVersion.objects.create(
                    document=document,
                    number=number,
                    expires_on=some_day() if dice.random() < 0.9 else None,
                )
        for _ in range(dice.choice([0, 0, 1, 3, 6])):
            make_filing(client, some_day(), status=dice.choice(Filing.Status.values))
