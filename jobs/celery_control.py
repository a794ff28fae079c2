"""``result.revoke()``, ``celery control revoke`` and Flower's button cancel jobs, for good.

Celery would tell its workers to forget a message; here a job is a row, and its messages are bells.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from celery.app.control import Control

from jobs.context import current_context
from jobs.errors import NotPossible


class JobsControl(Control):
    """Celery's remote control, except for revoking."""

    def revoke(self, task_id: str | Sequence[str], *_: Any, **__: Any) -> None:
        """Cancel jobs: at once those that wait; those that run as soon as their tasks ask.

        Those that have ended, or are not there, are left as they are.
        """
        from jobs import operations

        for one in [task_id] if isinstance(task_id, str) else task_id:
            try:
                operations.cancel(UUID(str(one)), actor=current_context().actor)
            except (NotPossible, ValueError):
                continue

    terminate = revoke
