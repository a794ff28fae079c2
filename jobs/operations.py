"""What a person can do to jobs and queues. Every act is in the audit log, in its transaction.

``actor`` is ``user:<name>`` (or what the command line gives). Each raises
:class:`~jobs.errors.NotPossible` when the state does not allow it, with the reason.
"""

import difflib
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from jobs import audit, gates, transitions, workflows
from jobs import payload as payloads
from jobs.bulk import BELLS
from jobs.conf import jobs_settings
from jobs.enqueue import replay as enqueue_replay
from jobs.errors import NotPossible, PermanentError, UnknownLimit
from jobs.limits import Limit
from jobs.models import DeadLetter, Job, LimitOverride, QueueState, Workflow
from jobs.publish import ring
from jobs.queues import get_queue
from jobs.states import FINAL, State
from jobs.task import get_task
from jobs.weave import PASSED_ON_LIMIT

#: What an operator may set a limit to.
HIGHEST_LIMIT = 1_000_000


def cancel(job_id: UUID, *, actor: str) -> None:
    """Cancel a job: at once when it waits; when it runs, as soon as its task asks."""
    with transaction.atomic():
        job = _get(job_id, lock=True)  # so that it does not move between the look and the act
        if job.state in FINAL:
            raise NotPossible(f"The job is {job.state} already; it cannot be cancelled.")
        if transitions.cancel(job_id, actor=actor):
            workflows.go_on([job_id])
            return
        Job.objects.filter(id=job_id, state=State.RUNNING).update(cancel_requested_at=Now())
        audit.record(
            action="job.cancel_requested",
            subject_type="job",
            subject_id=str(job_id),
            tenant=job.tenant,
            actor=actor,
        )


def cancel_workflow(workflow_id: UUID, *, actor: str) -> int:
    """Start nothing more of a workflow, cancel what waits of it, and ask what runs to stop.

    Not to be called inside a transaction: the first must be seen by those who settle its jobs
    before the rest is done. Returns how many jobs were cancelled or asked.
    """
    with transaction.atomic():
        workflow = Workflow.objects.select_for_update().filter(id=workflow_id).first()
        if workflow is None:
            raise NotPossible(f"There is no workflow {workflow_id}.")
        if workflow.cancelled_at is not None:
            raise NotPossible("The workflow is cancelled already.")
        jobs = Job.objects.filter(root_id=workflow_id)
        if not jobs.exclude(state=State.SUCCEEDED).exists():
            raise NotPossible("The workflow has succeeded already; it cannot be cancelled.")
        Workflow.objects.filter(id=workflow_id).update(cancelled_at=Now())
        audit.record(
            action="workflow.cancelled",
            subject_type="workflow",
            subject_id=str(workflow_id),
            tenant=workflow.tenant,
            actor=actor,
        )
    with transaction.atomic():
        cancelled = transitions.cancel_parts(workflow_id, actor=actor)
        workflows.go_on(cancelled)
    running = list(jobs.filter(state=State.RUNNING).values_list("id", flat=True))
    for job_id in running:
        with suppress(NotPossible):  # it has ended meanwhile
            cancel(job_id, actor=actor)
    return len(cancelled) + len(running)


def hasten(job_id: UUID, *, actor: str) -> None:
    """Run a scheduled job now, instead of at its time."""
    with transaction.atomic():
        if not transitions.hasten(job_id, actor=actor):
            state = _get(job_id).state
            raise NotPossible(f"The job is {state}; only a scheduled job can be run sooner.")


def replay(
    job_id: UUID,
    *,
    actor: str,
    payload: Mapping[str, Any] | None = None,
    batch: int | None = None,
) -> Job:
    """Run a dead job anew, as a new job with fresh attempts; the old one stays as it is.

    Args:
        job_id: The dead job.
        actor: Who decided.
        payload: Changed arguments; those left out, and secrets, stay. What the task takes no more
            goes. None: nothing is changed.
        batch: The replay of many that it is part of.

    Raises:
        UnknownTask: its task is no longer declared.
        InvalidPayload: the arguments do not fit (any more), with the fields in ``problems``.
        NotPossible: besides, its secrets cannot be decrypted.
    """
    with transaction.atomic():
        letter = _pending(job_id)
        job = letter.job
        new = enqueue_replay(job, _sealed_anew(job, payload))
        letter.replayed_as = new
        told = {"replayed_as": str(new.id), **({"batch": batch} if batch else {})}
        _decide(letter, DeadLetter.Decision.REPLAYED, actor, told)
        return new


