"""Companies and the people who work in them."""

import zoneinfo
from typing import ClassVar

from babel import Locale, UnknownLocaleError, numbers
from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models

from jobs.schedules.calendars import UnknownCountry, check_country


def validate_timezone(value: str) -> None:
    """Accept an IANA zone name, such as ``Europe/Berlin``; raises ``ValidationError``."""
    if value not in zoneinfo.available_timezones():
        raise ValidationError(
            f"{value!r} is not a time zone; expected an IANA name such as 'Europe/Berlin'.",
            code="timezone",
        )


def validate_currency(value: str) -> None:
    """Accept an ISO 4217 code, such as ``EUR``; raises ``ValidationError``."""
    if value not in numbers.list_currencies():
        raise ValidationError(
            f"{value!r} is not a currency; expected an ISO 4217 code such as 'EUR'.",
            code="currency",
        )


def validate_locale(value: str) -> None:
    """Accept a locale that Babel knows, such as ``de_DE``; raises ``ValidationError``."""
    try:
        Locale.parse(value)
    except (UnknownLocaleError, ValueError):
        raise ValidationError(
            f"{value!r} is not a locale; expected one such as 'de_DE'.", code="locale"
        ) from None


def validate_country(value: str) -> None:
    """Accept a country that has a calendar, such as ``DE`` or ``DE-BY``."""
    try:
        check_country(value)
    except UnknownCountry as error:
        raise ValidationError(str(error), code="country") from None


class User(AbstractUser):
    """A person who can log in. Staff may use the admin; members belong to tenants."""


class Tenant(models.Model):
    """A company. Its slug is the tenant key of its jobs, and never changes."""

    slug = models.CharField(
        max_length=64,
        unique=True,
        validators=[
            RegexValidator(
                r"^[a-z0-9]+(-[a-z0-9]+)*$",
                "Expected lower-case letters, digits and single hyphens.",
            )
        ],
    )
    name = models.CharField(max_length=200)
    timezone = models.CharField(max_length=64, default="UTC", validators=[validate_timezone])
    currency = models.CharField(max_length=3, default="EUR", validators=[validate_currency])
    locale = models.CharField(max_length=16, default="en_GB", validators=[validate_locale])
    country = models.CharField(
        max_length=10,
        blank=True,
        default="",
        validators=[validate_country],
        help_text="Whose public holidays count: ISO 3166-1, perhaps with a part, such as DE or "
        "DE-BY. Empty: the country of the locale.",
    )
    #: Printed on documents.
    address = models.TextField(blank=True, default="")
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["slug"]
        indexes: ClassVar = [models.Index(fields=["timezone"])]

    def __str__(self) -> str:
        return self.name

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        """The tenant's time zone: its days begin and end here."""
        return zoneinfo.ZoneInfo(self.timezone)

    @property
    def calendar(self) -> str:
        """The country whose business days are the tenant's; empty when nobody knows."""
        return self.country or Locale.parse(self.locale).territory or ""


class Role(models.TextChoices):
    """What a member does, and so what a member is told by default."""

    OWNER = "owner"
    MANAGER = "manager"
    WAREHOUSE = "warehouse"
    ACCOUNTANT = "accountant"
    VIEWER = "viewer"  # reads only, and is told nothing by default


class Member(models.Model):
    """A user's place in a tenant."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="members")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "user"], name="tenants_member_once"),
        ]

    def __str__(self) -> str:
        return f"{self.user} ({self.role}, {self.tenant})"
