"""The audit log: who did what to what, when. Entries are only ever appended.

The database itself refuses ``UPDATE``, ``DELETE`` and ``TRUNCATE`` of its table. Moves of jobs are
recorded by :mod:`jobs.transitions`, in the statement that makes the move.
"""

from typing import Any

from jobs.context import current_context
from jobs.models import AuditEntry
from jobs.running import current_job


def record(
    *,
    action: str,
    subject_type: str,
    subject_id: str,
    detail: dict[str, Any] | None = None,
    tenant: str | None = None,
    actor: str | None = None,
) -> AuditEntry:
    """Append an entry in the caller's transaction.

    Args:
        action: ``<app>.<what_was_done>``.
        subject_type: ``job``, ``queue``, or a domain's noun.
        subject_id: Its id, as text.
        detail: JSON, without personal data or secrets.
        tenant: The tenant's key; by default that of the context.
        actor: By default the running job, or who the context says.
    """
    context = current_context()
    running = current_job()
    return AuditEntry.objects.create(
        actor=actor or (f"job:{running.id}" if running else context.actor),
        action=action,
        subject_type=subject_type,
        subject_id=subject_id,
        tenant=context.tenant if tenant is None else tenant,
        correlation_id=context.correlation_id,
        detail=detail,
    )
