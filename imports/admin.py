"""Imports in the admin: upload a file, see what came of it, fetch what was refused."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.files.base import File
from django.http import FileResponse, Http404, HttpRequest, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget

from imports import selectors, services
from imports.errors import UnusableFile
from imports.models import ImportRun, RejectedRow
from imports.registry import get_importer, kinds
from imports.task_helpers import queue_import
from jobs.models import Job

_COLOURS = {"waiting": "info", "loaded": "success", "refused": "warning", "failed": "danger"}
#: How unfold shows a link among other text.
LINK = "text-primary-600 dark:text-primary-500"
#: Refused rows shown on the page; the file has all.
_SHOWN = 50


class UploadForm(forms.ModelForm):  # type: ignore[type-arg]
    """A file to import."""

    kind = forms.ChoiceField(widget=UnfoldAdminSelectWidget)

    class Meta:
        model = ImportRun
        fields: ClassVar = ["tenant", "kind", "file", "all_or_nothing"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "kind" in self.fields:
            names = [(kind, kind.replace("_", " ")) for kind in kinds()]
            self.fields["kind"].choices = names  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """Look at the file's header at once, so that a wrong file is not even kept."""
        given: dict[str, Any] = super().clean() or {}
        if (kind := given.get("kind")) and (file := given.get("file")):
            try:
                services.check_file(get_importer(kind), file)
            except UnusableFile as error:
                self.add_error("file", str(error))
        return given


class RejectedRowInline(TabularInline):
    """The first refused rows."""

    model = RejectedRow
    hide_title = True
    fields: ClassVar = ["line", "field", "reason"]
    readonly_fields: ClassVar = fields
    verbose_name_plural = "refused rows"
    extra = 0
    max_num = 0
    can_delete = False
    per_page = _SHOWN

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Allow whoever may see the import."""
        return bool(request.user.has_perm("imports.view_importrun"))


@admin.register(ImportRun)
class ImportRunAdmin(ModelAdmin):
    """Imports. Adding one uploads a file; after that nothing can be changed."""

    list_display: ClassVar = [
        "filename",
        "kind",
        "tenant",
        "shown_state",
        "rows",
        "created",
        "updated",
        "unchanged",
        "rejected",
        "requested_at",
        "requested_by",
    ]
    list_filter: ClassVar = ["state", "kind", "tenant"]
    search_fields: ClassVar = ["filename", "sha256", "requested_by"]
    date_hierarchy = "requested_at"
    list_select_related: ClassVar = ["tenant"]
    autocomplete_fields: ClassVar = ["tenant"]
    form = UploadForm

    def get_fields(self, request: HttpRequest, obj: ImportRun | None = None) -> list[str]:
        """Show the form for a new import, and what came of an old one."""
        if obj is None:
            return ["tenant", "kind", "file", "all_or_nothing"]
        return [
            "tenant",
            "kind",
            "shown_file",
            "all_or_nothing",
            "shown_state",
            "problem",
            "shown_job",
            "progress",
            "rows",
            "created",
            "updated",
            "unchanged",
            "rejected",
            "rejects",
            "ignored_columns",
            "sha256",
            "requested_by",
            "requested_at",
            "finished_at",
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: ImportRun | None = None) -> list[str]:
        """Let nothing be changed once it is asked for."""
        return [] if obj is None else self.get_fields(request, obj)

    def get_inlines(self, request: HttpRequest, obj: ImportRun | None) -> list[Any]:
        """Show the refused rows when there are any."""
        return [RejectedRowInline] if obj is not None and obj.rejected else []

    def has_change_permission(self, request: HttpRequest, obj: ImportRun | None = None) -> bool:
        """Refuse: an import is what it was."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ImportRun | None = None) -> bool:
        """Refuse: it says where records came from."""
        return False

    def save_model(self, request: HttpRequest, obj: ImportRun, form: Any, change: bool) -> None:
        """Keep the file and enqueue its import."""
        given = form.cleaned_data
        run = queue_import(
            tenant=given["tenant"],
            kind=given["kind"],
            file=File(given["file"].file),
            filename=given["file"].name,
            all_or_nothing=given["all_or_nothing"],
        )
        obj.pk = run.pk
        obj.refresh_from_db()

    def get_urls(self) -> list[URLPattern]:
        """Add the downloads."""
        return [
            path(
                "<int:pk>/rejects.csv",
                self.admin_site.admin_view(self.download_rejects),
                name="imports_importrun_rejects",
            ),
            path(
                "<int:pk>/file/",
                self.admin_site.admin_view(self.download_file),
                name="imports_importrun_file",
            ),
            *super().get_urls(),
        ]

    def download_rejects(self, request: HttpRequest, pk: int) -> StreamingHttpResponse:
        """Send the refused rows as CSV."""
        run = self._visible(request, pk)
        return StreamingHttpResponse(
            selectors.rejections_csv(run),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="import-{run.pk}-rejects.csv"'},
        )

    def download_file(self, request: HttpRequest, pk: int) -> FileResponse:
        """Send the file as it came."""
        run = self._visible(request, pk)
        try:
            file = run.file.open("rb")
        except FileNotFoundError:
            raise Http404("The file is not in the storage.") from None
        return FileResponse(
            file,
            as_attachment=True,
            filename=run.filename,
            content_type="application/octet-stream",
        )

    def _visible(self, request: HttpRequest, pk: int) -> ImportRun:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return get_object_or_404(ImportRun, pk=pk)

    @display(description="state", ordering="state", label=_COLOURS)
    def shown_state(self, run: ImportRun) -> str:
        """Return the state, with a colour."""
        return run.state

    @display(description="file")
    def shown_file(self, run: ImportRun) -> str:
        """Return a link to the file as it came."""
        url = reverse("admin:imports_importrun_file", args=[run.pk])
        return format_html(
            '<a class="{}" href="{}">{}</a> ({} bytes)', LINK, url, run.filename, run.size
        )

    @display(description="refused rows")
    def rejects(self, run: ImportRun) -> str:
        """Return a link to the refused rows."""
        if not run.rejected:
            return "none"
        url = reverse("admin:imports_importrun_rejects", args=[run.pk])
        text = "{} rows: <a class='{}' href='{}'>download as CSV</a>"
        return format_html(text, run.rejected, LINK, url)

    @display(description="job")
    def shown_job(self, run: ImportRun) -> str:
        """Return a link to the job."""
        if run.job_id is None:
            return "–"
        url = reverse("queues:job", args=[run.job_id])
        return format_html('<a class="{}" href="{}">{}</a>', LINK, url, run.job_id)

    @display(description="progress")
    def progress(self, run: ImportRun) -> str:
        """Return how far the job is."""
        jobs = Job.objects.only("state", "progress", "error")
        job = jobs.filter(id=run.job_id).first() if run.job_id else None
        if job is None:
            return "–"
        if run.is_finished or not job.progress:
            return f"{job.get_state_display()} {job.error}".strip()
        told = job.progress
        return format_html(
            '<progress value="{}" max="{}"></progress> {} of {} {}',
            told["done"],
            max(1, told["total"]),
            told["done"],
            told["total"],
            told["note"],
        )
