"""Replaying many dead letters: one first, as a canary, and the rest when that one has succeeded.

A batch names its letters by a filter, and only those that had died before it began: what dies again
is not replayed in circles. It is done by the job ``jobs.replay_dead_letters``, a hundred letters in
a transaction that also notes how far it is; so a crash in the middle replays nothing twice. Acts
are in the audit log: ``replay.started``, ``replay.stopped`` and ``replay.done`` of the batch, and
``letter.replayed`` of every letter.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from jobs import audit, operations
from jobs.context import job_context
from jobs.enqueue import enqueue_by_name
from jobs.errors import Discard, EnqueueError, JobsError, NotPossible, RetryLater
from jobs.maintenance.batches import BUDGET, Shift
from jobs.models import DeadLetter, Job, ReplayBatch
from jobs.selectors import DeadLetterFilter, count_dead_letters
from jobs.selectors.replays import OPEN
from jobs.states import FINAL, State

log = structlog.get_logger(__name__)

#: Letters in one transaction.
CHUNK = 100

#: Reasons of refusals that are kept apart; what is more is counted together.
_REASONS = 20
_REASON_CHARACTERS = 300
_OTHER_REASONS = "other reasons"

#: Until the first one is looked at again: a quarter of its age, in these bounds.
_SOONEST, _LATEST = timedelta(seconds=1), timedelta(seconds=30)


def replay_many(
    wanted: DeadLetterFilter, *, actor: str, canary: bool = True, everything: bool = False
) -> ReplayBatch:
    """Have the pending dead letters that fit replayed; returns the batch, which has only begun.

    Args:
        wanted: Which ones.
        actor: Who decided.
        canary: One first; the others when it has succeeded.
        everything: The filter may be one that restricts nothing.

    Raises:
        EnqueueError: it restricts nothing, and nobody said ``everything``.
        NotPossible: there is none that fits.
    """
    told = replace(wanted, decided=False).as_json()
    if not told and not everything:
        raise EnqueueError("Say which dead letters, or that you mean all of them.")
    with transaction.atomic():
        now = _clock()
        wanted = replace(wanted, decided=False, died_before=min(wanted.died_before or now, now))
        total = count_dead_letters(wanted)
        if not total:
            raise NotPossible("No dead letter that waits for a decision fits.")
        batch = ReplayBatch.objects.create(
            filters=wanted.as_json(),
            state=ReplayBatch.State.CANARY if canary else ReplayBatch.State.RUNNING,
            total=total,
            created_by=actor,
        )
        with job_context(actor=actor):
            batch.job_id = enqueue_by_name("jobs.replay_dead_letters", {"batch": batch.id}).id
        batch.save(update_fields=["job_id"])
        _record(batch, "started", actor, {"filters": told, "letters": total, "canary": canary})
    batch.refresh_from_db()
    return batch


def stop(batch_id: int, *, actor: str) -> None:
    """Replay no more letters of the batch; those that were replayed run on.

    Raises:
        NotPossible: it has ended already, or there is none.
    """
    with transaction.atomic():
        batch = _locked(batch_id)
        if batch is None:
            raise NotPossible(f"There is no replay {batch_id}.")
        if batch.state not in OPEN:
            raise NotPossible(f"The replay is {batch.state} already.")
        _end(batch, ReplayBatch.State.STOPPED, actor, f"Stopped by {actor}.")


def go_on(batch_id: int, *, budget: timedelta = BUDGET) -> None:
    """Carry the batch on as far as it goes now. Safe to call again at any time.

    Raises:
        RetryLater: the first one is not finished, or there is more to do than ``budget`` allows.
        Discard: there is no such batch.
    """
    shift = Shift(budget, rests=False)
    if not ReplayBatch.objects.filter(id=batch_id).exists():
        raise Discard(f"There is no replay {batch_id}.")
    if (again := _try_first(batch_id)) is not None:
        raise RetryLater("The first one is not finished.", after=again)
    while (batch := _replay_some(batch_id)) is not None:
        shift.go_on(batch.replayed + batch.refused, batch.total, "dead letters")


def _try_first(batch_id: int) -> timedelta | None:
    """Replay the first letter, or see what became of it; returns how long to wait for it, if so."""
    with transaction.atomic():
        batch = _locked(batch_id)
        if batch is None or batch.state != ReplayBatch.State.CANARY:
            return None
        if batch.canary_id is None:
            return _send_first(batch)
        first = Job.objects.filter(id=batch.canary_id).first()
        if first is None:
            note = "Nobody knows how the first one ended: it is no longer kept."
            _end(batch, ReplayBatch.State.STOPPED, "", note)
        elif first.state == State.SUCCEEDED:
            batch.state = ReplayBatch.State.RUNNING
            batch.save(update_fields=["state"])
        elif first.state in FINAL:
            error = f" {first.error_type}: {first.error}"[:1_000] if first.error_type else ""
            note = f"The first one ended as {first.state}.{error}"
            _end(batch, ReplayBatch.State.STOPPED, "", note)
        else:
            return min(max((timezone.now() - first.enqueued_at) / 4, _SOONEST), _LATEST)
        return None


def _send_first(batch: ReplayBatch) -> timedelta | None:
    """Replay the first letter that can be; those before it are refused."""
    for letter in _rest(batch)[:CHUNK]:
        if (new := _replay(batch, letter)) is not None:
            batch.canary = new
            break
    if batch.canary is None and not _rest(batch, lock=False).exists():
        _end(batch, ReplayBatch.State.DONE, "")
        return None
    _note_progress(batch)
    return _SOONEST


def _replay_some(batch_id: int) -> ReplayBatch | None:
    """Replay the next letters, in one transaction; returns the batch, or None when it has ended."""
    with transaction.atomic():
        batch = _locked(batch_id)
        if batch is None or batch.state != ReplayBatch.State.RUNNING:
            return None
        for letter in _rest(batch)[:CHUNK]:
            _replay(batch, letter)
        if _rest(batch, lock=False).exists():
            _note_progress(batch)
        else:
            _end(batch, ReplayBatch.State.DONE, "")
        return batch


def _rest(batch: ReplayBatch, *, lock: bool = True) -> QuerySet[DeadLetter]:
    """Return the pending letters of the batch that it has not reached, the oldest first."""
    condition = DeadLetterFilter.of_json(batch.filters).condition()
    if batch.reached:
        at, job_id = datetime.fromisoformat(batch.reached[0]), UUID(batch.reached[1])
        condition &= Q(died_at__gte=at) & (Q(died_at__gt=at) | Q(died_at=at, job_id__gt=job_id))
    letters = DeadLetter.objects.filter(condition).order_by("died_at", "job_id")
    return letters.select_for_update() if lock else letters


def _replay(batch: ReplayBatch, letter: DeadLetter) -> Job | None:
    """Replay one letter and count it; returns the new job, or None when it is refused."""
    batch.reached = [letter.died_at.isoformat(), str(letter.job_id)]
    try:
        with transaction.atomic():
            new = operations.replay(letter.job_id, actor=batch.created_by, batch=batch.id)
    except JobsError as error:
        batch.refused += 1
        reason = str(error)[:_REASON_CHARACTERS]
        if reason not in batch.refusals and len(batch.refusals) >= _REASONS:
            reason = _OTHER_REASONS
        batch.refusals[reason] = batch.refusals.get(reason, 0) + 1
        return None
    batch.replayed += 1
    return new


def _note_progress(batch: ReplayBatch) -> None:
    batch.save(update_fields=["canary", "replayed", "refused", "refusals", "reached"])


def _end(batch: ReplayBatch, state: ReplayBatch.State, actor: str, note: str = "") -> None:
    """End the batch. Without an ``actor``, the running job is it."""
    missing = batch.total - batch.replayed - batch.refused
    if state == ReplayBatch.State.DONE and missing > 0:
        note = f"{missing} were decided about by others meanwhile."
    batch.state, batch.note = state, note
    _note_progress(batch)
    batch.save(update_fields=["state", "note"])
    ReplayBatch.objects.filter(id=batch.id).update(finished_at=Now())
    told = {"replayed": batch.replayed, "refused": batch.refused, "note": note}
    _record(batch, state, actor, told)
    log.info("replay_ended", batch=batch.id, state=str(state), **told)


def _record(batch: ReplayBatch, act: str, actor: str, detail: dict[str, object]) -> None:
    audit.record(
        action=f"replay.{act}",
        subject_type="replay",
        subject_id=str(batch.id),
        tenant=DeadLetterFilter.of_json(batch.filters).tenant,
        actor=actor or None,
        detail=detail,
    )


def _locked(batch_id: int) -> ReplayBatch | None:
    return ReplayBatch.objects.select_for_update(of=("self",)).filter(id=batch_id).first()


def _clock() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
        assert isinstance(now, datetime)
        return now
