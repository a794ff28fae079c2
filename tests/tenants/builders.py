"""The one place where tests get companies and people from."""

from itertools import count
from typing import Any

from tenants.models import Member, Role, Tenant, User

_numbers = count(1)


def make_tenant(**fields: Any) -> Tenant:
    """Return a new company."""
    number = next(_numbers)
    return Tenant.objects.create(
        **{"slug": f"company-{number}", "name": f"Company {number}"} | fields
    )


def make_user(**fields: Any) -> User:
    """Return a new person who can log in."""
    number = next(_numbers)
    name = f"person-{number}"
    return User.objects.create_user(
        **{"username": name, "email": f"{name}@acme.example", "password": "x"} | fields
    )


def make_member(tenant: Tenant, role: Role, **fields: Any) -> User:
    """Return a new person who works at the company in that role."""
    user = make_user(**fields)
    Member.objects.create(tenant=tenant, user=user, role=role)
    return user
