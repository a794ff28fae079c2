"""The in-app inbox: notices are written in one statement, and never twice a day for one subject."""

import json
from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime
from typing import Annotated

from django.db import connection
from django.db.models.functions import Now
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from jobs import dry_run
from notifications.addresses import LINK, one_line
from notifications.kinds import Channel, Choice, Kind, Urgency
from notifications.models import Notification, Preference
from notifications.selectors import people_to_tell
from tenants.models import Role, Tenant, User
from tenants.selectors import local_date

LONGEST_TITLE = 200

_INSERT = """
    INSERT INTO notifications_notification
        (tenant_id, user_id, kind, day, priority, title, body, action_url, subject_key)
    SELECT %(tenant)s, people.id, %(kind)s, %(day)s,
           notice.priority, notice.title, notice.body, notice.action_url, notice.subject_key
    FROM unnest(%(people)s::bigint[]) AS people (id),
         jsonb_to_recordset(%(notices)s::jsonb) AS notice
             (priority text, title text, body text, action_url text, subject_key text)
    -- In one order, so that two of these cannot wait for each other.
    ORDER BY people.id, notice.subject_key
    ON CONFLICT DO NOTHING
"""
_INSERT_AND_RETURN = f"{_INSERT} RETURNING user_id, title"


def _safe_link(link: str) -> str:
    local = link.startswith("/") and not link.startswith(("//", "/\\"))
    if link and not local and not LINK.fullmatch(link):
        raise ValueError("expected a path of this site, or a link with http:// or https://")
    return link


class Notice(BaseModel):
    """What a person is to be told. Raises ``pydantic.ValidationError`` for what cannot be kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: What it is about: one notice per person, tenant, subject and day.
    subject_key: Annotated[str, Field(min_length=1, max_length=200)]
    title: Annotated[
        str, AfterValidator(lambda title: one_line(title, LONGEST_TITLE)), Field(min_length=1)
    ]
    body: Annotated[str, Field(max_length=5000)] = ""
    #: A path of this site, or an http(s) link; never a script.
    action_url: Annotated[str, AfterValidator(_safe_link), Field(max_length=500)] = ""
    priority: Urgency = Urgency.MEDIUM


def notify_members(
    *,
    tenant: Tenant,
    kind: Kind,
    notices: Sequence[Notice],
    roles: Collection[Role] | None = None,
    day: date | None = None,
) -> int:
    """Put the notices into the inboxes of the tenant's members; returns how many are new.

    Who is told: see :func:`notifications.selectors.people_to_tell`; without ``roles``, whoever
    wants this kind, and by default the roles of ``DEFAULT_ROLES``. A notice that a person already
    has of that subject and day is left as it is. ``day`` is the tenant's today when None.
    """
    people = people_to_tell(tenant, kind, channel=Channel.IN_APP, roles=roles)
    return _insert(list(people.values_list("id", flat=True)), tenant, kind, notices, day)


def notify(
    *,
    user_ids: Collection[int],
    tenant: Tenant | None,
    kind: Kind,
    notices: Sequence[Notice],
    day: date | None = None,
) -> int:
    """Put the notices into the inboxes of these people; returns how many are new.

    Who has turned the kind off, or cannot log in, is left out. ``day`` is the tenant's today when
    None (UTC's without a tenant).
    """
    people = User.objects.filter(id__in=list(user_ids), is_active=True).exclude(
        preferences__in=Preference.objects.filter(
            kind=kind, channel=Channel.IN_APP, choice=Choice.OFF
        )
    )
    return _insert(list(people.values_list("id", flat=True)), tenant, kind, notices, day)


def _insert(
    people: list[int],
    tenant: Tenant | None,
    kind: Kind,
    notices: Sequence[Notice],
    day: date | None,
) -> int:
    if not people or not notices:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            _INSERT_AND_RETURN if dry_run.is_dry_run() else _INSERT,
            {
                "people": people,
                "tenant": tenant.pk if tenant else None,
                "kind": kind,
                "day": day or (local_date(tenant) if tenant else datetime.now(UTC).date()),
                "notices": json.dumps([notice.model_dump(mode="json") for notice in notices]),
            },
        )
        if dry_run.is_dry_run():
            _tell(tenant, kind, cursor.fetchall())
        return int(cursor.rowcount)


def _tell(tenant: Tenant | None, kind: Kind, new: Sequence[tuple[int, str]]) -> None:
    """Tell a dry run who would have found what."""
    names = User.objects.in_bulk({user_id for user_id, _ in new})
    for user_id, title in new:
        dry_run.tell(
            "notice",
            tenant=tenant.slug if tenant else "",
            to=names[user_id].get_username(),
            kind=kind.value,
            title=title,
        )


def mark_read(*, user: User, notification_ids: Collection[int]) -> int:
    """Mark the person's own notices among these as read, now; returns how many were not yet."""
    return Notification.objects.filter(
        user=user, id__in=list(notification_ids), read_at__isnull=True
    ).update(read_at=Now())


def set_preference(*, user_id: int, kind: Kind, channel: Channel, choice: Choice) -> None:
    """Keep what the person wants of this kind on this channel.

    Raises:
        django.db.IntegrityError: a digest of in-app notices, which does not exist.
    """
    Preference.objects.update_or_create(
        user_id=user_id, kind=kind, channel=channel, defaults={"choice": choice}
    )
