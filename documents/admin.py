"""The kept documents in the admin, to look at and to download."""

from typing import ClassVar

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.files.storage import default_storage
from django.http import FileResponse, Http404, HttpRequest
from django.shortcuts import get_object_or_404
from django.template.defaultfilters import filesizeformat
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from documents.models import Document
from tenants.admin_readonly import ReadOnlyAdmin


@admin.register(Document)
class DocumentAdmin(ReadOnlyAdmin):
    """Documents are written by jobs alone."""

    list_display: ClassVar = [
        "filename",
        "kind",
        "tenant",
        "pages",
        "readable_size",
        "created_at",
        "download_link",
    ]
    list_filter: ClassVar = ["kind", "tenant"]
    search_fields: ClassVar = ["filename", "subject_id", "sha256", "job_id"]
    date_hierarchy = "created_at"
    list_select_related: ClassVar = ["tenant"]
    readonly_fields: ClassVar = ["download_link"]
    show_full_result_count = False

    def get_urls(self) -> list[URLPattern]:
        """Add the download."""
        download = path(
            "<int:pk>/download/",
            self.admin_site.admin_view(self.download),
            name="documents_document_download",
        )
        return [download, *super().get_urls()]

    def download(self, request: HttpRequest, pk: int) -> FileResponse:
        """Show the file in the browser, to whoever may look at documents."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        document = get_object_or_404(Document, pk=pk)
        try:
            file = default_storage.open(document.storage_name)
        except FileNotFoundError:
            raise Http404("The file is not in the storage.") from None
        return FileResponse(file, filename=document.filename, content_type="application/pdf")

    @admin.display(description="Size", ordering="size")
    def readable_size(self, document: Document) -> str:
        """The size in a unit that suits it."""
        return filesizeformat(document.size)

    @admin.display(description="File")
    def download_link(self, document: Document) -> str:
        """A link to the file."""
        url = reverse("admin:documents_document_download", args=[document.pk])
        return format_html('<a href="{}" target="_blank">Open</a>', url)
