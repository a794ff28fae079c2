"""Compliance records on the admin site."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.template.defaultfilters import pluralize
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from compliance import task_helpers
from compliance.models import (
    Client,
    ClientDocument,
    ClientScore,
    DocumentVersion,
    Filing,
    ScoreHistory,
)

RISK_COLOURS = {"low": "success", "medium": "warning", "high": "danger"}


class DocumentInline(TabularInline):
    """A client's documents; their versions are on each one's own page."""

    model = ClientDocument
    extra = 0
    fields: ClassVar = ["kind", "status"]
    show_change_link = True


class FilingInline(TabularInline):
    """A client's filings."""

    model = Filing
    extra = 0
    fields: ClassVar = ["kind", "authority", "period_end", "due_on", "status"]
    show_change_link = True


class ReadOnlyInline(TabularInline):
    """Rows that only a refresh of scores writes."""

    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody adds them by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes them by hand."""
        return False


class ScoreInline(ReadOnlyInline):
    """A client's score."""

    model = ClientScore
    fields: ClassVar = ["score", "risk", "missing", "expiring", "overdue", "as_of"]


class ScoreHistoryInline(ReadOnlyInline):
    """How the score came about, newest first."""

    model = ScoreHistory
    fields: ClassVar = ["as_of", "score", "risk", "missing", "expiring", "overdue", "recorded_at"]
    ordering: ClassVar = ["-as_of"]
    per_page = 20


@admin.register(Client)
class ClientAdmin(ModelAdmin):
    """Clients with their scores, the documents and filings these come from, and a refresh."""

    list_display: ClassVar = [
        "code",
        "name",
        "tenant",
        "score_points",
        "risk",
        "issues",
        "scored_for",
        "is_active",
    ]
    list_filter: ClassVar = ["score__risk", "is_active", "tenant"]
    search_fields: ClassVar = ["code", "name"]
    list_select_related: ClassVar = ["tenant", "score"]
    autocomplete_fields: ClassVar = ["tenant"]
    inlines: ClassVar = [ScoreInline, DocumentInline, FilingInline, ScoreHistoryInline]
    actions: ClassVar = ["refresh_scores"]

    @display(description="score", ordering="score__score")
    def score_points(self, client: Client) -> int | None:
        """The score, of 100."""
        score = _score(client)
        return None if score is None else score.score

    @display(description="risk", ordering="score__score", label=RISK_COLOURS)
    def risk(self, client: Client) -> tuple[str, str] | None:
        """The risk, coloured."""
        score = _score(client)
        return None if score is None else (score.risk, str(score.get_risk_display()))

    @display(description="issues")
    def issues(self, client: Client) -> str | None:
        """What lowers the score."""
        score = _score(client)
        if score is None:
            return None
        counts = {
            "missing": score.missing,
            "expiring": score.expiring,
            "overdue": score.overdue,
        }
        return ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "none"

    @display(description="as of", ordering="score__as_of")
    def scored_for(self, client: Client) -> Any:
        """The day the score is for."""
        score = _score(client)
        return None if score is None else score.as_of

    @admin.action(
        description="Refresh scores now (of the tenants of these clients)", permissions=["change"]
    )
    def refresh_scores(self, request: HttpRequest, chosen: QuerySet[Client]) -> None:
        """Enqueue one job for each tenant that has a client among those chosen."""
        slugs = chosen.order_by("tenant__slug").values_list("tenant__slug", flat=True).distinct()
        jobs = [task_helpers.queue_score_refresh(tenant=slug) for slug in slugs]
        self.message_user(
            request,
            f"Scores of {len(jobs)} tenant{pluralize(len(jobs))} are being refreshed.",
            messages.SUCCESS,
        )


def _score(client: Client) -> ClientScore | None:
    return getattr(client, "score", None)


class VersionInline(TabularInline):
    """A document's versions, the one that counts first."""

    model = DocumentVersion
    extra = 0
    fields: ClassVar = ["number", "expires_on"]
    ordering: ClassVar = ["-number"]


@admin.register(ClientDocument)
class ClientDocumentAdmin(ModelAdmin):
    """Documents and when they expire."""

    list_display: ClassVar = ["kind", "client", "tenant", "coloured_status", "expires_on"]
    list_filter: ClassVar = ["status", "client__tenant"]
    search_fields: ClassVar = ["kind", "client__code", "client__name"]
    list_select_related: ClassVar = ["client__tenant"]
    autocomplete_fields: ClassVar = ["client"]
    inlines: ClassVar = [VersionInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ClientDocument]:
        """Bring the latest version's expiry date along."""
        latest = DocumentVersion.objects.filter(document=OuterRef("pk")).order_by("-number")
        documents: QuerySet[ClientDocument] = super().get_queryset(request)
        return documents.annotate(latest_expires_on=Subquery(latest.values("expires_on")[:1]))

    @display(description="tenant", ordering="client__tenant")
    def tenant(self, document: ClientDocument) -> str:
        """Whose client it is."""
        return str(document.client.tenant)

    @display(
        description="status",
        ordering="status",
        label={
            "valid": "success",
            "expired": "danger",
            "pending_review": "warning",
            "rejected": "danger",
        },
    )
    def coloured_status(self, document: ClientDocument) -> tuple[str, str]:
        """Where it stands."""
        return document.status, str(document.get_status_display())

    @display(description="expires on", ordering="latest_expires_on")
    def expires_on(self, document: Any) -> Any:
        """The last good day of the latest version."""
        return document.latest_expires_on


@admin.register(Filing)
class FilingAdmin(ModelAdmin):
    """Filings and when they are due."""

    list_display: ClassVar = [
        "kind",
        "client",
        "tenant",
        "authority",
        "period_end",
        "due_on",
        "status",
    ]
    list_filter: ClassVar = ["status", "client__tenant"]
    search_fields: ClassVar = ["kind", "authority", "client__code", "client__name"]
    list_select_related: ClassVar = ["client__tenant"]
    autocomplete_fields: ClassVar = ["client"]
    date_hierarchy = "due_on"

    @display(description="tenant", ordering="client__tenant")
    def tenant(self, filing: Filing) -> str:
        """Whose client it is."""
        return str(filing.client.tenant)