def _sealed_anew(job: Job, changes: Mapping[str, Any] | None) -> payloads.Sealed:
    """Return the job's arguments with these changes; raises what :func:`replay` does."""
    model = get_task(job.task).definition.arguments
    try:
        hidden = payloads.opened(bytes(job.secrets) if job.secrets else None)
    except PermanentError as error:
        raise NotPossible(str(error)) from None
    values = {**job.payload, **hidden}
    if changes is not None:
        values = {name: value for name, value in values.items() if name in model.model_fields}
        # What was shown as a mask, and came back as one, was not changed.
        values |= {
            name: value
            for name, value in changes.items()
            if not (value == payloads.MASK and name in hidden)
        }
    limit = PASSED_ON_LIMIT if job.root_id else None
    return payloads.seal(job.task, payloads.check(model, job.task, values), limit)


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
    """Claim jobs of the queue again; its bell is rung for those that waited."""
    with transaction.atomic():
        queue = get_queue(name).name
        changed = QueueState.objects.filter(name=queue, paused_at__isnull=False).update(
            paused_at=None, paused_by=""
        )
        if not changed:
            raise NotPossible(f"The queue {queue!r} is not paused.")
        audit.record(action="queue.resumed", subject_type="queue", subject_id=queue, actor=actor)
        transaction.on_commit(partial(ring, queue, BELLS), robust=True)


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
        action=f"letter.{decision}",
        subject_type="job",
        subject_id=str(letter.job_id),
        tenant=letter.tenant,
        actor=actor,
        detail=detail,
    )


def set_limit(name: str, value: int | None, *, actor: str) -> None:
    """Change a limit at run time, for all workers, within a second; None: no limit.

    Raises:
        UnknownLimit: no queue or task declares it, with "did you mean …?".
        NotPossible: the value is out of bounds, or the settings switch the limit off.
    """
    limit = _limit_called(name)
    if value is not None and not 0 <= value <= HIGHEST_LIMIT:
        raise NotPossible(f"A limit is a number from 0 to {HIGHEST_LIMIT}, or none.")
    if jobs_settings().LIMITS.get(name, 0) is None:
        raise NotPossible(f"JOBS_LIMITS switches {name} off: jobs are enqueued without it.")
    with transaction.atomic():
        was = gates.value_of(name, limit)
        LimitOverride.objects.update_or_create(
            name=name, defaults={"value": value, "changed_by": actor, "changed_at": Now()}
        )
        _record_limit("limit.changed", name, {"value": value, "was": was}, actor)
    gates.overrides.forget()


def reset_limit(name: str, *, actor: str) -> None:
    """Take back what an operator set for a limit: it is as the settings or the code say.

    Raises:
        UnknownLimit: no queue or task declares it, with "did you mean …?".
        NotPossible: nobody set it.
    """
    with transaction.atomic():
        row = LimitOverride.objects.select_for_update().filter(name=name).first()
        if row is None:
            _limit_called(name)
            raise NotPossible(f"Nobody changed the limit {name!r}.")
        row.delete()
        limit = gates.declared().get(name)  # none: only the row still named it
        value = jobs_settings().LIMITS.get(name, limit.limit) if limit else None
        _record_limit("limit.reset", name, {"value": value, "was": row.value}, actor)
    gates.overrides.forget()


def _limit_called(name: str) -> Limit:
    declared = gates.declared()
    if name not in declared:
        raise UnknownLimit(name, difflib.get_close_matches(name, declared, n=1))
    return declared[name]


def _record_limit(action: str, name: str, detail: dict[str, Any], actor: str) -> None:
    audit.record(
        action=action, subject_type="limit", subject_id=name[:64], actor=actor, detail=detail
    )
