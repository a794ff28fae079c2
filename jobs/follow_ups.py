"""Starting what follows a job: a signature of its canvas becomes jobs, alive or dead."""

from collections.abc import Mapping, Sequence
from typing import Any

import celery
import structlog
from django.db import DatabaseError

from jobs import signatures
from jobs.context import job_context
from jobs.ended import Ended
from jobs.errors import JobsError
from jobs.weave import Weave, bear_dead

log = structlog.get_logger(__name__)


def start(
    weave: Weave,
    signature: signatures.Signature,
    args: Sequence[Any],
    after: Ended,
    *,
    kwargs: Mapping[str, Any] | None = None,
    **options: Any,
) -> None:
    """Collect what a signature starts after a job; what cannot be started is dead."""
    weave.root_id, weave.parent_id = str(after.root_id), str(after.id)
    jobs, groups, dead = len(weave.jobs), len(weave.groups), len(weave.stillborn)
    with job_context(
        tenant=after.tenant, correlation_id=after.correlation_id, actor=f"job:{after.id}"
    ):
        try:
            made = celery.signature(dict(signature))
            made.apply_async(tuple(args), dict(kwargs or {}), **options)
        except DatabaseError:
            raise
        except Exception as error:  # whatever it is, the job before has succeeded
            del weave.jobs[jobs:], weave.groups[groups:], weave.stillborn[dead:]
            if not isinstance(error, JobsError):
                log.exception("follow_up_failed", task=signature["task"], job_id=str(after.id))
            given = {**signature["kwargs"], "args": [*args, *signature["args"]]}
            bear_dead(weave, signature["task"], given, {**signature["options"], **options}, error)
