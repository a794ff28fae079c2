"""Clients, their documents and filings, and how well they comply.

Days are calendar dates of the client's tenant; nothing that people type has a time of day. What
clients, documents and filings were before they changed is kept, so that a run for a past day sees
them as they were (:mod:`compliance.past`). Scores are written by :mod:`compliance.scoring` alone.
"""

from typing import ClassVar

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from tenants.history import Recorded, keep_history
from tenants.models import Tenant


class Risk(models.TextChoices):
    """How much attention a client needs, from the score: low at 80, medium at 50, else high."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@keep_history("tenant", "code", "name", "is_active")
class Client(Recorded):
    """Somebody whose papers a tenant looks after. The code is the tenant's own name for it."""

    tenant = models.ForeignKey(
        Tenant, on_delete=models.CASCADE, related_name="clients", db_index=False
    )
    code = models.CharField(max_length=32)
    name = models.CharField(max_length=200)
    #: A client that is not active is not scored; what was known of it stays.
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering: ClassVar = ["tenant", "code"]
        constraints: ClassVar = [
            # Also the index by tenant.
            models.UniqueConstraint(fields=["tenant", "code"], name="compliance_client_code"),
            models.CheckConstraint(condition=~Q(code=""), name="compliance_client_has_code"),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.name}"


@keep_history("client", "kind", "status")
class ClientDocument(Recorded):
    """A paper that a client must have; its versions carry the expiry dates."""

    class Status(models.TextChoices):
        """Where a document stands. Waiting for review and rejected both count as missing."""

        VALID = "valid"
        EXPIRED = "expired"
        PENDING_REVIEW = "pending_review", "pending review"
        REJECTED = "rejected"

    #: Statuses of a document that is not there yet, as far as a score is concerned.
    MISSING: ClassVar = (Status.PENDING_REVIEW, Status.REJECTED)
    #: The others: there is a document, and it can expire.
    THERE: ClassVar = (Status.VALID, Status.EXPIRED)

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="documents")
    kind = models.CharField(max_length=100, help_text='Such as "passport" or "trade licence".')
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING_REVIEW)

    class Meta:
        ordering: ClassVar = ["client", "kind", "id"]
        verbose_name = "document"
        indexes: ClassVar = [
            models.Index(
                fields=["client"],
                condition=Q(status__in=["pending_review", "rejected"]),
                name="compliance_document_missing",
            ),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(status__in=["valid", "expired", "pending_review", "rejected"]),
                name="compliance_document_status_known",
            ),
        ]

    def __str__(self) -> str:
        return self.kind


@keep_history("document", "number", "expires_on")
class DocumentVersion(Recorded):
    """One edition of a document. The one with the highest number is the one that counts."""

    document = models.ForeignKey(
        ClientDocument, on_delete=models.CASCADE, related_name="versions", db_index=False
    )
    number = models.PositiveIntegerField(default=1, validators=[MinValueValidator(1)])
    #: The last day on which it is good; empty when it never expires.
    expires_on = models.DateField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["document", "-number"]
        verbose_name = "version"
        indexes: ClassVar = [
            models.Index(
                fields=["expires_on"],
                include=["document", "number"],
                name="compliance_version_expiry",
            ),
        ]
        constraints: ClassVar = [
            # Also the index that finds a document's latest version.
            models.UniqueConstraint(
                fields=["document", "number"], name="compliance_version_number"
            ),
            models.CheckConstraint(
                condition=Q(number__gte=1), name="compliance_version_number_from_one"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.document} v{self.number}"


@keep_history("client", "kind", "authority", "period_end", "due_on", "status")
class Filing(Recorded):
    """What a client must hand in to an authority, for a period that has ended or will."""

    class Status(models.TextChoices):
        """How far a filing got."""

        DRAFT = "draft"
        PREPARED = "prepared"
        SUBMITTED = "submitted"
        APPROVED = "approved"
        REJECTED = "rejected"
        ARCHIVED = "archived"

    #: Statuses of a filing that has yet to be handed in.
    OPEN: ClassVar = (Status.DRAFT, Status.PREPARED)

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="filings")
    kind = models.CharField(max_length=100, help_text='Such as "VAT return".')
    authority = models.CharField(max_length=100)
    period_end = models.DateField()
    #: The last day on which it is in time.
    due_on = models.DateField()
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.DRAFT)

    class Meta:
        ordering: ClassVar = ["due_on", "id"]
        indexes: ClassVar = [
            models.Index(
                fields=["client", "due_on"],
                condition=Q(status__in=["draft", "prepared"]),
                name="compliance_filing_open",
            ),
        ]
        constraints: ClassVar = [
            # An archived filing makes room for the one that replaces it.
            models.UniqueConstraint(
                fields=["client", "kind", "authority", "period_end"],
                condition=~Q(status="archived"),
                name="compliance_filing_once",
            ),
            models.CheckConstraint(
                condition=Q(
                    status__in=[
                        "draft",
                        "prepared",
                        "submitted",
                        "approved",
                        "rejected",
                        "archived",
                    ]
                ),
                name="compliance_filing_status_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.period_end}"


class Figures(models.Model):
    """What a score says, and the counts it comes from."""

    score = models.PositiveSmallIntegerField()
    risk = models.CharField(max_length=8, choices=Risk.choices)
    #: Documents that wait for review or were rejected.
    missing = models.PositiveIntegerField()
    #: Documents whose latest version has expired or does so within 30 days.
    expiring = models.PositiveIntegerField()
    #: Filings not handed in after their due date.
    overdue = models.PositiveIntegerField()
    #: The tenant's day that these figures are about.
    as_of = models.DateField()

    class Meta:
        abstract = True


class ClientScore(Figures):
    """A client's score as last computed."""

    client = models.OneToOneField(
        Client, primary_key=True, on_delete=models.CASCADE, related_name="score"
    )

    class Meta:
        ordering: ClassVar = ["score", "client"]
        verbose_name = "score"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(score__gte=80, score__lte=100, risk="low")
                | Q(score__gte=50, score__lt=80, risk="medium")
                | Q(score__lt=50, risk="high"),
                name="compliance_score_fits_risk",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.score} ({self.risk})"


class ScoreHistory(Figures):
    """A client's figures on a day on which they became different from what they were.

    The figures of any day are those of the newest row that is not later.
    """

    client = models.ForeignKey(
        Client, on_delete=models.CASCADE, related_name="score_history", db_index=False
    )
    recorded_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering: ClassVar = ["client", "-as_of"]
        verbose_name = "score history entry"
        verbose_name_plural = "score history"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["client", "as_of"], name="compliance_history_day"),
            models.CheckConstraint(
                condition=Q(score__lte=100, risk__in=["low", "medium", "high"]),
                name="compliance_history_in_range",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.as_of}: {self.score} ({self.risk})"
