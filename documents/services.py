"""Writes: rendering documents, and keeping them.

A document that exists is final: asking for it again returns it as it is, since somebody may have
received it. ``rerender=True`` renders it anew; its row then points at the new file, and the old
file stays where it is, for the e-mails that were sent with it.
"""

from datetime import date

import structlog

from documents import storage
from documents.contexts import InvoiceContext, OrderSheetContext
from documents.models import Document, Kind
from documents.rendering import RenderedPdf, render_pdf
from documents.selectors import find_document
from jobs import current_job
from tenants.models import Tenant

log = structlog.get_logger(__name__)


def render_invoice(
    *,
    tenant: Tenant,
    subject_type: str,
    subject_id: str | int,
    invoice: InvoiceContext,
    rerender: bool = False,
) -> Document:
    """Return the invoice's PDF as a kept document, rendering it when it does not exist yet.

    Raises:
        AssetRefused: the template asks for a file that it may not have (permanent).
    """
    return _render(
        Kind.INVOICE,
        invoice,
        tenant=tenant,
        subject_type=subject_type,
        subject_id=str(subject_id),
        filename=f"invoice-{_plain(invoice.number)}.pdf",
        dated=invoice.issued_on,
        rerender=rerender,
    )


def render_order_sheet(
    *,
    tenant: Tenant,
    subject_type: str,
    subject_id: str | int,
    sheet: OrderSheetContext,
    rerender: bool = False,
) -> Document:
    """Return the order's sheet as a kept document, rendering it when it does not exist yet.

    Raises:
        AssetRefused: the template asks for a file that it may not have (permanent).
    """
    return _render(
        Kind.ORDER_SHEET,
        sheet,
        tenant=tenant,
        subject_type=subject_type,
        subject_id=str(subject_id),
        filename=f"order-sheet-{_plain(sheet.order_number)}.pdf",
        dated=sheet.ordered_on,
        rerender=rerender,
    )


def keep_document(
    *,
    tenant: Tenant,
    kind: Kind,
    subject_type: str,
    subject_id: str,
    filename: str,
    pdf: RenderedPdf,
) -> Document:
    """Keep a PDF: first the file, then the row. Replaces the row's file when there is a row.

    A crash in between leaves a file that nobody names, never a row without its file.
    """
    name = storage.keep(
        pdf.content, lambda digest: f"documents/{tenant.slug}/{kind}/{digest[:2]}/{digest}.pdf"
    )
    running = current_job()
    document, _ = Document.objects.update_or_create(
        tenant=tenant,
        kind=kind,
        subject_type=subject_type,
        subject_id=subject_id,
        defaults={
            "storage_name": name,
            "filename": filename,
            "size": len(pdf.content),
            "sha256": pdf.sha256,
            "pages": pdf.pages,
            "job_id": running.id if running else None,
        },
    )
    log.info("document_kept", document_id=document.pk, kind=kind.value, pages=pdf.pages)
    return document


def _render(
    kind: Kind,
    context: InvoiceContext | OrderSheetContext,
    *,
    tenant: Tenant,
    subject_type: str,
    subject_id: str,
    filename: str,
    dated: date,
    rerender: bool,
) -> Document:
    kept = find_document(tenant=tenant, kind=kind, subject_type=subject_type, subject_id=subject_id)
    if kept is not None and not rerender and storage.holds(kept.storage_name, kept.sha256):
        return kept
    pdf = render_pdf(
        kind.value,
        context,
        tenant=tenant,
        dated=dated,
        identifier=f"{tenant.slug}/{kind}/{subject_type}/{subject_id}",
    )
    return keep_document(
        tenant=tenant,
        kind=kind,
        subject_type=subject_type,
        subject_id=subject_id,
        filename=filename,
        pdf=pdf,
    )


def _plain(number: str) -> str:
    """Return the number as a file name may hold it."""
    kept = "".join(c if c.isalnum() or c in "-_." else "-" for c in number).strip("-.")
    return kept[:100] or "document"
