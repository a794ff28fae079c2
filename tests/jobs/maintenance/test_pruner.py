"""The pruner deletes what is past its retention, nothing that is needed, and blocks nobody."""

import os
import random
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, connections, transaction
from django_celery_results.models import TaskResult

from jobs import transitions
from jobs.conf import Retention, jobs_settings
from jobs.dry_run import Told, try_out
from jobs.errors import DayToCome, RetryLater
from jobs.maintenance import batches, finished_jobs, pruner
from jobs.models import (
    Attempt,
    AuditEntry,
    DeadLetter,
    Effect,
    Group,
    Job,
    ProbeRun,
    RateCount,
    ReplayBatch,
    Worker,
    Workflow,
)
from jobs.records import Settlement
from jobs.states import FINAL, Move, State
from jobs.tasks import probe, prune
from jobs.testing import run_jobs
from tests.conftest import Live, query, wait_until
from tests.jobs.records import (
    ago,
    make_attempt,
    make_dead_letter,
    make_job,
    make_worker,
    now,
)
from tests.jobs.stages import at_once

OLD = {"finished_at": ago(days=8)}


def kept(*jobs: Job) -> list[bool]:
    """Say of each job whether it is still there."""
    there = set(Job.objects.values_list("id", flat=True))
    return [job.id in there for job in jobs]


def decide(letter: DeadLetter, decision: str = "discarded", **ago_: float) -> DeadLetter:
    """Have a person decide about the letter, so long ago."""
    letter.decision, letter.decided_at = decision, ago(**(ago_ or {"days": 8}))
    letter.save()
    return letter


def beginning_of(day: date) -> datetime:
    """Return when the day began in UTC."""
    return datetime.combine(day, time.min, UTC)


def make_workflow(days: float) -> Workflow:
    """Insert a workflow, and the group in it, so many days old."""
    workflow = Workflow.objects.create(name="a | b", total=2, created_at=ago(days=days))
    Group.objects.create(
        id=uuid.uuid4(), root_id=workflow.id, pending=0, total=2, body={}, created_at=ago(days=days)
    )
    return workflow


# --- what is past its retention ------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("state", [State.SUCCEEDED, State.CANCELLED])
def test_a_finished_job_goes_with_all_its_rows_when_its_time_is_over(state: State) -> None:
    old, young = make_job(state, **OLD), make_job(state, finished_at=ago(days=6))
    for job in (old, young):
        make_attempt(job, "succeeded")
        TaskResult.objects.create(task_id=str(job.id))
    assert pruner.prune() == {f"{state} jobs": 1}
    assert kept(old, young) == [False, True]
    assert Attempt.objects.get().job_id == young.id
    assert TaskResult.objects.get().task_id == str(young.id)


@pytest.mark.django_db
@pytest.mark.parametrize("state", [state for state in State if state not in FINAL])
def test_an_unfinished_job_stays_however_old_it_is(state: State) -> None:
    job = make_job(state, enqueued_at=ago(days=400), scheduled_at=ago(days=400))
    assert pruner.prune() == {}
    assert kept(job) == [True]


@pytest.mark.django_db
def test_a_dead_job_stays_until_a_week_after_somebody_decided() -> None:
    pending = make_dead_letter(finished_at=ago(days=400))
    fresh = decide(make_dead_letter(finished_at=ago(days=400)), days=6)
    done = decide(make_dead_letter(finished_at=ago(days=400)), days=8)
    assert pruner.prune() == {"dead jobs": 1}
    assert kept(pending.job, fresh.job, done.job) == [True, True, False]
    assert set(DeadLetter.objects.all()) == {pending, fresh}


@pytest.mark.django_db
def test_each_state_has_its_own_time_and_a_queue_may_have_another(
    conf: Callable[..., None],
) -> None:
    own = Retention(
        succeeded=timedelta(days=30), cancelled=timedelta(days=1), dead=timedelta(days=7)
    )
    conf(KEEP_SUCCEEDED=timedelta(days=1), KEEP_CANCELLED=timedelta(days=3), RETENTION={"pdf": own})
    two_days = {"finished_at": ago(days=2)}
    jobs = [
        make_job(state, queue=queue, **two_days)
        for state in (State.SUCCEEDED, State.CANCELLED)
        for queue in ("email", "pdf", "no longer declared")
    ]
    pruner.prune()
    assert kept(*jobs) == [False, True, False, True, False, True]


