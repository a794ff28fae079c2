"""Companies, people and groups in the admin."""

from typing import ClassVar

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from tenants.models import Member, Tenant, User

admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    """Groups carry permissions, such as operating the queues."""


class MemberInline(TabularInline):
    """The people of a company, or the companies of a person."""

    model = Member
    extra = 0
    autocomplete_fields: ClassVar = ["user", "tenant"]


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg] # takes none at run time
    """People who can log in."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    inlines = (MemberInline,)
    list_display = (
        "username",
        "email",
        "first_name",
        "last_name",
        "is_staff",
        "is_active",
        "last_login",
    )


@admin.register(Tenant)
class TenantAdmin(ModelAdmin):
    """Companies. A slug is the key of a company's jobs, so it is given once and never changed."""

    list_display: ClassVar = [
        "name",
        "slug",
        "timezone",
        "country",
        "currency",
        "locale",
        "is_active",
    ]
    list_filter: ClassVar = ["is_active", "timezone", "currency"]
    search_fields: ClassVar = ["name", "slug"]
    readonly_fields: ClassVar = ["created_at"]
    inlines: ClassVar = [MemberInline]

    def get_readonly_fields(self, request: HttpRequest, obj: Tenant | None = None) -> list[str]:
        """Let the slug be typed for a new company only."""
        return [*self.readonly_fields, "slug"] if obj else list(self.readonly_fields)


@admin.register(Member)
class MemberAdmin(ModelAdmin):
    """Who works where, as what."""

    list_display: ClassVar = ["user", "tenant", "role"]
    list_filter: ClassVar = ["role", "tenant"]
    search_fields: ClassVar = ["user__username", "user__email", "tenant__name"]
    autocomplete_fields: ClassVar = ["user", "tenant"]
    list_select_related: ClassVar = ["user", "tenant"]
