"""Many dead letters are replayed: one first, then the rest, each once, whatever happens."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction

from jobs import operations, replays
from jobs.errors import Discard, EnqueueError, NotPossible, RetryLater
from jobs.models import AuditEntry, DeadLetter, Job, Priority, ReplayBatch
from jobs.selectors import DeadLetterFilter, count_dead_letters
from jobs.selectors.audit_check import check_audit
from jobs.states import State
from jobs.tasks import probe
from jobs.testing import enqueued_jobs, run_jobs
from tests.conftest import Live, wait_until
from tests.jobs.records import ago, make_dead_letter, now
from tests.jobs.stages import and_undo, at_once

ANN = "user:ann"
EMAIL = DeadLetterFilter(queue="email")


def letters(count: int = 3, **fields: Any) -> list[DeadLetter]:
    """Insert dead jobs of the probe, the oldest first, which would succeed now."""
    return [make_dead_letter(finished_at=ago(minutes=count - n), **fields) for n in range(count)]


def replayed() -> list[Job]:
    """Return the jobs that replay others, in the order of their making."""
    return list(Job.objects.filter(replay_of__isnull=False).order_by("id"))


def go_on(batch: ReplayBatch, times: int = 1) -> ReplayBatch:
    """Carry the batch on as its job does, so many times, each time until it wants to be continued."""
    for _ in range(times):
        try:
            replays.go_on(batch.id)
        except RetryLater:
            continue
    batch.refresh_from_db()
    return batch


def end(job: Job, state: State = State.SUCCEEDED, **fields: Any) -> None:
    Job.objects.filter(id=job.id).update(state=state, finished_at=now(), **fields)


# --- which letters -------------------------------------------------------------------------------


@pytest.mark.django_db
def test_nothing_is_replayed_by_a_filter_that_restricts_nothing_unless_all_are_meant() -> None:
    letters(2)
    for wanted in (DeadLetterFilter(), DeadLetterFilter(decided=True)):
        with pytest.raises(EnqueueError, match="or that you mean all of them"):
            replays.replay_many(wanted, actor=ANN)
    assert not ReplayBatch.objects.exists()
    assert replays.replay_many(DeadLetterFilter(), actor=ANN, everything=True).total == 2


@pytest.mark.django_db
def test_an_empty_selection_is_refused() -> None:
    letter = make_dead_letter()
    operations.discard(letter.job_id, actor=ANN)
    for wanted, everything in ((EMAIL, False), (DeadLetterFilter(), True)):
        with pytest.raises(NotPossible, match="No dead letter that waits for a decision fits"):
            replays.replay_many(wanted, actor=ANN, everything=everything)
    assert not ReplayBatch.objects.exists()
    assert enqueued_jobs() == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    "wanted",
    [
        {"queue": "pdf"},
        {"task": "tests.other"},
        {"tenant": "acme"},
        {"error_type": "SMTPError"},
        {"reason": "crashed"},
        {"died_after": ago(minutes=30)},
        {"died_before": ago(minutes=90)},
        {"ids": True},
        {"queue": "pdf", "tenant": "acme"},
    ],
    ids=lambda wanted: ", ".join(wanted),
)
def test_the_filter_chooses(wanted: dict[str, Any]) -> None:
    make_dead_letter(finished_at=ago(hours=1))
    fits = make_dead_letter(
        queue="pdf", task="tests.other", tenant="acme",
        finished_at=ago(hours=2) if "died_before" in wanted else ago(minutes=5),
    )  # fmt: skip
    DeadLetter.objects.filter(job=fits.job).update(error_type="SMTPError", reason="crashed")
    if "ids" in wanted:
        wanted = {"ids": (fits.job_id, uuid4())}
    batch = replays.replay_many(DeadLetterFilter(**wanted), actor=ANN)
    assert batch.total == 1
    told = DeadLetterFilter.of_json(batch.filters)
    assert [letter.job_id for letter in DeadLetter.objects.filter(told.condition())] == [
        fits.job_id
    ]
    assert told.died_before is not None


@pytest.mark.django_db
def test_what_dies_after_the_start_is_not_replayed_in_circles() -> None:
    letters(3, payload={"label": "x", "fail_permanently": True})
    batch = replays.replay_many(EMAIL, actor=ANN, canary=False)
    run_jobs(retries=True)
    batch.refresh_from_db()
    assert (batch.state, batch.replayed) == ("done", 3)
    assert len(replayed()) == 3
    assert count_dead_letters() == 3, "those that died again wait for a decision of their own"


# --- the first one -------------------------------------------------------------------------------


@pytest.mark.django_db
def test_one_goes_first_and_the_rest_wait_for_it() -> None:
    oldest, *_ = letters(3)
    batch = go_on(replays.replay_many(EMAIL, actor=ANN), times=3)
    (first,) = replayed()
    assert first.replay_of_id == oldest.job_id
    assert (batch.state, batch.canary_id, batch.replayed, batch.total) == ("canary", first.id, 1, 3)
    end(first)
    assert go_on(batch).state == "done"
    assert batch.finished_at is not None
    assert (batch.replayed, batch.refused, batch.note) == (3, 0, "")
    assert len(replayed()) == 3


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("state", "note"),
    [
        (State.DEAD, "The first one ended as dead. SMTPError: mailbox full"),
        (State.CANCELLED, "The first one ended as cancelled. SMTPError: mailbox full"),
    ],
)
def test_when_the_first_one_does_not_succeed_the_rest_stay(state: State, note: str) -> None:
    letters(3)
    batch = go_on(replays.replay_many(EMAIL, actor=ANN))
    end(replayed()[0], state, error_type="SMTPError", error="mailbox full")
    go_on(batch, times=2)
    assert (batch.state, batch.note, batch.replayed) == ("stopped", note, 1)
    assert count_dead_letters() == 2
    assert AuditEntry.objects.get(action="replay.stopped").detail == {
        "replayed": 1, "refused": 0, "note": note,
    }  # fmt: skip


@pytest.mark.django_db
def test_a_first_one_that_is_no_longer_kept_stops_the_rest() -> None:
    letters(2)
    batch = go_on(replays.replay_many(EMAIL, actor=ANN))
    assert batch.canary_id is not None
    Job.objects.filter(id=batch.canary_id).delete()
    ReplayBatch.objects.filter(id=batch.id).update(canary=batch.canary_id)
    assert go_on(batch).state == "stopped"
    assert "no longer kept" in batch.note


@pytest.mark.django_db
def test_a_first_one_that_takes_long_is_looked_at_less_and_less_often() -> None:
    letters(2)
    batch = go_on(replays.replay_many(EMAIL, actor=ANN))
    waits = []
    for seconds in (0, 2, 40, 86_400):
        Job.objects.filter(id=replayed()[0].id).update(enqueued_at=ago(seconds=seconds))
        with pytest.raises(RetryLater) as later:
            replays.go_on(batch.id)
        assert later.value.after is not None
        waits.append(round(later.value.after.total_seconds()))
    assert waits == [1, 1, 10, 30]


@pytest.mark.django_db
def test_without_a_first_one_all_go_at_once() -> None:
    letters(3)
    batch = go_on(replays.replay_many(EMAIL, actor=ANN, canary=False))
    assert (batch.state, batch.canary_id, len(replayed())) == ("done", None, 3)


# --- the rest ------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_letter_that_cannot_be_replayed_is_counted_with_its_reason_and_the_rest_goes_on() -> None:
    unfit = letters(2, payload={"label": "x", "colour": "red"})
    unknown = letters(1, task="tests.removed")
    fit = letters(2)
    batch = go_on(replays.replay_many(EMAIL, actor=ANN))
    assert batch.canary_id == replayed()[0].id, "those before it were refused"
    end(replayed()[0])
    assert go_on(batch).state == "done"
    assert (batch.replayed, batch.refused, batch.total) == (2, 3, 5)
    assert sorted(batch.refusals.values()) == [1, 2]
    reasons = " ".join(sorted(batch.refusals))
    assert "jobs.probe cannot take these arguments: colour: unknown argument" in reasons
    assert "Unknown task 'tests.removed'" in reasons
    waiting = {letter.job_id for letter in DeadLetter.objects.filter(decision="")}
    assert waiting == {letter.job_id for letter in (*unfit, *unknown)}
    assert {job.replay_of_id for job in replayed()} == {letter.job_id for letter in fit}


@pytest.mark.django_db
def test_when_none_can_be_replayed_the_batch_is_done_and_says_so() -> None:
    letters(3, task="tests.removed")
    batch = go_on(replays.replay_many(EMAIL, actor=ANN))
    assert (batch.state, batch.replayed, batch.refused) == ("done", 0, 3)


@pytest.mark.django_db
def test_very_many_reasons_are_counted_together() -> None:
    for n in range(replays._REASONS + 5):
        letters(1, task=f"tests.removed{n}")
    batch = go_on(replays.replay_many(EMAIL, actor=ANN, canary=False))
    assert len(batch.refusals) == replays._REASONS + 1
    assert batch.refusals["other reasons"] == 5


@pytest.mark.django_db
def test_letters_that_others_decided_about_meanwhile_are_left_alone_and_said() -> None:
    _, second, third = letters(3)
    batch = go_on(replays.replay_many(EMAIL, actor=ANN))
    operations.discard(second.job_id, actor="user:bob")
    operations.replay(third.job_id, actor="user:bob")
    end(replayed()[0])
    assert go_on(batch).state == "done"
    assert (batch.replayed, batch.note) == (1, "2 were decided about by others meanwhile.")


@pytest.mark.django_db
def test_every_letter_is_decided_by_who_asked_and_everything_is_in_the_audit_log() -> None:
    letters(2)
    batch = go_on(replays.replay_many(EMAIL, actor=ANN, canary=False))
    assert set(DeadLetter.objects.values_list("decision", "decided_by")) == {("replayed", ANN)}
    told = AuditEntry.objects.filter(action="letter.replayed")
    assert {(entry.actor, (entry.detail or {})["batch"]) for entry in told} == {(ANN, batch.id)}
    acts = AuditEntry.objects.filter(subject_type="replay", subject_id=str(batch.id))
    assert [(entry.action, entry.detail) for entry in acts.order_by("id")] == [
        ("replay.started", {"filters": {"queue": "email"}, "letters": 2, "canary": False}),
        ("replay.done", {"replayed": 2, "refused": 0, "note": ""}),
    ]


@pytest.mark.django_db
def test_it_is_done_by_a_job_of_high_priority_that_spends_no_attempts() -> None:
    letters(3)
    batch = replays.replay_many(EMAIL, actor=ANN)
    (job,) = enqueued_jobs("jobs.replay_dead_letters")
    assert (job.id, job.enqueued_by, job.priority) == (batch.job_id, ANN, Priority.HIGH)
    run_jobs(retries=True)
    job.refresh_from_db()
    batch.refresh_from_db()
    assert (job.state, job.failures, batch.state, batch.replayed) == ("succeeded", 0, "done", 3)
    assert {row.state for row in replayed()} == {"succeeded"}


@pytest.mark.django_db
def test_a_job_of_a_batch_that_is_not_there_is_discarded() -> None:
    with pytest.raises(Discard, match="There is no replay 7"):
        replays.go_on(7)


# --- stopping ------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_person_can_stop_it_and_what_was_replayed_runs_on() -> None:
    letters(3)
    batch = go_on(replays.replay_many(EMAIL, actor=ANN))
    replays.stop(batch.id, actor="user:bob")
    end(replayed()[0])
    assert go_on(batch).state == "stopped"
    assert (batch.note, batch.replayed, len(replayed())) == ("Stopped by user:bob.", 1, 1)
    assert AuditEntry.objects.get(action="replay.stopped").actor == "user:bob"
    with pytest.raises(NotPossible, match="The replay is stopped already"):
        replays.stop(batch.id, actor=ANN)
    with pytest.raises(NotPossible, match="There is no replay 999"):
        replays.stop(999, actor=ANN)


@pytest.mark.django_db
def test_a_start_that_is_rolled_back_never_was() -> None:
    letters(1)
    and_undo(lambda: replays.replay_many(EMAIL, actor=ANN))
    assert not ReplayBatch.objects.exists()
    assert enqueued_jobs() == []


# --- crashes, and several at once ----------------------------------------------------------------


class Crash(BaseException):
    """The process ends here."""


@pytest.mark.django_db
@pytest.mark.parametrize("after", [1, 5, 9])
def test_a_crash_in_the_middle_replays_nothing_twice(
    after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters(10)
    monkeypatch.setattr(replays, "CHUNK", 4)
    batch = replays.replay_many(EMAIL, actor=ANN, canary=False)
    real, calls = operations.replay, 0

    def crashing(*args: Any, **options: Any) -> Job:
        nonlocal calls
        calls += 1
        if calls > after:
            raise Crash
        return real(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(operations, "replay", crashing)
        with pytest.raises(Crash):
            replays.go_on(batch.id)
    batch.refresh_from_db()
    assert batch.replayed == len(replayed()) == after // 4 * 4, "whole chunks"
    assert go_on(batch).state == "done"
    assert batch.replayed == 10
    assert len({job.replay_of_id for job in replayed()}) == len(replayed()) == 10


@pytest.mark.django_db
def test_a_run_that_has_lasted_long_enough_goes_on_later() -> None:
    letters(5)
    batch = replays.replay_many(EMAIL, actor=ANN, canary=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replays, "CHUNK", 2)
        with pytest.raises(RetryLater):
            replays.go_on(batch.id, budget=timedelta(0))
        batch.refresh_from_db()
        assert (batch.state, batch.replayed) == ("running", 2)
    assert go_on(batch).replayed == 5


def test_two_that_carry_the_same_batch_on_replay_each_letter_once(live: Live) -> None:
    letters(60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replays, "CHUNK", 7)
        batch = replays.replay_many(EMAIL, actor=ANN, canary=False)
        at_once(*[lambda: replays.go_on(batch.id)] * 3)
    batch.refresh_from_db()
    assert (batch.state, batch.replayed) == ("done", 60)
    assert len({job.replay_of_id for job in replayed()}) == len(replayed()) == 60


def test_two_batches_about_the_same_letters_replay_each_once(live: Live) -> None:
    letters(60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replays, "CHUNK", 7)
        batches = [replays.replay_many(EMAIL, actor=ANN, canary=False) for _ in range(2)]
        at_once(*[lambda batch=batch: replays.go_on(batch.id) for batch in batches])
    assert len({job.replay_of_id for job in replayed()}) == len(replayed()) == 60
    rows = ReplayBatch.objects.order_by("id")
    assert sum(row.replayed for row in rows) == 60
    assert {row.state for row in rows} == {"done"}


@pytest.mark.processes
def test_on_real_workers_the_rest_follows_the_first_and_a_bad_first_keeps_them_back(
    live: Live,
) -> None:
    for n in range(30):
        probe.using(queue="email").enqueue(label=f"good {n}", fail_permanently=True)
        probe.using(queue="pdf").enqueue(label=f"bad {n}", fail_permanently=True)
    live.worker("email", "pdf", "maintenance", JOBS_BACKOFF_SCALE="0.01")
    wait_until(lambda: count_dead_letters() == 60)
    with transaction.atomic():  # the cause is mended, for one queue
        Job.objects.filter(queue="email").update(payload={"label": "mended"})
    good = replays.replay_many(EMAIL, actor=ANN)
    bad = replays.replay_many(DeadLetterFilter(queue="pdf"), actor=ANN)
    ended = ReplayBatch.objects.filter(finished_at__isnull=False)
    wait_until(lambda: ended.count() == 2, within=60)
    good.refresh_from_db()
    bad.refresh_from_db()
    assert (good.state, good.replayed) == ("done", 30)
    assert (bad.state, bad.replayed) == ("stopped", 1)
    assert "ProbeFailed" in bad.note or "PermanentError" in bad.note
    done = Job.objects.filter(replay_of__isnull=False, queue="email", state="succeeded")
    wait_until(lambda: done.count() == 30)
    assert count_dead_letters(DeadLetterFilter(queue="pdf")) == 30, (
        "29, and the one that died again"
    )
    assert good.job_id is not None
    assert Job.objects.get(id=good.job_id).failures == 0
    wait_until(lambda: not Job.objects.filter(finished_at__isnull=True).exists())
    assert check_audit().findings == []