@pytest.mark.django_db
def test_what_was_deleted_is_in_the_audit_log() -> None:
    make_job(State.SUCCEEDED, **OLD)
    pruner.prune()
    entry = AuditEntry.objects.get(action="jobs.pruned")
    assert (entry.subject_id, entry.detail) == ("jobs.prune", {"succeeded jobs": 1})
    assert pruner.prune() == {}
    assert AuditEntry.objects.filter(action="jobs.pruned").count() == 1


@pytest.mark.django_db
def test_the_entries_of_a_job_outlive_it() -> None:
    job = probe.enqueue(label="x")
    run_jobs()
    Job.objects.filter(id=job.id).update(**OLD)
    pruner.prune()
    assert AuditEntry.objects.filter(subject_id=str(job.id)).count() == 3


# --- what is still needed ------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    "needed_by", [State.SCHEDULED, State.AVAILABLE, State.QUEUED, State.RUNNING, State.DEAD]
)
def test_a_workflow_stays_as_a_whole_until_its_last_part_is_past_its_retention(
    needed_by: State,
) -> None:
    root = make_job(State.SUCCEEDED, **OLD)
    part = make_job(State.SUCCEEDED, root_id=root.id, parent_id=root.id, **OLD)
    if needed_by == State.DEAD:
        last = make_dead_letter(root_id=root.id, finished_at=ago(days=8)).job
    else:
        last = make_job(needed_by, root_id=root.id)
    assert pruner.prune() == {}
    Job.objects.filter(id=last.id).update(
        state=State.SUCCEEDED, lease=None, finished_at=ago(days=1)
    )
    DeadLetter.objects.all().delete()
    assert pruner.prune() == {}
    Job.objects.filter(id=last.id).update(**OLD)
    assert pruner.prune() == {"succeeded jobs": 3}
    assert kept(root, part, last) == [False, False, False]


@pytest.mark.django_db
def test_a_workflow_that_waits_for_its_root_stays() -> None:
    root = make_job(State.RUNNING)
    part = make_job(State.SUCCEEDED, root_id=root.id, **OLD)
    assert pruner.prune() == {}
    assert kept(part) == [True]


@pytest.mark.django_db
def test_a_dead_job_stays_while_its_replay_is_unfinished_or_dead_without_a_decision() -> None:
    first = decide(make_dead_letter(), "replayed")
    again = make_dead_letter(replay_of=first.job)
    assert pruner.prune() == {}
    decide(again, "replayed", days=1)
    third = make_job(State.QUEUED, replay_of=again.job)
    assert pruner.prune() == {"dead jobs": 1}, "the first: its replay is settled"
    decide(again, "replayed", days=8)
    assert pruner.prune() == {}
    Job.objects.filter(id=third.id).update(state=State.SUCCEEDED, finished_at=ago(days=1))
    assert pruner.prune() == {"dead jobs": 1}


@pytest.mark.django_db
def test_the_canary_of_a_replay_stays_until_the_replay_has_ended() -> None:
    canary = make_job(State.SUCCEEDED, **OLD)
    batch = ReplayBatch.objects.create(canary=canary, created_by="user:ann")
    assert pruner.prune() == {}
    ReplayBatch.objects.filter(id=batch.id).update(state="done", finished_at=ago(days=1))
    assert pruner.prune() == {"succeeded jobs": 1}


