"""What all pages share: who may open them, and the admin around them."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.contrib import admin
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render as render_template

from jobs.permissions import may_operate

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


def staff_view(
    allowed: Callable[[AbstractBaseUser | AnonymousUser], bool],
) -> Callable[[View[P]], View[P]]:
    """Send visitors to the login; refuse staff who are not ``allowed`` with 403."""

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def guarded(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            if not allowed(request.user):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return admin.site.admin_view(guarded)  # type: ignore[return-value]

    return decorate


def render(
    request: HttpRequest, page: str, context: dict[str, Any], *, status: int = 200
) -> HttpResponse:
    """Render the page, or, when only that is asked for (``?live``), the part that changes.

    ``jobs/<page>.html`` includes the part, ``jobs/parts/<page>.html``.
    """
    context |= {"may_operate": may_operate(request.user), "here": _address(request)}
    if "live" in request.GET:
        return render_template(request, f"jobs/parts/{page}.html", context)
    context = {**admin.site.each_context(request), "is_fullwidth": "1", **context}
    return render_template(request, f"jobs/{page}.html", context, status=status)


def _address(request: HttpRequest) -> str:
    """Where an act returns to: this page, without what only asks for a part of it."""
    query = request.GET.copy()
    query.pop("live", None)
    return f"{request.path}?{query.urlencode()}" if query else request.path
