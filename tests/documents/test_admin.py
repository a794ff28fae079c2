"""Documents in the admin."""

from io import BytesIO
from pathlib import Path
from typing import cast

import pytest
from django.http import FileResponse
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from documents import services
from documents.models import Document
from tests.tenants.builders import make_tenant, make_user

from .builders import an_invoice

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:No directory at"),  # static files are not collected
]


@pytest.fixture
def document(tmp_path: Path, settings: Settings) -> Document:
    settings.MEDIA_ROOT = tmp_path
    return services.render_invoice(
        tenant=make_tenant(), subject_type="sales.invoice", subject_id=1, invoice=an_invoice()
    )


def test_staff_may_list_and_open_a_document_but_not_change_it(
    document: Document, client: Client
) -> None:
    client.force_login(make_user(is_staff=True, is_superuser=True))

    listed = client.get(reverse("admin:documents_document_changelist"))
    opened = cast(
        "FileResponse", client.get(reverse("admin:documents_document_download", args=[document.pk]))
    )
    added = client.get(reverse("admin:documents_document_add"))

    assert document.filename in listed.content.decode()
    assert BytesIO(b"".join(cast("list[bytes]", opened.streaming_content))).read(5) == b"%PDF-"
    assert opened["Content-Type"] == "application/pdf"
    assert added.status_code == 403
    assert (
        client.get(reverse("admin:documents_document_change", args=[document.pk])).status_code
        == 200
    )


def test_nobody_else_gets_the_file(document: Document, client: Client) -> None:
    url = reverse("admin:documents_document_download", args=[document.pk])

    assert client.get(url).status_code == 302
    client.force_login(make_user())
    assert client.get(url).status_code == 302
    client.force_login(make_user(is_staff=True))
    assert client.get(url).status_code == 403