@pytest.mark.django_db
def test_an_effect_is_remembered_as_long_as_a_retry_or_a_replay_might_ask_for_it() -> None:
    def effect(key: str, job_id: uuid.UUID, days: float, state: str = "done") -> None:
        Effect.objects.create(
            key=key, job_id=job_id, state=state, started_at=ago(days=days),
            finished_at=ago(days=days) if state == "done" else None,
        )  # fmt: skip

    pending = make_dead_letter(finished_at=ago(days=50)).job
    gone = uuid.uuid4()
    effect("of a dead job", pending.id, 40)
    effect("of a pruned job", gone, 40)
    effect("young", gone, 29)
    effect("begun, never finished", gone, 400, "started")
    assert pruner.prune() == {"effects": 1}
    assert set(Effect.objects.values_list("key", flat=True)) == {
        "of a dead job",
        "young",
        "begun, never finished",
    }


# --- what else is left behind --------------------------------------------------------------------


@pytest.mark.django_db
def test_what_the_engine_leaves_behind_goes_too() -> None:
    for days in (8, 6):
        make_workflow(days)
        make_worker("email", stopped_at=ago(days=days))
        make_worker("email", silent=days * 86_400)
        ProbeRun.objects.create(
            label="x", job_id=uuid.uuid4(), attempt=1, pid=1,
            started_at=ago(days=days), finished_at=ago(days=days),
        )  # fmt: skip
        ReplayBatch.objects.create(created_by="x", state="done", finished_at=ago(days=days * 13))
    for seconds in (1, -60):
        RateCount.objects.create(
            gate="email", slice_at=ago(seconds=seconds), passed=3, expires_at=ago(seconds=seconds)
        )
    assert pruner.prune() == {
        "groups": 1,
        "workflows": 1,
        "rate counts": 1,
        "workers": 2,
        "probe runs": 1,
        "replays": 1,
    }
    assert [Group.objects.count(), Worker.objects.count(), RateCount.objects.count()] == [1, 2, 1]


@pytest.mark.django_db
def test_a_workflow_stays_with_its_jobs_and_a_worker_with_its_own() -> None:
    make_job(State.QUEUED, root_id=make_workflow(8).id)
    worker = make_worker("email", silent=8 * 86_400)
    make_job(State.RUNNING, worker=worker.id)
    assert pruner.prune() == {}


# --- for a past day --------------------------------------------------------------------------------


@pytest.mark.django_db
def test_for_a_past_day_goes_what_was_past_its_retention_when_it_began() -> None:
    day = ago(days=10).date()
    began = beginning_of(day)
    week, second = timedelta(days=7), timedelta(seconds=1)
    past, within = began - week - second, began - week + second
    jobs = [
        make_job(state, finished_at=at)
        for state in (State.SUCCEEDED, State.CANCELLED)
        for at in (past, within)
    ]
    for at in (past, within):
        letter = make_dead_letter(finished_at=ago(days=50))
        DeadLetter.objects.filter(pk=letter.pk).update(decision="discarded", decided_at=at)
        ProbeRun.objects.create(
            label="x", job_id=uuid.uuid4(), attempt=1, pid=1, started_at=at, finished_at=at
        )
        make_worker("email", stopped_at=at)
        RateCount.objects.create(gate="x", slice_at=at, passed=1, expires_at=at + week)
    told = {
        "succeeded jobs": 1, "cancelled jobs": 1, "dead jobs": 1, "probe runs": 1, "workers": 1,
        "rate counts": 1,
    }  # fmt: skip
    assert pruner.preview(as_of=day) == told
    assert pruner.prune(as_of=day) == told
    assert kept(*jobs) == [False, True, False, True]
    assert pruner.prune(as_of=day) == {}
    assert pruner.prune() == told, "the others were within their retention then, and are not now"


@pytest.mark.django_db
def test_what_was_still_needed_on_the_past_day_stays() -> None:
    day = ago(days=20).date()
    since: dict[str, Any] = {"finished_at": beginning_of(day) + timedelta(hours=1)}
    old: dict[str, Any] = {"finished_at": ago(days=40)}
    root = make_job(State.SUCCEEDED, **old)
    make_job(State.SUCCEEDED, root_id=root.id, **since)
    replayed = decide(make_dead_letter(**old), "replayed", days=39).job
    make_job(State.SUCCEEDED, replay_of=replayed, **since)
    again = decide(make_dead_letter(**old), "replayed", days=39).job
    decide(make_dead_letter(replay_of=again, **old), "discarded", days=19)
    canary = make_job(State.SUCCEEDED, **old)
    ReplayBatch.objects.create(canary=canary, created_by="x", state="done", **since)
    assert pruner.preview(as_of=day) == pruner.prune(as_of=day) == {}
    assert pruner.prune() == {"succeeded jobs": 4, "dead jobs": 3}


