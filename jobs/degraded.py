"""While Redis is down: jobs of a queue that says ``when_broker_down="inline"`` run in the caller.

They run after the caller's commit, by the same claim, attempt and settlement as in a worker; what
fails is scheduled again, and what another process took meanwhile is left to it.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import structlog
from django.db import transaction

from jobs.queues import QUEUES

if TYPE_CHECKING:
    from jobs.bell import Message

log = structlog.get_logger(__name__)


def _runs_inline(queue: str) -> bool:
    lane = QUEUES.get(queue)
    return lane is not None and lane.when_broker_down == "inline"


def run_after_commit(messages: "Sequence[Message]") -> None:
    """Run the jobs here, after the commit, if their queue says so."""
    if any(_runs_inline(queue) for _, _, queue, _ in messages):
        transaction.on_commit(partial(run_here, messages), robust=True)


def run_here(messages: "Sequence[Message]") -> None:
    """Run those of the jobs here whose queue says so. Never raises."""
    ids = [job_id for job_id, _, queue, _ in messages if _runs_inline(queue)]
    if not ids:
        return
    from jobs.executor import carry

    try:
        carry(ids, worker=None, limited=True)
    except Exception:
        log.exception("inline_run_failed", jobs=len(ids))  # the rows stay; a worker carries them
