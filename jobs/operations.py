"""What a person can do to jobs and queues. Every act is in the audit log, in its transaction.

``actor`` is ``user:<name>`` (or what the command line gives). Each raises
:class:`~jobs.errors.NotPossible` when the state does not allow it, with the reason.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from pydantic import SecretStr

from jobs import audit, transitions
from jobs import payload as payloads
from jobs.enqueue import replay as enqueue_replay
from jobs.errors import NotPossible
from jobs.models import DeadLetter, Job, QueueState
from jobs.queues import get_queue
from jobs.states import FINAL, State
from jobs.task import get_task


def cancel(job_id: UUID, *, actor: str) -> None:
    """Cancel a job: at once when it waits; when it runs, as soon as its task asks."""
    with transaction.atomic():
        job = _get(job_id, lock=True)  # so that it does not move between the look and the act
        if job.state in FINAL:
            raise NotPossible(f"The job is {job.state} already; it cannot be cancelled.")
        if transitions.cancel(job_id, actor=actor):
            return
        Job.objects.filter(id=job_id, state=State.RUNNING).update(cancel_requested_at=Now())
        audit.record(
            action="job.cancel_requested",
            subject_type="job",
            subject_id=str(job_id),
            tenant=job.tenant,
            actor=actor,
        )


def hasten(job_id: UUID, *, actor: str) -> None:
    """Run a scheduled job now, instead of at its time."""
    with transaction.atomic():
        if not transitions.hasten(job_id, actor=actor):
            state = _get(job_id).state
            raise NotPossible(f"The job is {state}; only a scheduled job can be run sooner.")


def replay(job_id: UUID, *, actor: str, payload: Mapping[str, Any] | None = None) -> Job:
    """Run a dead job anew, as a new job with fresh attempts; the old one stays as it is.

    Args:
        job_id: The dead job.
        actor: Who decided.
        payload: Changed arguments; those left out, and secrets, stay.

    Raises:
        InvalidPayload: the changed arguments do not fit, with the fields in ``problems``.
    """
    with transaction.atomic():
        letter = _pending(job_id)
        job = letter.job
        definition = get_task(job.task).definition
        sealed = payloads.Sealed(job.payload, bytes(job.secrets) if job.secrets else None)
        if payload is not None:
            values, _ = payloads.unseal(definition.arguments, job.task, job.payload, sealed.secrets)
            # What was shown as a mask, and came back as one, was not changed.
            changed = {
                key: value
                for key, value in payload.items()
                if not (value == payloads.MASK and isinstance(values.get(key), SecretStr))
            }
            sealed = payloads.seal(
                job.task,
                payloads.check(definition.arguments, job.task, {**values, **changed}),
            )
        new = enqueue_replay(job, sealed)
        letter.replayed_as = new
        _decide(letter, DeadLetter.Decision.REPLAYED, actor, {"replayed_as": str(new.id)})
        return new


def discard(job_id: UUID, *, actor: str, note: str = "") -> None:
    """Decide that a dead job will not run again."""
    with transaction.atomic():
        detail = {"note": note} if note else None
        _decide(_pending(job_id), DeadLetter.Decision.DISCARDED, actor, detail)


def pause_queue(name: str, *, actor: str) -> None:
    """Stop claiming jobs of the queue, everywhere and across restarts. Running ones end."""
    with transaction.atomic():
        queue = get_queue(name).name
        state, _ = QueueState.objects.select_for_update().get_or_create(name=queue)
        if state.paused_at is not None:
            raise NotPossible(f"The queue {queue!r} is paused already.")
        QueueState.objects.filter(name=queue).update(paused_at=Now(), paused_by=actor)
        audit.record(action="queue.paused", subject_type="queue", subject_id=queue, actor=actor)


def resume_queue(name: str, *, actor: str) -> None:
    """Claim jobs of the queue again; those that waited are published anew within a second."""
    with transaction.atomic():
        queue = get_queue(name).name
        changed = QueueState.objects.filter(name=queue, paused_at__isnull=False).update(
            paused_at=None, paused_by=""
        )
        if not changed:
            raise NotPossible(f"The queue {queue!r} is not paused.")
        audit.record(action="queue.resumed", subject_type="queue", subject_id=queue, actor=actor)
        transitions.resume(queue, actor=actor)


def _get(job_id: UUID, *, lock: bool = False) -> Job:
    try:
        return (Job.objects.select_for_update() if lock else Job.objects).get(id=job_id)
    except Job.DoesNotExist:
        raise NotPossible(f"There is no job {job_id}.") from None


def _pending(job_id: UUID) -> DeadLetter:
    letter = (
        DeadLetter.objects.select_for_update(of=("self",))
        .select_related("job")
        .filter(job_id=job_id)
        .first()
    )
    if letter is None:
        raise NotPossible(f"The job is {_get(job_id).state}, not dead.")
    if letter.decision:
        raise NotPossible(f"The dead letter was {letter.decision} already, by {letter.decided_by}.")
    return letter


def _decide(
    letter: DeadLetter, decision: DeadLetter.Decision, actor: str, detail: dict[str, Any] | None
) -> None:
    letter.decision = decision
    letter.decided_by = actor
    letter.save(update_fields=["decision", "decided_by", "replayed_as"])
    DeadLetter.objects.filter(pk=letter.pk).update(decided_at=Now())
    audit.record(
        action=f"job.{decision}",
        subject_type="job",
        subject_id=str(letter.job_id),
        tenant=letter.tenant,
        actor=actor,
        detail=detail,
    )