@pytest.mark.django_db
@pytest.mark.parametrize("act", [pruner.prune, pruner.preview])
def test_none_and_today_are_now(act: Callable[..., dict[str, int]]) -> None:
    day = now().date()
    make_job(State.SUCCEEDED, finished_at=ago(days=7, seconds=1))
    make_job(State.SUCCEEDED, finished_at=ago(days=7, seconds=-60))
    with transaction.atomic():
        found = act()
        transaction.set_rollback(True)
    assert found == act(as_of=day) == {"succeeded jobs": 1}


@pytest.mark.django_db
@pytest.mark.parametrize("act", [pruner.prune, pruner.preview])
def test_a_day_to_come_is_refused_and_deletes_nothing(act: Callable[..., dict[str, int]]) -> None:
    make_job(State.SUCCEEDED, finished_at=ago(days=1))
    for day in (ago(days=-2).date(), date.max):
        with pytest.raises(DayToCome, match=rf"^as_of: {day} is still to come, it is 20"):
            act(as_of=day)
    assert Job.objects.count() == 1


@pytest.mark.django_db
def test_the_first_day_of_all_is_a_past_day() -> None:
    make_job(State.SUCCEEDED, finished_at=ago(days=4000))
    assert pruner.prune(as_of=date.min) == pruner.preview(as_of=date.min) == {}


# --- what would go --------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_preview_tells_each_kind_with_its_number_and_the_instant_before_which_it_is() -> None:
    for _ in range(3):
        make_job(State.SUCCEEDED, **OLD)
    make_worker("email", stopped_at=ago(days=40))
    day = ago(days=0.1).date() - timedelta(days=1)
    itself, *told = try_out(prune, {"as_of": day})
    assert itself.detail == {"as_of": day.isoformat(), "result": {"workers": 1}}
    week_before = day - timedelta(days=7)
    assert told == [Told(what="workers", count=1, detail={"before": f"{week_before} 00:00:00 UTC"})]
    itself, jobs, _ = try_out(prune, {})
    assert itself.detail["result"] == {"succeeded jobs": 3, "workers": 1}
    assert (jobs.what, jobs.count) == ("succeeded jobs", 3)
    assert jobs.detail["before"].startswith(f"{ago(days=7).date()} ")


@pytest.mark.django_db
def test_what_goes_with_its_job_is_counted_with_it() -> None:
    old = {"finished_at": ago(days=40)}
    job, other = make_job(State.SUCCEEDED, **old), make_job(State.SUCCEEDED, finished_at=ago())
    for one in (job, other):
        Effect.objects.create(key=str(one.id), job_id=one.id, state="done", **old)
    root = make_job(State.SUCCEEDED, id=make_workflow(40).id, **old)
    Job.objects.filter(id=root.id).update(root_id=root.id)
    counts = {"succeeded jobs": 2, "effects": 1, "groups": 1, "workflows": 1}
    assert pruner.preview() == counts
    assert pruner.prune() == counts


_QUEUES = ("email", "pdf", "reports")
_OWN = Retention(succeeded=timedelta(days=2), cancelled=timedelta(days=9), dead=timedelta(days=4))


