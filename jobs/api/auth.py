"""Who calls, and whether they may: a session with its CSRF token, or a bearer token."""

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser
from django.http import HttpRequest
from ninja.errors import HttpError
from ninja.security.base import AuthBase
from ninja.utils import check_csrf

from jobs.permissions import may_operate, may_view
from jobs.tokens import user_of_token

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def caller(request: HttpRequest) -> AbstractBaseUser | None:
    """Return who calls, or None when nobody is logged in or the token is not valid.

    A request that shows a token is judged by the token alone. Its user becomes ``request.user``,
    so that the audit log names them. Raises ``HttpError`` 403 when the CSRF check fails.
    """
    kind, _, secret = request.headers.get("Authorization", "").partition(" ")
    if kind:
        user = user_of_token(secret.strip()) if kind.lower() == "bearer" else None
        if user is not None:
            request.user = user  # type: ignore[assignment]
        return user
    if not request.user.is_authenticated:
        return None
    if request.method not in SAFE_METHODS and check_csrf(request):
        raise HttpError(403, "The CSRF token is missing or wrong.")
    return request.user


class _Permitted(AuthBase):
    """Lets those through who hold a permission; others are answered 401 or 403."""

    openapi_type: ClassVar[str] = "http"
    openapi_scheme: ClassVar[str] = "bearer"
    #: The documentation page then sends the CSRF token along.
    csrf = True

    def __call__(self, request: HttpRequest) -> Any:
        user = caller(request)
        if user is not None and not self.permits(user):
            raise HttpError(403, f"{user.get_username()} may not {self.verb}.")
        return user

    verb: ClassVar[str]

    def permits(self, user: AbstractBaseUser) -> bool:
        """Whether the user may."""
        raise NotImplementedError


class Viewer(_Permitted):
    """Staff who may look at jobs."""

    verb = "view jobs"

    def permits(self, user: AbstractBaseUser) -> bool:
        """Whether the user may look."""
        return may_view(user)


class Operator(_Permitted):
    """Staff who may act on jobs and queues."""

    verb = "operate jobs"

    def permits(self, user: AbstractBaseUser) -> bool:
        """Whether the user may act."""
        return may_operate(user)
