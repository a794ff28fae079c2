"""What the admin's sidebar has, for whom."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse

from jobs import selectors
from jobs.dashboard.views import queue_figures
from jobs.permissions import may_operate, may_view

#: Icons (Material Symbols) of the apps' records; others get a plain one.
_ICONS = {
    "tenants": "apartment",
    "sales": "receipt_long",
    "inventory": "inventory_2",
    "imports": "upload_file",
    "documents": "picture_as_pdf",
    "notifications": "mail",
    "compliance": "verified_user",
    "auth": "group",
    "django_celery_beat": "schedule",
    "django_celery_results": "task_alt",
}


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the sidebar: the operators' pages, then what the visitor may open of each app."""
    groups: list[dict[str, Any]] = []
    if _looks(request):
        groups.append({"title": "Operations", "items": _operations(request)})
    for app in admin.site.get_app_list(request):
        icon = _ICONS.get(app["app_label"], "table_rows")
        items = [
            {"title": str(model["name"]), "link": model["admin_url"], "icon": icon}
            for model in app["models"]
            if model["admin_url"]
        ]
        if items and app["app_label"] != "jobs":
            groups.append({"title": str(app["name"]), "collapsible": True, "items": items})
    return groups


def _looks(request: HttpRequest) -> bool:
    return may_view(request.user)


def _view_of(request: HttpRequest) -> str:
    return request.resolver_match.view_name if request.resolver_match else ""


def _operations(request: HttpRequest) -> list[dict[str, Any]]:
    index = reverse("queues:index")
    items: list[dict[str, Any]] = [
        {
            "title": "Queues",
            "link": index,
            "icon": "monitoring",
            "active": _view_of(request) in {"queues:index", "queues:queue"},
        },
        {"title": "Jobs", "link": reverse("queues:jobs"), "icon": "list_alt"},
        {"title": "Schedules", "link": reverse("queues:schedules"), "icon": "schedule"},
        {"title": "Workflows", "link": reverse("queues:workflows"), "icon": "account_tree"},
        {
            "title": "Dead letters",
            "link": reverse("queues:dead-letters"),
            "icon": "dangerous",
            "badge": selectors.count_dead_letters() or None,
        },
    ]
    if may_operate(request.user):
        items.append({"title": "Run a task", "link": reverse("queues:run"), "icon": "play_circle"})
    items.append(
        {
            "title": "Audit log",
            "link": reverse("admin:jobs_auditentry_changelist"),
            "icon": "history",
        }
    )
    items.append(
        {
            "title": "Audit archives",
            "link": reverse("admin:jobs_auditarchive_changelist"),
            "icon": "archive",
        }
    )
    if request.user.has_perm("jobs.view_apitoken"):
        link = reverse("admin:jobs_apitoken_changelist")
        items.append({"title": "API tokens", "link": link, "icon": "key"})
    return items


def front_page(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Put the queues' figures on the admin's first page, for those who may see them."""
    return {**context, **(queue_figures() if _looks(request) else {})}


def stylesheet(request: HttpRequest) -> str:
    """Return the address of the styles that every page of the admin gets."""
    return static("jobs/admin.css")


def favicon(request: HttpRequest) -> str:
    """Return the address of the icon in the browser's tab."""
    return static("jobs/favicon.svg")
