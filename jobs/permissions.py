"""Who may look at jobs and who may act on them: one rule for pages, API and metrics.

Both need a staff account. Viewers hold ``jobs.view_job``; operators hold ``jobs.operate``, and may
look as well.
"""

from typing import TYPE_CHECKING

from django.contrib.auth.models import AnonymousUser

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AbstractUser

VIEW = "jobs.view_job"
OPERATE = "jobs.operate"


def _holds(user: "AbstractBaseUser | AbstractUser | AnonymousUser", permission: str) -> bool:
    is_staff = bool(getattr(user, "is_staff", False))
    return bool(user.is_active) and is_staff and user.has_perm(permission)  # type: ignore[union-attr]


def may_operate(user: "AbstractBaseUser | AbstractUser | AnonymousUser") -> bool:
    """Whether the user may pause, cancel, retry, replay, discard and run."""
    return _holds(user, OPERATE)


def may_view(user: "AbstractBaseUser | AbstractUser | AnonymousUser") -> bool:
    """Whether the user may see queues, jobs, dead letters and the audit log."""
    return _holds(user, VIEW) or may_operate(user)


def actor_of(user: "AbstractBaseUser | AbstractUser | AnonymousUser") -> str:
    """How the audit log names the user: ``user:<name>``."""
    return f"user:{user.get_username()}"[:150]  # what the columns of an actor hold