def _make_any(chance: random.Random) -> None:
    """Insert jobs and leftovers of any age, some of them held by others."""
    roots = [make_workflow(chance.choice([1, 8, 20])).id for _ in range(3)]
    jobs: list[Job] = []
    for _ in range(25):
        days = chance.choice([0.5, 1, 3, 5, 8, 12, 20])
        state = chance.choice([*FINAL, *FINAL, *FINAL, *FINAL, State.QUEUED, State.RUNNING])
        fields: dict[str, Any] = {"queue": chance.choice(_QUEUES)}
        fields["root_id"] = chance.choice([None, None, *roots, *(job.id for job in jobs[-3:])])
        if jobs and chance.random() < 0.3:
            fields["replay_of"] = chance.choice(jobs)
        if state in FINAL:
            fields["finished_at"] = ago(days=days)
        if state == State.DEAD:
            letter = make_dead_letter(**fields)
            if chance.random() < 0.8:
                decide(letter, days=days * chance.random())
            jobs.append(letter.job)
        else:
            jobs.append(make_job(state, **fields))
        job_id = chance.choice([jobs[-1].id, uuid.uuid4()])
        Effect.objects.create(
            key=str(uuid.uuid4()), job_id=job_id, state="done", finished_at=ago(days=days * 4)
        )
        make_worker("email", stopped_at=ago(days=days))
    for job in chance.sample(jobs, 3):
        ended = chance.choice([None, ago(days=1), ago(days=12)])
        ReplayBatch.objects.create(canary=job, created_by="x", finished_at=ended)


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("batch", [2, 2_000])
def test_what_a_preview_counts_is_what_the_run_deletes(
    seed: int, batch: int, conf: Callable[..., None]
) -> None:
    conf(RETENTION={"pdf": _OWN})
    chance = random.Random(seed)
    _make_any(chance)
    for day in (ago(days=chance.choice([2, 5, 9])).date(), None):
        told = pruner.preview(as_of=day)
        assert pruner.prune(as_of=day, batch=batch) == told
        told = pruner.preview(as_of=day)
        assert pruner.prune(as_of=day, batch=batch) == told, "what the last kind held is free"


# --- in batches, for a while ---------------------------------------------------------------------


@pytest.mark.django_db
def test_batches_go_on_behind_what_is_kept_and_end() -> None:
    instant = ago(days=8)
    root = make_job(State.RUNNING)
    needed = [make_job(State.SUCCEEDED, root_id=root.id, finished_at=instant) for _ in range(5)]
    others = [make_job(State.SUCCEEDED, finished_at=instant) for _ in range(5)]
    assert pruner.prune(batch=2) == {"succeeded jobs": 5}
    assert kept(*needed, *others) == [True] * 5 + [False] * 5


@pytest.mark.django_db
def test_a_run_that_has_lasted_long_enough_asks_to_be_continued_and_keeps_what_it_did() -> None:
    for _ in range(5):
        make_job(State.SUCCEEDED, **OLD)
    for left in (3, 1):
        with pytest.raises(RetryLater) as later:
            pruner.prune(batch=2, budget=timedelta(0))
        assert later.value.after == batches.PAUSE
        assert Job.objects.count() == left
    assert AuditEntry.objects.filter(action="jobs.pruned").count() == 2


@pytest.mark.django_db
def test_the_task_goes_on_by_itself_and_tells_its_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int, str]] = []
    days: list[date | None] = []
    real = pruner.prune

    def briefly(*, as_of: date | None) -> dict[str, int]:
        days.append(as_of)
        budget = timedelta(0) if Job.objects.count() > 3 else batches.BUDGET
        return real(as_of=as_of, batch=2, budget=budget)

    def remember(self: Any, done: int, total: int, note: str = "") -> None:
        told.append((done, total, note))

    monkeypatch.setattr("jobs.running.RunningJob.progress", remember)
    monkeypatch.setattr(pruner, "prune", briefly)
    for _ in range(5):
        make_job(State.SUCCEEDED, finished_at=ago(days=12))
    job = prune.enqueue(as_of=ago(days=3).date())
    run_jobs(retries=True)
    row = Job.objects.get()
    assert (row.id, row.state, row.failures, row.attempt) == (job.id, "succeeded", 0, 3)
    assert (2, 5, "succeeded jobs") in told
    assert days == [ago(days=3).date()] * 3


# --- blocking nobody -----------------------------------------------------------------------------


