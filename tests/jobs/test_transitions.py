"""The moves themselves: who wins, what commits together, and what a late writer cannot do."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.db.models import F
from django_celery_results.models import TaskResult

from jobs import operations, transitions
from jobs.context import job_context
from jobs.models import Attempt, AuditEntry, DeadLetter, Job, Priority
from jobs.records import Settlement
from jobs.states import Move, State
from jobs.tasks import probe
from tests.conftest import Live, query, wait_until
from tests.jobs.stages import (
    QUEUE,
    actions,
    and_undo,
    at_once,
    claim,
    everything_about,
    let_time_pass,
    put_into,
    settle,
)


def is_claimed(job_id: UUID) -> bool:
    return bool(transitions.claim([job_id], worker=None))


def job_of(job_id: UUID) -> Job:
    return Job.objects.get(id=job_id)


# --- claiming ------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_claim_gives_the_job_to_this_process_under_a_lease_of_the_database_s_clock() -> None:
    worker = uuid4()
    job_id = probe.using(queue="email", tenant="acme").enqueue(label="x").id
    (claimed,) = transitions.claim([job_id], worker=worker)
    job = job_of(job_id)
    assert (job.state, job.attempt, job.lease, job.worker) == ("running", 1, claimed.lease, worker)
    assert job.started_at is not None
    assert job.lease_until is not None
    # The hard time limit of its queue, and the margin beyond it.
    assert job.lease_until - job.started_at == pytest.approx(
        timedelta(seconds=75), abs=timedelta(seconds=0.1)
    )
    assert (claimed.task, claimed.tenant, claimed.payload["label"]) == ("jobs.probe", "acme", "x")
    assert 0 <= claimed.waited < 60


@pytest.mark.django_db
def test_a_job_is_claimed_once_only() -> None:
    job_id = probe.enqueue(label="x").id
    assert len(transitions.claim([job_id, job_id], worker=None)) == 1
    assert transitions.claim([job_id], worker=None) == []
    assert job_of(job_id).attempt == 1


@pytest.mark.django_db
def test_a_job_whose_time_has_not_come_is_not_claimed_whatever_message_arrives() -> None:
    job_id = probe.using(delay=timedelta(seconds=5)).enqueue(label="x").id
    assert transitions.claim([job_id], worker=None) == []
    assert job_of(job_id).state == "scheduled"


@pytest.mark.django_db
def test_a_job_of_a_paused_queue_is_not_claimed_and_that_of_another_queue_is() -> None:
    operations.pause_queue("email", actor="user:ann")
    held = probe.using(queue="email").enqueue(label="held").id
    free = probe.using(queue="pdf").enqueue(label="free").id
    assert [job.id for job in transitions.claim([held, free], worker=None)] == [free]
    operations.resume_queue("email", actor="user:ann")
    assert [job.id for job in transitions.claim([held], worker=None)] == [held]


@pytest.mark.django_db
def test_an_unknown_id_is_claimed_by_nobody() -> None:
    assert transitions.claim([uuid4()], worker=None) == []
    assert transitions.claim([], worker=None) == []


@pytest.mark.django_db
def test_a_list_of_jobs_is_claimed_in_one_call_the_most_urgent_first() -> None:
    priorities = (Priority.LOW, Priority.CRITICAL, Priority.NORMAL, Priority.HIGH)
    ids = [probe.using(priority=priority).enqueue(label="x").id for priority in priorities]
    claimed = transitions.claim(ids, worker=None)
    assert [job.id for job in claimed] == [ids[1], ids[3], ids[2], ids[0]]
    (lease,) = {job.lease for job in claimed}
    assert transitions.claimed_with(lease, worker=None) == claimed
    assert transitions.claimed_with(uuid4(), worker=None) == []
    assert transitions.claimed_with(lease, worker=uuid4()) == []


@pytest.mark.processes
def test_of_twenty_claimers_at_the_same_moment_exactly_one_wins(live: Live) -> None:
    jobs = [probe.enqueue(label="wanted").id for _ in range(5)]
    for job_id in jobs:
        won = at_once(*[partial(transitions.claim, [job_id], worker=None)] * 20)
        (winner,) = [claimed for claims in won for claimed in claims]
        assert job_of(job_id).lease == winner.lease
        assert job_of(job_id).attempt == 1
        assert actions(job_id) == ["job.enqueued", "job.claimed"]


@pytest.mark.processes
def test_claimers_of_overlapping_lists_share_the_jobs_without_a_deadlock(live: Live) -> None:
    ids = [probe.enqueue(label="shared").id for _ in range(40)]
    orders = [ids, ids[::-1], ids[20:] + ids[:20], ids[::2] + ids[1::2]]
    won = at_once(*[partial(transitions.claim, order, worker=None) for order in orders])
    assert sorted(claimed.id for claims in won for claimed in claims) == sorted(ids)
    assert set(Job.objects.values_list("attempt", flat=True)) == {1}


@pytest.mark.processes
def test_a_job_is_either_cancelled_or_claimed_never_both(live: Live) -> None:
    for _ in range(10):
        job_id = probe.enqueue(label="wanted").id
        cancelled, claimed = at_once(
            partial(transitions.cancel, job_id, actor="user:ann"),
            partial(is_claimed, job_id),
        )
        assert cancelled is not claimed
        assert job_of(job_id).state == ("cancelled" if cancelled else "running")


# --- settling, and the zombie --------------------------------------------------------------------

SETTLING = [
    Move.SUCCEEDED,
    Move.RETRIED,
    Move.SNOOZED,
    Move.DISCARDED,
    Move.DIED,
    Move.RELEASED,
    Move.CRASHED,
    Move.CANCELLED,
]


@pytest.mark.django_db
@pytest.mark.parametrize("move", SETTLING)
def test_a_zombie_s_settlement_writes_nothing_while_another_attempt_runs(move: Move) -> None:
    zombie = claim(probe.enqueue(label="x").id)
    assert settle(zombie, Move.RELEASED)
    heir = claim(zombie.id)
    before = everything_about(zombie.id)
    assert not settle(zombie, move, result="of the zombie", error="of the zombie")
    assert everything_about(zombie.id) == before
    assert settle(heir, Move.SUCCEEDED, result="of the heir")
    assert job_of(zombie.id).result == "of the heir"


@pytest.mark.django_db
@pytest.mark.parametrize("move", SETTLING)
def test_a_settlement_counts_once(move: Move) -> None:
    claimed = claim(probe.enqueue(label="x").id)
    assert settle(claimed, move)
    before = everything_about(claimed.id)
    assert not settle(claimed, move)
    assert everything_about(claimed.id) == before


@pytest.mark.django_db
def test_of_a_list_of_settlements_those_that_lost_their_lease_are_left_out() -> None:
    mine, lost, other = (claim(probe.enqueue(label="x").id) for _ in range(3))
    settle(lost, Move.RELEASED)
    settled = transitions.settle(
        [
            Settlement(id=mine.id, lease=mine.lease, move=Move.SUCCEEDED, result={"n": 1}),
            Settlement(id=lost.id, lease=lost.lease, move=Move.SUCCEEDED),
            Settlement(id=other.id, lease=other.lease, move=Move.RETRIED, failures=1, delay=60),
        ]
    )
    assert settled == {mine.id, other.id}
    assert [job_of(job.id).state for job in (mine, lost, other)] == [
        "succeeded",
        "available",
        "scheduled",
    ]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "result", [None, 0, "", 'a "quoted" {text}, \\ and ☃', [1, None], {"n": {}}]
)
@pytest.mark.parametrize("times", [{}, {"began": 0.25, "ended": 0.5}])
def test_a_success_leaves_the_same_whether_others_that_failed_are_settled_with_it(
    result: Any, times: dict[str, Any]
) -> None:
    """Those that all succeeded are settled by a statement of their own."""

    def success() -> Settlement:
        with job_context(tenant="acme", correlation_id="c"):
            claimed = claim(probe.enqueue(label="x").id)
        return Settlement(
            id=claimed.id, lease=claimed.lease, move=Move.SUCCEEDED, result=result, **times
        )

    def left(done: Settlement) -> dict[str, Any]:
        rows = everything_about(done.id)
        del rows["audit"][0]  # who enqueued it
        (job,) = rows["job"]
        assert job["finished_at"] - job["started_at"] >= timedelta(0)
        own = {"id", "lease", "job_id", "task_id", "subject_id", "seat"}
        return {
            name: [
                {
                    key: isinstance(value, datetime) or value
                    for key, value in row.items()
                    if key not in own
                }
                for row in found
            ]
            for name, found in rows.items()
        }

    alone, among = success(), success()
    failed = claim(probe.enqueue(label="x").id)
    transitions.settle([alone])
    transitions.settle(
        [among, Settlement(id=failed.id, lease=failed.lease, move=Move.RETRIED, failures=1)]
    )
    assert left(alone) == left(among)
    if times:
        rows = query("SELECT count, run_seconds FROM jobs_rollup WHERE outcome = 'succeeded'")
        assert sum(count for count, _ in rows) == 2
        assert sum(run for _, run in rows) == pytest.approx(0.5)


@pytest.mark.django_db
def test_a_lease_of_another_job_settles_nothing() -> None:
    mine, other = (claim(probe.enqueue(label="x").id) for _ in range(2))
    stolen = Settlement(id=other.id, lease=mine.lease, move=Move.SUCCEEDED)
    assert transitions.settle([stolen]) == set()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("move", "outcome", "status"),
    [
        (Move.SUCCEEDED, "succeeded", "SUCCESS"),
        (Move.RETRIED, "failed", "RETRY"),
        (Move.SNOOZED, "snoozed", "RETRY"),
        (Move.DISCARDED, "discarded", "REVOKED"),
        (Move.DIED, "failed", "FAILURE"),
        (Move.RELEASED, "released", "RETRY"),
        (Move.CRASHED, "crashed", "RETRY"),
        (Move.CANCELLED, "cancelled", "REVOKED"),
    ],
)
def test_a_settlement_tells_the_attempt_and_celery_s_result_how_it_ended(
    move: Move, outcome: str, status: str
) -> None:
    claimed = claim(probe.enqueue(label="x").id)
    settle(claimed, move, traceback="Traceback …")
    attempt = Attempt.objects.get(job_id=claimed.id)
    assert (attempt.number, attempt.outcome, attempt.traceback) == (1, outcome, "Traceback …")
    assert attempt.started_at <= attempt.finished_at
    result = TaskResult.objects.get(task_id=str(claimed.id))
    assert (result.status, result.task_name) == (status, "jobs.probe")
    assert result.traceback == "Traceback …"


@pytest.mark.django_db
def test_only_a_death_leaves_a_dead_letter() -> None:
    for move in SETTLING:
        claimed = claim(probe.using(tenant="acme").enqueue(label="x").id)
        settle(claimed, move, error_type="ValueError", error="it broke")
        assert DeadLetter.objects.filter(job_id=claimed.id).exists() is (move == Move.DIED)
    letter = DeadLetter.objects.get()
    assert (letter.tenant, letter.task, letter.queue) == ("acme", "jobs.probe", QUEUE)
    assert (letter.error_type, letter.error, letter.decision) == ("ValueError", "it broke", "")


@pytest.mark.django_db
def test_failures_and_crashes_add_up_and_what_costs_nothing_adds_nothing() -> None:
    job_id = probe.enqueue(label="x").id
    for move, cost in (
        (Move.RETRIED, {"failures": 1}),
        (Move.SNOOZED, {}),
        (Move.CRASHED, {"crashes": 1}),
        (Move.RELEASED, {}),
        (Move.RETRIED, {"failures": 1}),
    ):
        settle(claim(job_id), move, **cost)
    job = job_of(job_id)
    assert (job.attempt, job.failures, job.crashes) == (5, 2, 1)


@pytest.mark.django_db
def test_a_job_is_scheduled_again_after_its_delay_or_at_its_time() -> None:
    delayed = claim(probe.enqueue(label="x").id)
    settle(delayed, Move.RETRIED, delay=90.5)
    ended = Attempt.objects.get(job_id=delayed.id).finished_at
    assert job_of(delayed.id).scheduled_at - ended == pytest.approx(
        timedelta(seconds=90.5), abs=timedelta(seconds=1)
    )
    dated = claim(probe.enqueue(label="x").id)
    at = datetime(2031, 3, 30, 2, 30, tzinfo=UTC)
    settle(dated, Move.SNOOZED, run_at=at.isoformat())
    assert job_of(dated.id).scheduled_at == at


@pytest.mark.django_db
@pytest.mark.parametrize("status", ["SUCCESS", "FAILURE", "REVOKED"])
def test_a_finished_result_of_celery_never_goes_back(status: str) -> None:
    claimed = claim(probe.enqueue(label="x").id)
    TaskResult.objects.create(task_id=str(claimed.id), status=status, result='"kept"')
    settle(claimed, Move.RETRIED, error_type="ValueError", error="late")
    result = TaskResult.objects.get(task_id=str(claimed.id))
    assert (result.status, result.result) == (status, '"kept"')


@pytest.mark.django_db
def test_an_unfinished_result_of_celery_goes_on_to_the_end() -> None:
    job_id = probe.enqueue(label="x").id
    settle(claim(job_id), Move.RETRIED, error_type="ValueError", error="first")
    assert TaskResult.objects.get(task_id=str(job_id)).status == "RETRY"
    settle(claim(job_id), Move.SUCCEEDED, result={"sent": 3})
    result = TaskResult.objects.get(task_id=str(job_id))
    assert (result.status, result.as_dict()["result"]) == ("SUCCESS", '{"sent": 3}')


@pytest.mark.processes
def test_of_a_settlement_and_the_lifeline_only_the_first_counts(live: Live) -> None:
    for _ in range(10):
        claimed = claim(probe.enqueue(label="x").id)
        done, taken = at_once(
            partial(settle, claimed, Move.SUCCEEDED), partial(settle, claimed, Move.CRASHED)
        )
        assert done is not taken
        assert job_of(claimed.id).state == ("succeeded" if done else "scheduled")
        assert Attempt.objects.filter(job_id=claimed.id).count() == 1


@pytest.mark.processes
def test_a_cancellation_that_the_settlement_had_to_wait_for_counts(live: Live) -> None:
    claimed = claim(probe.enqueue(label="x").id)
    asked = Event()

    def cancel() -> None:
        with transaction.atomic():
            operations.cancel(claimed.id, actor="user:ann")
            asked.set()
            # The settlement waits for our lock by now.
            wait_until(lambda: _waiting_for_a_lock() > 0, within=10)

    def retry() -> None:
        assert asked.wait(30)
        settle(claimed, Move.RETRIED)

    at_once(cancel, retry)
    assert job_of(claimed.id).state == "cancelled"
    assert actions(claimed.id)[-1] == "job.cancelled"


def _waiting_for_a_lock() -> int:
    ((count,),) = query(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND datname = current_database()"
    )
    return int(count)


# --- publishing ----------------------------------------------------------------------------------


@pytest.mark.django_db
def test_staging_publishes_what_is_due_and_counts_its_dispatches() -> None:
    due, later = put_into(State.AVAILABLE), put_into(State.SCHEDULED)
    assert transitions.stage(10) == [(due.id, "jobs.probe", QUEUE, 2)]
    assert (due.state, later.state) == (State.QUEUED, State.SCHEDULED)
    entry = AuditEntry.objects.get(subject_id=str(due.id), action="job.published")
    assert entry.detail == {"dispatch": 2, "was": "available"}
    let_time_pass(later.id)
    assert transitions.stage(10) == [(later.id, "jobs.probe", QUEUE, 1)]
    assert transitions.stage(10) == []


@pytest.mark.django_db
def test_while_the_broker_is_down_jobs_come_in_line_without_a_message() -> None:
    waiting, later = put_into(State.AVAILABLE), put_into(State.SCHEDULED)
    let_time_pass(later.id)
    assert transitions.stage(10, broker_is_up=False) == [(later.id, "jobs.probe", QUEUE, 0)]
    assert (waiting.state, later.state) == (State.AVAILABLE, State.AVAILABLE)
    assert actions(later.id)[-1] == "job.matured"


@pytest.mark.django_db
def test_nothing_of_a_paused_queue_is_published() -> None:
    put_into(State.AVAILABLE)
    operations.pause_queue(QUEUE, actor="user:ann")
    assert transitions.stage(10) == []


@pytest.mark.django_db
def test_no_more_than_the_limit_is_published_at_once_and_the_most_urgent_of_it_first() -> None:
    ids = {}
    for priority in (Priority.LOW, Priority.HIGH, Priority.NORMAL):
        ids[priority] = probe.using(priority=priority).enqueue(label="x").id
    transitions.unpublish(ids.values())
    first = [message[0] for message in transitions.stage(2)]
    assert len(first) == 2
    urgency = [priority for priority, id_ in sorted(ids.items()) if id_ in first]
    assert first == [ids[priority] for priority in urgency]
    (rest,) = transitions.stage(2)
    assert {*first, rest[0]} == set(ids.values())


@pytest.mark.processes
def test_stagers_at_the_same_moment_publish_each_job_once(live: Live) -> None:
    ids = [probe.enqueue(label="x").id for _ in range(60)]
    transitions.unpublish(ids)
    staged = at_once(*[partial(transitions.stage, 20)] * 5)
    published = [message[0] for messages in staged for message in messages]
    published += [message[0] for message in transitions.stage(60)]
    assert sorted(published) == sorted(ids)
    assert set(Job.objects.values_list("dispatch", flat=True)) == {2}


@pytest.mark.processes
def test_a_stager_passes_by_what_another_holds_instead_of_waiting(live: Live) -> None:
    held, free = (probe.enqueue(label="x").id for _ in range(2))
    transitions.unpublish([held, free])
    staged, seen = Event(), Event()

    def hold() -> list[UUID]:
        with transaction.atomic():
            Job.objects.select_for_update().get(id=held)
            staged.set()
            assert seen.wait(30)
        return []

    def stage() -> list[UUID]:
        assert staged.wait(30)
        try:
            return [message[0] for message in transitions.stage(10)]
        finally:
            seen.set()

    assert at_once(hold, stage) == [[], [free]]


# --- the audit log -------------------------------------------------------------------------------


def _moves() -> Iterator[tuple[str, Callable[[UUID], object]]]:
    """Every move but the first, in an order in which one job can make them all but one."""
    yield "unpublished", lambda job_id: transitions.unpublish([job_id])
    yield "published", lambda _: transitions.stage(10)
    yield "parked", lambda job_id: transitions.park([job_id], gate="email/rate")
    yield "admitted", lambda _: transitions.admit("email/rate", 10)
    for move in (Move.RETRIED, Move.SNOOZED, Move.CRASHED):
        yield "claimed", claim
        yield move, partial(_settle_running, move=move, delay=0 if move == "crashed" else 60)
        if move != Move.CRASHED:
            yield "hastened", partial(transitions.hasten, actor="user:ann")
    yield "claimed", claim
    yield "released", partial(_settle_running, move=Move.RELEASED)
    yield "claimed", claim
    yield "died", partial(_settle_running, move=Move.DIED)


def _settle_running(job_id: UUID, *, move: Move, **fields: Any) -> None:
    job = job_of(job_id)
    assert job.lease is not None
    if move == Move.CRASHED:
        fields["crashes"] = 1
    if move == Move.DIED:
        fields["reason"] = "permanent"
    settlement = Settlement(id=job_id, lease=job.lease, move=move, **fields)
    assert transitions.settle([settlement]) == {job_id}


@pytest.mark.processes
def test_every_move_and_its_one_audit_entry_are_of_the_same_transaction(live: Live) -> None:
    job_id = probe.enqueue(label="x").id
    expected = ["job.enqueued"]
    for move, perform in _moves():
        perform(job_id)
        expected.append(f"job.{move}")
        assert actions(job_id) == expected
        ((job_xid, entry_xid),) = query(
            """
            SELECT j.xmin::text, (SELECT e.xmin::text FROM jobs_auditentry e
                                  WHERE e.subject_id = j.id::text ORDER BY e.id DESC LIMIT 1)
            FROM jobs_job j WHERE j.id = %s
            """,
            job_id,
        )
        assert job_xid == entry_xid, move
    assert Attempt.objects.filter(job_id=job_id).count() == 5


@pytest.mark.django_db
def test_a_rolled_back_move_leaves_neither_its_change_nor_its_audit_entry() -> None:
    job_id = probe.enqueue(label="x").id
    for _, perform in _moves():
        before = everything_about(job_id)
        and_undo(partial(perform, job_id))
        assert everything_about(job_id) == before
        perform(job_id)


@pytest.mark.django_db
def test_the_entries_tell_who_did_it_and_of_which_tenant_it_was() -> None:
    job_id = probe.using(tenant="acme", delay=timedelta(hours=1)).enqueue(label="x").id
    transitions.hasten(job_id, actor="user:ann")
    claim(job_id)
    entries = AuditEntry.objects.filter(subject_id=str(job_id)).order_by("id")
    correlation_id = job_of(job_id).correlation_id
    assert {entry.tenant for entry in entries} == {"acme"}
    assert {entry.correlation_id for entry in entries} == {correlation_id}
    assert [entry.actor for entry in entries] == [
        "system",
        "user:ann",
        transitions.process_name(),
    ]
    assert [entry.detail for entry in entries] == [None, None, {"attempt": 1}]


@pytest.mark.processes
def test_times_are_those_of_the_database_even_inside_a_long_transaction(live: Live) -> None:
    with transaction.atomic():
        job_id = probe.enqueue(label="x").id
        query("SELECT pg_sleep(0.01)")
        claimed = claim(job_id)
        settle(claimed, Move.RETRIED, failures=1)
    assert Attempt.objects.filter(job_id=job_id, started_at__lt=F("finished_at")).exists()
    started = job_of(job_id).started_at
    assert started is not None
    assert started > job_of(job_id).enqueued_at


def blocked_backends() -> int:
    ((count,),) = query(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    return int(count)


@pytest.mark.processes
def test_a_cancellation_that_meets_a_settlement_is_not_lost(live: Live) -> None:
    claimed = claim(probe.enqueue(label="x").id)
    settled = Event()

    def give_back() -> None:
        with transaction.atomic():
            settle(claimed, Move.RETRIED, failures=1, delay=60)
            settled.set()
            wait_until(blocked_backends, what="the cancellation waits for the settlement")

    def cancel() -> None:
        assert settled.wait(30)
        operations.cancel(claimed.id, actor="user:ann")

    at_once(give_back, cancel)
    assert job_of(claimed.id).state == "cancelled"
    assert connection.in_atomic_block is False
