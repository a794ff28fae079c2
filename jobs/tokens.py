"""Bearer tokens: made once, shown once, kept only as a digest."""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db.models import Q
from django.db.models.functions import Now

from jobs import audit
from jobs.models import ApiToken

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

_PREFIX = "erp_"
#: How exactly ``last_used_at`` is kept: one write in this time, not one for every request.
_USE_RESOLUTION = timedelta(minutes=1)


def create_token(
    *, name: str, user: "AbstractBaseUser", actor: str, expires_at: datetime | None = None
) -> tuple[ApiToken, str]:
    """Make a token for ``user``; returns its row and the token itself, which is kept nowhere."""
    secret = _PREFIX + secrets.token_urlsafe(32)
    token = ApiToken.objects.create(
        name=name, user_id=user.pk, digest=_digest(secret), hint=secret[:8], expires_at=expires_at
    )
    audit.record(
        action="token.created",
        subject_type="token",
        subject_id=str(token.id),
        actor=actor,
        detail={"name": name, "user": user.get_username()},
    )
    return token, secret


def revoke_token(token: ApiToken, *, actor: str) -> None:
    """Delete the token; the next request that shows it is refused."""
    audit.record(
        action="token.revoked",
        subject_type="token",
        subject_id=str(token.pk),
        actor=actor,
        detail={"name": token.name, "user": token.user.get_username()},
    )
    token.delete()


def user_of_token(secret: str) -> "AbstractBaseUser | None":
    """Return the active user whose token this is, or None when it is unknown or has expired."""
    token = (
        ApiToken.objects.select_related("user")
        .filter(Q(expires_at__isnull=True) | Q(expires_at__gt=Now()), digest=_digest(secret))
        .first()
    )
    if token is None or not token.user.is_active:
        return None
    ApiToken.objects.filter(
        Q(last_used_at__isnull=True) | Q(last_used_at__lt=Now() - _USE_RESOLUTION), id=token.id
    ).update(last_used_at=Now())
    return token.user


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