def many_finished(count: int, *, days: float = 8) -> None:
    """Insert jobs with an attempt and a result each, as the engine leaves them."""
    query(
        """
        WITH made AS (
            INSERT INTO jobs_job (id, task, queue, state, priority, payload, tenant, correlation_id,
                enqueued_by, attempt, failures, crashes, max_attempts, timeout, seat, unique_key,
                gate, parked, dispatch, error_type, error, finished_at)
            SELECT gen_random_uuid(), 'jobs.probe', 'email', 'succeeded', 2, '{}', '', '', '', 1, 0,
                   0, 3, 60, 0, '', '', false, 1, '', '',
                   now() - make_interval(secs => %s * 86400 + n * 0.001)
            FROM generate_series(1, %s) AS n RETURNING id, finished_at
        ), attempts AS (
            INSERT INTO jobs_attempt (job_id, number, outcome, started_at, finished_at, error_type,
                                      error, traceback)
            SELECT id, 1, 'succeeded', finished_at, finished_at, '', '', '' FROM made
        )
        INSERT INTO django_celery_results_taskresult
            (task_id, status, content_type, content_encoding, result, date_created, date_done)
        SELECT id::text, 'SUCCESS', 'application/json', 'utf-8', 'null', finished_at, finished_at
        FROM made RETURNING 1
        """,
        days,
        count,
    )


@pytest.fixture
def another(live: Live) -> Iterator[Any]:
    """A second connection to the test's database, which waits for no lock."""
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SET lock_timeout = '100ms'")
    yield other
    other.close()


@contextmanager
def in_another(other: Any) -> Iterator[None]:
    """Run the block on the other connection."""
    own = connections["default"]
    connections["default"] = other
    try:
        yield
    finally:
        connections["default"] = own


def test_while_a_batch_is_deleted_others_enqueue_claim_and_settle_without_waiting(
    live: Live, another: Any
) -> None:
    many_finished(300)
    waiting = probe.enqueue(label="waiting")
    ids = [row[0] for row in query("SELECT id FROM jobs_job WHERE state = 'succeeded'")]
    with batches.bounded(), connection.cursor() as cursor:
        for statement in finished_jobs._DELETE:
            cursor.execute(statement, {"ids": ids})
        # The batch has deleted its rows and not committed: now the others come.
        with in_another(another):
            new = probe.enqueue(label="new")
            claimed = transitions.claim([waiting.id, new.id], worker=None)
            assert {job.id for job in claimed} == {waiting.id, new.id}
            ended = [Settlement(id=job.id, lease=job.lease, move=Move.SUCCEEDED) for job in claimed]
            assert len(transitions.settle(ended)) == 2
            assert Job.objects.filter(state="succeeded").count() == 302, "it is not committed"
        cursor.execute(
            "SELECT DISTINCT mode FROM pg_locks WHERE pid = pg_backend_pid()"
            " AND relation = ANY(ARRAY['jobs_job', 'jobs_attempt', 'jobs_deadletter']::regclass[])"
        )
        modes = {row[0] for row in cursor.fetchall()}
        assert modes <= {"AccessShareLock", "RowShareLock", "RowExclusiveLock"}
    assert Job.objects.count() == 2


def test_what_somebody_has_locked_is_left_for_the_next_run(live: Live, another: Any) -> None:
    many_finished(10)
    (locked,) = query("SELECT id FROM jobs_job LIMIT 1")[0]
    another.set_autocommit(False)
    with another.cursor() as cursor:
        cursor.execute("SELECT 1 FROM jobs_job WHERE id = %s FOR UPDATE", [locked])
        assert pruner.prune(batch=3) == {"succeeded jobs": 9}
        another.rollback()
    assert pruner.prune() == {"succeeded jobs": 1}


def test_a_batch_gives_up_rather_than_wait_for_a_lock_and_leaves_everything(
    live: Live, another: Any
) -> None:
    many_finished(10)
    another.set_autocommit(False)
    with another.cursor() as cursor:
        cursor.execute("SELECT 1 FROM jobs_attempt FOR UPDATE")
        with pytest.raises(OperationalError, match="lock timeout"):
            pruner.prune()
        another.rollback()
    assert Job.objects.count() == 10
    assert pruner.prune() == {"succeeded jobs": 10}


