"""Reads: who is to be told, and what is in an inbox."""

from collections.abc import Collection

from django.db.models import OuterRef, Q, QuerySet, Subquery

from notifications.kinds import DEFAULT_ROLES, Channel, Choice, Kind
from notifications.models import Notification, Preference
from tenants.models import Member, Role, Tenant, User


def people_to_tell(
    tenant: Tenant,
    kind: Kind,
    *,
    channel: Channel,
    roles: Collection[Role] | None = None,
    as_digest: bool = False,
) -> QuerySet[User]:
    """Return the members to tell about ``kind`` on ``channel``, by id.

    Without ``roles``, a person's own choice decides, and where there is none the role does
    (``DEFAULT_ROLES``). With ``roles``, those members are told who have one and have not turned
    it off. People who cannot log in are not told, nor e-mailed without an address.

    Args:
        as_digest: The message collects a day's news, so it also suits who chose a digest.
    """
    wanted = [Choice.ON, Choice.DIGEST] if as_digest else [Choice.ON]
    choices = Preference.objects.filter(user=OuterRef("user_id"), kind=kind, channel=channel)
    members = Member.objects.filter(tenant=tenant).annotate(
        choice=Subquery(choices.values("choice")[:1])
    )
    if roles is None:
        by_role = Q(choice=None, role__in=list(DEFAULT_ROLES[kind]))
        members = members.filter(Q(choice__in=wanted) | by_role)
    else:
        members = members.filter(Q(choice__in=wanted) | Q(choice=None), role__in=list(roles))
    people = User.objects.filter(is_active=True, id__in=members.values("user_id"))
    if channel == Channel.EMAIL:
        people = people.exclude(email="")
    return people.order_by("id")


def inbox(user: User, *, unread_only: bool = False) -> QuerySet[Notification]:
    """Return the person's notices, newest first."""
    notices = Notification.objects.filter(user=user).order_by("-id")
    return notices.filter(read_at__isnull=True) if unread_only else notices
