"""The documents that were rendered and kept."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from tenants.models import Tenant


class Kind(models.TextChoices):
    """What a document is; also the name of its template."""

    INVOICE = "invoice", "invoice"
    ORDER_SHEET = "order_sheet", "order sheet"


class Document(models.Model):
    """One document of one subject. The file is written before the row, never the other way."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="documents")
    kind = models.CharField(max_length=32, choices=Kind.choices)
    #: What it is about, such as ``sales.invoice`` and its id.
    subject_type = models.CharField(max_length=64)
    subject_id = models.CharField(max_length=64)
    #: In Django's default storage; made from the hash, so that other bytes are another file.
    storage_name = models.CharField(max_length=255)
    #: What a person gets to see.
    filename = models.CharField(max_length=150)
    size = models.PositiveIntegerField(help_text="bytes")
    sha256 = models.CharField(max_length=64)
    pages = models.PositiveIntegerField()
    #: The job that rendered it. No foreign key: jobs are pruned, documents stay.
    job_id = models.UUIDField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "kind", "subject_type", "subject_id"],
                name="documents_document_once",
            ),
            models.CheckConstraint(
                name="documents_document_kind_known", condition=Q(kind__in=Kind.values)
            ),
            models.CheckConstraint(
                name="documents_document_not_empty",
                condition=Q(size__gt=0, pages__gt=0, sha256__regex="^[0-9a-f]{64}$"),
            ),
        ]

    def __str__(self) -> str:
        return self.filename
