"""Reads: finding a document and its file."""

from django.core.files.storage import default_storage

from documents.errors import UnknownDocument
from documents.models import Document, Kind
from tenants.models import Tenant


def find_document(
    *, tenant: Tenant, kind: Kind, subject_type: str, subject_id: str | int
) -> Document | None:
    """Return the document of this kind about this subject, or None."""
    return Document.objects.filter(
        tenant=tenant, kind=kind, subject_type=subject_type, subject_id=str(subject_id)
    ).first()


def get_document(
    *, tenant: Tenant, kind: Kind, subject_type: str, subject_id: str | int
) -> Document:
    """Return the document of this kind about this subject.

    Raises:
        UnknownDocument: it was not rendered (yet); a job that finds this is retried.
    """
    found = find_document(
        tenant=tenant, kind=kind, subject_type=subject_type, subject_id=subject_id
    )
    if found is None:
        raise UnknownDocument(
            f"There is no {kind.label} of {subject_type} {subject_id} of {tenant.slug!r}."
        )
    return found


def read_document(document: Document) -> bytes:
    """Return the bytes of the document; raises ``FileNotFoundError``."""
    with default_storage.open(document.storage_name) as file:
        content: bytes = file.read()
    return content
