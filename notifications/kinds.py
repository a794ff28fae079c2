"""What people are told about, how, and who is told unless they say otherwise."""

from django.db import models

from tenants.models import Role


class Kind(models.TextChoices):
    """What a notice is about; what a person can turn on and off."""

    SYSTEM = "system"
    ORDER = "order"
    MARKETPLACE = "marketplace"
    DOCUMENT_EXPIRY = "document_expiry"
    FILING_DEADLINE = "filing_deadline"
    LOW_STOCK = "low_stock"
    JOB_FAILURE = "job_failure"


class Channel(models.TextChoices):
    """How a person is reached."""

    IN_APP = "in_app", "in-app"
    EMAIL = "email", "e-mail"


class Choice(models.TextChoices):
    """What a person wants of one kind on one channel."""

    ON = "on"
    OFF = "off"
    DIGEST = "digest"  # collected into one e-mail a day; e-mail only


class Urgency(models.TextChoices):
    """How pressing a notice is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    URGENT = "urgent"


#: Who is told without having chosen. A viewer only reads, and is in no list.
DEFAULT_ROLES: dict[Kind, frozenset[Role]] = {
    Kind.SYSTEM: frozenset({Role.OWNER, Role.MANAGER, Role.WAREHOUSE, Role.ACCOUNTANT}),
    Kind.ORDER: frozenset({Role.OWNER, Role.MANAGER, Role.WAREHOUSE}),
    Kind.MARKETPLACE: frozenset({Role.OWNER, Role.MANAGER}),
    Kind.DOCUMENT_EXPIRY: frozenset({Role.OWNER, Role.MANAGER, Role.ACCOUNTANT}),
    Kind.FILING_DEADLINE: frozenset({Role.OWNER, Role.MANAGER, Role.ACCOUNTANT}),
    Kind.LOW_STOCK: frozenset({Role.OWNER, Role.MANAGER, Role.WAREHOUSE}),
    Kind.JOB_FAILURE: frozenset({Role.OWNER, Role.MANAGER}),
}
