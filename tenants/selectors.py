"""Reads: companies, the people in them, and a company's own date."""

from collections.abc import Collection
from datetime import date, datetime

from django.db.models import QuerySet
from django.utils import timezone

from jobs.schedules.declare import Place
from tenants.errors import UnknownTenant
from tenants.models import Member, Role, Tenant, User


def get_tenant(slug: str) -> Tenant:
    """Return the company whose slug (and so whose key in jobs) is ``slug``.

    Raises:
        UnknownTenant: there is none; permanent for a job.
    """
    try:
        return Tenant.objects.get(slug=slug)
    except Tenant.DoesNotExist:
        raise UnknownTenant(slug, Tenant.objects.values_list("slug", flat=True)) from None


def active_tenants(*, zone: str | None = None) -> QuerySet[Tenant]:
    """Return the companies at work, by slug; with ``zone``, those of that IANA time zone."""
    tenants = Tenant.objects.filter(is_active=True).order_by("slug")
    return tenants if zone is None else tenants.filter(timezone=zone)


def zones_in_use() -> list[str]:
    """Return the IANA time zones of the companies at work, sorted."""
    zones = active_tenants().order_by("timezone").values_list("timezone", flat=True)
    return list(zones.distinct())


def places_in_use() -> list[Place]:
    """Return where the companies at work are: their zones and countries."""
    tenants = active_tenants().order_by().only("timezone", "country", "locale").distinct()
    return sorted({_place(tenant) for tenant in tenants})


def place_of(slug: str) -> Place | None:
    """Return where a company is; None: there is none of this slug."""
    tenant = Tenant.objects.filter(slug=slug).first()
    return _place(tenant) if tenant else None


def _place(tenant: Tenant) -> Place:
    return Place(zone=tenant.timezone, country=tenant.calendar)


def local_date(tenant: Tenant, at: datetime | None = None) -> date:
    """Return the company's date at an aware instant (now, when None): its days, not UTC's."""
    return timezone.localtime(at or timezone.now(), tenant.zone).date()


def people_of(tenant: Tenant, *, roles: Collection[Role] | None = None) -> QuerySet[User]:
    """Return the company's members who can log in, by id; with ``roles``, those who have one."""
    members = Member.objects.filter(tenant=tenant)
    if roles is not None:
        members = members.filter(role__in=list(roles))
    return User.objects.filter(is_active=True, id__in=members.values("user_id")).order_by("id")


def display_name(user: User) -> str:
    """Return how to address the person: the full name, or the user name when there is none."""
    return user.get_full_name() or user.get_username()
