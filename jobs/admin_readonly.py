"""Rows that the engine alone writes: to look at in the admin, for whoever may view jobs."""

from django.db.models import Model
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from jobs.permissions import may_view


class ReadOnlyAdmin(ModelAdmin):
    """Nobody adds, changes or deletes these rows by hand."""

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Viewers and operators."""
        return may_view(request.user)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Viewers and operators."""
        return may_view(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody."""
        return False
