"""The engine's records in the admin: the audit log to read, the API's tokens to make and revoke.

Queues, jobs, workers and dead letters have pages of their own (:mod:`jobs.dashboard`). No row of
the engine can be added, changed or deleted by hand.
"""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.paginator import InfinitePaginator

from jobs import celery_admin  # noqa: F401 - registers Celery's own tables
from jobs.admin_readonly import ReadOnlyAdmin
from jobs.models import ApiToken, AuditArchive, AuditEntry
from jobs.permissions import actor_of
from jobs.templatetags.jobs_format import as_json, in_full
from jobs.tokens import create_token, revoke_token


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """Who did what, and when."""

    list_display = ("when", "actor", "action", "subject", "tenant")
    list_filter = ("subject_type",)
    search_fields = ("subject_id__exact",)
    search_help_text = "The id of a job or of another subject"
    ordering = ("-id",)
    show_full_result_count = False
    list_per_page = 50
    paginator = InfinitePaginator
    fields = ("when", "actor", "action", "subject", "tenant", "correlation_id", "details")

    @admin.display(description="at", ordering="id")
    def when(self, entry: AuditEntry) -> str:
        """The instant to the millisecond, with its offset."""
        return in_full(entry.at)

    @admin.display(description="subject")
    def subject(self, entry: AuditEntry) -> str:
        """What it is about; a job's page is linked."""
        if entry.subject_type == "job":
            address = reverse("queues:job", args=[entry.subject_id])
            return format_html('job <a href="{}">{}</a>', address, entry.subject_id)
        return f"{entry.subject_type} {entry.subject_id}"

    @admin.display(description="detail")
    def details(self, entry: AuditEntry) -> str:
        """The detail as JSON."""
        return format_html("<pre>{}</pre>", as_json(entry.detail))


@admin.register(AuditArchive)
class AuditArchiveAdmin(ReadOnlyAdmin):
    """The files that old audit entries were moved to."""

    list_display = ("name", "entries", "first_at", "last_at", "size", "created_at")
    fields = (
        "name",
        "entries",
        "first_id",
        "last_id",
        "first_at",
        "last_at",
        "size",
        "sha256",
        "created_at",
    )


@admin.register(ApiToken)
class ApiTokenAdmin(ModelAdmin):
    """Tokens of the API: shown once when they are made, then only revoked.

    A token may do what its user may do, so people make tokens for themselves; superusers make them
    for others too (for a monitoring account, say).
    """

    list_display = ("name", "user", "hint", "created_at", "last_used_at", "expires_at")
    list_select_related = ("user",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiToken]:
        rows: QuerySet[ApiToken] = super().get_queryset(request)
        return rows if _is_super(request.user) else rows.filter(user=request.user.pk)

    def get_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> Sequence[str]:
        if obj is not None:
            return ("name", "user", "hint", "created_at", "last_used_at", "expires_at")
        return ("name", "user", "expires_at") if _is_super(request.user) else ("name", "expires_at")

    def has_change_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        return False

    def save_model(
        self, request: HttpRequest, obj: ApiToken, form: "ModelForm[ApiToken]", change: bool
    ) -> None:
        """Make the token; :meth:`response_add` shows it."""
        assert request.user.is_authenticated
        user = obj.user if _is_super(request.user) else request.user
        made, secret = create_token(
            name=obj.name, user=user, actor=actor_of(request.user), expires_at=obj.expires_at
        )
        obj.__dict__.update(made.__dict__)
        request._jobs_token = secret  # type: ignore[attr-defined]

    def response_add(
        self, request: HttpRequest, obj: ApiToken, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the token, this once: it is never stored, not even in a message's cookie."""
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": f"Token {obj.name}",
            "token": request._jobs_token,  # type: ignore[attr-defined]
            "back": reverse("admin:jobs_apitoken_changelist"),
        }
        response = TemplateResponse(request, "jobs/token.html", context)
        add_never_cache_headers(response)
        return response

    def delete_model(self, request: HttpRequest, obj: ApiToken) -> None:
        """Revoke the token."""
        revoke_token(obj, actor=actor_of(request.user))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        """Revoke the tokens."""
        for token in queryset:
            revoke_token(token, actor=actor_of(request.user))


def _is_super(user: AbstractBaseUser | AnonymousUser) -> bool:
    return bool(getattr(user, "is_superuser", False))
