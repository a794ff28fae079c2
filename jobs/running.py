"""The job that is running here: what a task may ask about itself, and tell."""

import json
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from jobs.errors import Cancelled, LeaseLost


@dataclass(kw_only=True)  # frozen, it would take longer to make, for each job
class RunningJob:
    """The job whose body is running."""

    id: UUID
    task: str
    queue: str
    tenant: str
    correlation_id: str
    attempt: int
    worker: UUID | None
    lease: UUID
    #: Its body runs in the transaction of its settlement.
    atomic: bool

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Tell how far it is; call it between parts of long work.

        An atomic task writes nothing here, since nobody could read it before the commit and its
        row would stay locked; the call still serves to notice a cancellation.

        Raises:
            Cancelled: a person asked for that. Let it pass.
            LeaseLost: the job was taken back, and another attempt may run already. Let it pass.
        """
        write = "" if self.atomic else "UPDATE jobs_job SET progress = %s "
        told = json.dumps({"done": done, "total": total, "note": note.replace("\x00", "")[:200]})
        with connection.cursor() as cursor:
            if write:
                cursor.execute(
                    write + "WHERE id = %s AND lease = %s RETURNING cancel_requested_at",
                    [told, self.id, self.lease],
                )
            else:
                cursor.execute(
                    "SELECT cancel_requested_at FROM jobs_job WHERE id = %s AND lease = %s",
                    [self.id, self.lease],
                )
            row = cursor.fetchone()
        if row is None:
            raise LeaseLost
        if row[0] is not None:
            raise Cancelled


current: ContextVar[RunningJob | None] = ContextVar("running_job", default=None)


def current_job() -> RunningJob | None:
    """Return the job whose body this is, or None outside of one."""
    return current.get()
