"""Keeping documents: once, whole, and under a name that says what is inside."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import DatabaseError, IntegrityError
from pytest_django import Settings

from documents import services, storage
from documents.errors import UnknownDocument
from documents.models import Document, Kind
from documents.selectors import find_document, get_document, read_document
from tenants.models import Tenant
from tests.tenants.builders import make_tenant

from .builders import an_invoice, an_order_sheet, line, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def files(tmp_path: Path, settings: Settings) -> Path:
    """The folder where this test's files are kept."""
    settings.MEDIA_ROOT = tmp_path
    return tmp_path


def render_invoice(tenant: Tenant, subject: int = 7, **fields: Any) -> Document:
    return services.render_invoice(
        tenant=tenant, subject_type="sales.invoice", subject_id=subject, **fields
    )


def kept_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_kept_invoice_says_what_its_file_is(files: Path) -> None:
    tenant = make_tenant(slug="acme")

    document = render_invoice(tenant, invoice=an_invoice())

    content = read_document(document)
    assert document.filename == "invoice-2026-000101.pdf"
    assert document.sha256 == hashlib.sha256(content).hexdigest()
    assert (document.size, document.pages) == (len(content), 1)
    assert document.sha256 in document.storage_name
    assert document.storage_name.startswith("documents/acme/invoice/")
    assert "€472.38" in text_of(content)
    assert len(kept_files(files)) == 1


def test_asking_again_returns_the_document_as_it_is(files: Path) -> None:
    tenant = make_tenant()
    first = render_invoice(tenant, invoice=an_invoice())

    again = render_invoice(tenant, invoice=an_invoice([line("Something else")]))

    assert again == first
    assert again.sha256 == first.sha256
    assert len(kept_files(files)) == 1


def test_rendering_anew_points_at_the_new_file_and_leaves_the_old_one(files: Path) -> None:
    tenant = make_tenant()
    first = render_invoice(tenant, invoice=an_invoice())

    anew = render_invoice(tenant, invoice=an_invoice([line("Something else")]), rerender=True)

    assert anew.pk == first.pk
    assert "Something else" in text_of(read_document(anew))
    assert "Queso Cabrales" in text_of(read_document(first))
    assert Document.objects.count() == 1


def test_a_lost_file_is_rendered_again() -> None:
    tenant = make_tenant()
    first = render_invoice(tenant, invoice=an_invoice())
    default_storage.delete(first.storage_name)

    again = render_invoice(tenant, invoice=an_invoice())

    assert again.pk == first.pk
    assert hashlib.sha256(read_document(again)).hexdigest() == first.sha256


def test_a_crash_between_file_and_row_leaves_no_row_without_its_file(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = make_tenant()

    def crash(*_: Any, **__: Any) -> None:
        raise DatabaseError("the server is gone")

    with monkeypatch.context() as broken:
        broken.setattr(Document.objects, "update_or_create", crash)
        with pytest.raises(DatabaseError):
            render_invoice(tenant, invoice=an_invoice())
    assert Document.objects.count() == 0
    (orphan,) = kept_files(files)

    document = render_invoice(tenant, invoice=an_invoice())

    assert kept_files(files) == [orphan]
    assert (files / document.storage_name) == orphan


def test_a_half_written_file_is_written_again(files: Path) -> None:
    name = storage.keep(b"%PDF whole", lambda digest: f"{digest}.pdf")
    default_storage.delete(name)
    default_storage.save(name, ContentFile(b"%PDF wh"))

    again = storage.keep(b"%PDF whole", lambda digest: f"{digest}.pdf")

    assert again == name
    assert (files / name).read_bytes() == b"%PDF whole"
    assert len(kept_files(files)) == 1


def test_kinds_subjects_and_tenants_have_documents_of_their_own() -> None:
    here, there = make_tenant(), make_tenant()
    for tenant in (here, there):
        render_invoice(tenant, invoice=an_invoice())
        render_invoice(tenant, subject=8, invoice=an_invoice())
        services.render_order_sheet(
            tenant=tenant, subject_type="sales.order", subject_id=7, sheet=an_order_sheet()
        )

    assert Document.objects.count() == 6
    sheet = get_document(
        tenant=here, kind=Kind.ORDER_SHEET, subject_type="sales.order", subject_id=7
    )
    assert sheet.filename == "order-sheet-10248.pdf"
    assert sheet.tenant == here


def test_a_document_that_does_not_exist_is_named() -> None:
    tenant = make_tenant(slug="acme")

    with pytest.raises(UnknownDocument, match=r"no invoice of sales\.invoice 9 of 'acme'"):
        get_document(tenant=tenant, kind=Kind.INVOICE, subject_type="sales.invoice", subject_id=9)
    assert (
        find_document(tenant=tenant, kind=Kind.INVOICE, subject_type="sales.invoice", subject_id=9)
        is None
    )


def test_a_number_with_slashes_makes_no_path() -> None:
    document = render_invoice(make_tenant(), invoice=an_invoice(number="../2026/№ 7"))

    assert document.filename == "invoice-2026---7.pdf"


def test_the_database_keeps_one_document_per_subject() -> None:
    document = render_invoice(make_tenant(), invoice=an_invoice())
    document.pk = None

    with pytest.raises(IntegrityError, match="documents_document_once"):
        document.save(force_insert=True)
