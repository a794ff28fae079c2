"""What people are told about scores: one notice for a tenant's refresh, however many clients rose.

The notice names the worst clients and counts the rest, and goes once to each person who has one of
the roles below, whatever the number of clients.
"""

import hashlib
from urllib.parse import urlencode

from django.urls import reverse

from compliance.models import Risk
from compliance.scoring import Rise, TenantScores
from notifications.inbox import Notice, notify_members
from notifications.kinds import Kind, Urgency
from tenants.models import Role, Tenant

#: Who looks after clients' papers.
TOLD = (Role.OWNER, Role.MANAGER, Role.ACCOUNTANT)


def announce_rises(tenant: Tenant, scores: TenantScores) -> int:
    """Tell the people who look after the tenant's clients; returns how many were told.

    It takes the same number of SQL statements whoever rose, and commits with the scores. A later
    refresh of the same day is heard too, when it finds other rises; the same ones are told once.
    """
    told = "\n".join(f"{rise.code} {rise.risk}" for rise in scores.rises) + f"\n{scores.raised}"
    fingerprint = hashlib.sha256(told.encode()).hexdigest()[:16]
    notice = Notice(
        subject_key=f"compliance.risk:{fingerprint}",
        title=title_of(scores),
        body=body_of(scores),
        action_url=_clients_page(tenant),
        # The worst come first.
        priority=Urgency.HIGH if scores.rises[0].risk == Risk.HIGH else Urgency.MEDIUM,
    )
    return notify_members(
        tenant=tenant, kind=Kind.SYSTEM, notices=[notice], roles=TOLD, day=scores.day
    )


def _clients_page(tenant: Tenant) -> str:
    filters = {
        "tenant__id__exact": tenant.pk,
        "score__risk__in": f"{Risk.MEDIUM},{Risk.HIGH}",
        "is_active__exact": 1,
    }
    return f"{reverse('admin:compliance_client_changelist')}?{urlencode(filters)}"


def title_of(scores: TenantScores) -> str:
    """Return the notice's headline."""
    if scores.raised == 1:
        return f"The compliance risk of {scores.rises[0].name} has risen"
    return f"The compliance risk of {scores.raised} clients has risen"


def body_of(scores: TenantScores) -> str:
    """Return one line for each client named, and one for the others."""
    lines = [_line(rise) for rise in scores.rises]
    if more := scores.raised - len(scores.rises):
        lines.append(f"… and {more} more")
    return "\n".join(lines)


def _line(rise: Rise) -> str:
    counts = {
        "missing or rejected": rise.missing,
        "expiring": rise.expiring,
        "overdue": rise.overdue,
    }
    issues = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return f"{rise.code} {rise.name}: {rise.before} → {rise.risk}, score {rise.score} ({issues})"
