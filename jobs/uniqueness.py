"""Unique jobs: who enqueues a job that is there already gets that one back.

While the first is unfinished, a partial unique index guards it, so two transactions at once cannot
both insert: one waits for the other, and gets its job. For a period after its enqueueing, finished
or not, whoever asks holds a lock on the key until its transaction ends.
"""

import hashlib
import json
from uuid import UUID

from django.conf import settings
from pydantic import SecretStr

from jobs.definition import Definition, Unique
from jobs.models import Job
from jobs.payload import Sealed, unseal
from jobs.records import NewJob
from jobs.sql import fetch
from jobs.states import UNFINISHED


def key_of(definition: Definition, unique: Unique, tenant: str, sealed: Sealed) -> str:
    """Return the key of a job: what makes two jobs the same.

    Raises:
        TypeError: ``unique.by`` names an argument that the task does not have.
    """
    values = sealed.payload
    if sealed.secrets is not None:  # a mask would make all secrets the same
        known, _ = unseal(definition.arguments, definition.name, sealed.payload, sealed.secrets)
        secrets = {name: value for name, value in known.items() if isinstance(value, SecretStr)}
        values = values | {name: value.get_secret_value() for name, value in secrets.items()}
    if unique.by is not None:
        if missing := set(unique.by) - set(definition.arguments.model_fields):
            raise TypeError(f"{definition.name}: unique by unknown argument {missing.pop()!r}")
        values = {name: values.get(name) for name in unique.by}
    told = json.dumps([definition.name, tenant, values], sort_keys=True, default=str)
    # With a key of ours, so that a value cannot be guessed from what the row shows.
    secret = settings.SECRET_KEY.encode()[:64]
    return hashlib.blake2b(told.encode(), key=secret, digest_size=20).hexdigest()


def twin_of(new: NewJob) -> Job | None:
    """Return the job that is there instead of the new one, or None when there is no such."""
    if not new.unique_key:
        return None
    if new.unique_period is not None:
        fetch("SELECT pg_advisory_xact_lock(hashtextextended(%s::text, 1))", [new.unique_key])
    rows = fetch(_TWIN, [new.unique_key, sorted(UNFINISHED), new.unique_period or 0.0])
    return _marked(rows[0][0]) if rows else None


def _marked(job_id: UUID) -> Job | None:
    job = Job.objects.filter(id=job_id).first()
    if job is not None:
        job.is_twin = True
    return job


_TWIN = """
    SELECT id FROM jobs_job
    WHERE unique_key = %s AND NOT unique_key = ''
      AND (state = ANY(%s)
           OR enqueued_at > clock_timestamp() - make_interval(secs => %s::float8))
    ORDER BY enqueued_at DESC LIMIT 1
"""