def test_two_runs_at_once_share_the_work(live: Live) -> None:
    many_finished(2_000)
    done = at_once(*[lambda: pruner.prune(batch=100)] * 2)
    assert sum(counts.get("succeeded jobs", 0) for counts in done) == 2_000
    assert query("SELECT count(*) FROM jobs_attempt") == [(0,)]


def test_a_run_that_is_cut_off_leaves_whole_batches(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    many_finished(100)

    class Killed(BaseException):
        pass

    def killed(self: Any, done: int, total: int, note: str) -> None:
        if done >= 40:
            raise Killed

    monkeypatch.setattr(batches.Shift, "go_on", killed)
    with pytest.raises(Killed):
        pruner.prune(batch=20)
    assert query("SELECT count(*) FROM jobs_job") == query("SELECT count(*) FROM jobs_attempt")
    assert Job.objects.count() == 60


@pytest.mark.processes
def test_a_pruner_whose_process_is_killed_is_continued_by_another_to_the_end(live: Live) -> None:
    many_finished(30_000)
    kept_jobs = [make_job(State.SUCCEEDED, finished_at=ago(days=1)) for _ in range(3)]
    live.worker("maintenance", JOBS_BACKOFF_SCALE="0.01")
    job = prune.enqueue()
    running = Job.objects.filter(id=job.id, state=State.RUNNING, pid__isnull=False)
    wait_until(lambda: running.exists() and Job.objects.filter(state="succeeded").count() < 30_003)
    os.kill(running.values_list("pid", flat=True)[0] or 0, signal.SIGKILL)
    new = probe.using(queue="maintenance").enqueue(label="meanwhile")
    wait_until(lambda: Job.objects.get(id=job.id).state == State.SUCCEEDED, within=60)
    wait_until(lambda: Job.objects.get(id=new.id).state == State.SUCCEEDED)
    job.refresh_from_db()
    assert (job.crashes, job.failures) == (1, 0)
    assert set(Job.objects.values_list("id", flat=True)) == {
        job.id, new.id, *(kept_job.id for kept_job in kept_jobs)
    }  # fmt: skip
    assert query("SELECT count(*) FROM jobs_attempt WHERE outcome = 'crashed'") == [(1,)]


@pytest.mark.parametrize("days_ago", [0, 2])
def test_the_oldest_are_found_by_an_index_not_by_reading_the_table(
    live: Live, days_ago: int
) -> None:
    many_finished(3_000, days=12)
    many_finished(20_000, days=1)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE jobs_job")
    kind = finished_jobs.Kind(
        state=State.SUCCEEDED, keep=jobs_settings().KEEP_SUCCEEDED, queues=(), named=False
    )
    values = kind.values(ago(days=days_ago) if days_ago else None)
    values |= {"at": ago(days=400), "id": uuid.UUID(int=0), "limit": 500}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {finished_jobs._FINISHED_BATCH}", values
        )
        ((plan,),) = cursor.fetchall()
    nodes = list(_nodes(plan[0]["Plan"]))
    assert [node["Index Name"] for node in nodes if "Index Name" in node] == ["jobs_job_finished"]
    assert not [node for node in nodes if node["Node Type"] == "Seq Scan"]
    (scan,) = [node for node in nodes if "Index Name" in node]
    assert scan["Actual Rows"] <= 600, "it stops when the batch is full"


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


# --- rests ---------------------------------------------------------------------------------------


def test_a_slow_batch_is_followed_by_a_rest_as_long_as_it_took(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter([0.0, 0.1, 0.1, 2.1, 4.1, 44.1, 49.1])
    rests: list[float] = []
    monkeypatch.setattr("jobs.maintenance.batches.time.monotonic", lambda: next(clock))
    monkeypatch.setattr("jobs.maintenance.batches.time.sleep", rests.append)
    shift = batches.Shift(timedelta(minutes=5))
    for _ in range(3):
        shift.go_on(1, 1, "rows")
    assert rests == [2.0, 5.0], "none after the quick one, and five seconds at most"
