"""What ended is counted by the statement that ends it, exactly, whoever else does so meanwhile."""

from collections import Counter
from datetime import timedelta
from decimal import Decimal
from threading import Barrier
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.db.models import Sum

from jobs import rollups, transitions
from jobs.definition import Options, Placement
from jobs.enqueue import new_job
from jobs.models import Attempt, Job, Rollup
from jobs.payload import Sealed
from jobs.records import Settlement
from jobs.states import Move, State
from jobs.tasks import probe
from tests.conftest import Live, query
from tests.jobs.records import ago
from tests.jobs.stages import and_undo, at_once, claim, let_time_pass, put_into, settle


def counted() -> Counter[tuple[str, str, str]]:
    """What the roll-ups say: how many by outcome, state and error."""
    found: Counter[tuple[str, str, str]] = Counter()
    for row in Rollup.objects.all():
        found[row.outcome, row.state, row.error_type] += row.count
    return found


@pytest.mark.django_db
def test_an_attempt_is_counted_by_what_it_was_and_what_came_of_it() -> None:
    id_ = probe.using(tenant="acme").enqueue(label="x").id
    settle(claim(id_), Move.SUCCEEDED)
    row = Rollup.objects.get()
    assert (row.queue, row.task, row.tenant) == ("maintenance", "jobs.probe", "acme")
    assert (row.outcome, row.state, row.error_type, row.count) == (
        "succeeded", "succeeded", "", 1,
    )  # fmt: skip
    ((session, minute),) = query("SELECT pg_backend_pid(), date_trunc('minute', now())")
    assert row.shard == session
    assert row.minute - minute <= timedelta(minutes=1)


@pytest.mark.django_db
def test_its_wait_and_run_are_those_of_its_job_and_its_attempt() -> None:
    id_ = probe.enqueue(label="x").id
    claimed = claim(id_)
    Job.objects.filter(id=id_).update(scheduled_at=ago(seconds=40), started_at=ago(seconds=3))
    settle(claimed, Move.SUCCEEDED, began=1.0, ended=1.2)
    attempt = Attempt.objects.get()
    row = Rollup.objects.get()
    assert row.wait_seconds == pytest.approx(38, abs=1)
    assert row.run_seconds == pytest.approx(
        (attempt.finished_at - attempt.started_at).total_seconds(), abs=0.001
    )
    assert rollups.unpacked(row.wait_histogram)[rollups.BOUNDS.index(60.0)] == 1
    assert sum(rollups.unpacked(row.wait_histogram)) == 1
    assert sum(rollups.unpacked(row.run_histogram)) == 1


@pytest.mark.django_db
def test_the_wait_of_a_retried_attempt_is_its_own_not_that_until_the_next_one() -> None:
    id_ = probe.enqueue(label="x").id
    claimed = claim(id_)
    Job.objects.filter(id=id_).update(scheduled_at=ago(seconds=20))
    settle(claimed, Move.RETRIED, delay=600.0, error_type="ValueError", failures=1)
    row = Rollup.objects.get()
    assert (row.outcome, row.state, row.error_type) == ("failed", "scheduled", "ValueError")
    assert row.wait_seconds == pytest.approx(20, abs=2)


@pytest.mark.django_db
def test_every_end_is_counted_once_with_or_without_an_attempt() -> None:
    for state in (State.SUCCEEDED, State.CANCELLED, State.DEAD):
        put_into(state)
    transitions.cancel(put_into(State.SCHEDULED).id, actor="user:ann")
    expiring = put_into(State.QUEUED)
    Job.objects.filter(id=expiring.id).update(expires_at=ago(seconds=1))
    transitions.expire(10)
    unfit = new_job(probe, Sealed({}, None), Options(placed=Placement(root_id=str(uuid4()))))
    transitions.insert_dead([(unfit, ValueError("it does not fit"))])
    assert counted() == {
        ("succeeded", "succeeded", ""): 1,
        ("cancelled", "cancelled", ""): 1,
        ("failed", "dead", ""): 1,
        ("", "cancelled", ""): 2,
        ("", "dead", ""): 1,
    }


@pytest.mark.django_db
def test_what_is_settled_together_is_one_row_and_what_follows_is_added_to_it() -> None:
    for size in (3, 2):
        ids = [probe.enqueue(label="x").id for _ in range(size)]
        claimed = transitions.claim(ids, worker=None)
        transitions.settle(
            [Settlement(id=job.id, lease=job.lease, move=Move.SUCCEEDED) for job in claimed]
        )
    rows = list(Rollup.objects.all())
    assert sum(row.count for row in rows) == 5
    assert len({row.minute for row in rows}) == len(rows)  # one, or two at the turn of a minute


@pytest.mark.django_db
def test_what_is_refused_or_rolled_back_is_not_counted() -> None:
    ended = put_into(State.SUCCEEDED)
    before = counted()
    assert not settle(ended, Move.SUCCEEDED)
    assert not transitions.cancel(ended.id, actor="user:ann")
    and_undo(lambda: put_into(State.SUCCEEDED))
    let_time_pass(ended.id)
    assert counted() == before


def test_sessions_that_settle_at_once_do_not_wait_for_each_other(live: Live) -> None:
    jobs = [claim(probe.enqueue(label="x").id) for _ in range(2)]
    both_have = Barrier(2)

    def settle_and_linger(place: int) -> None:
        with transaction.atomic():
            query("SELECT set_config('lock_timeout', '5s', true)")
            settle(jobs[place], Move.SUCCEEDED)
            both_have.wait(30)  # neither has committed: a row that both wrote would be a deadlock

    at_once(lambda: settle_and_linger(0), lambda: settle_and_linger(1))
    rows = Rollup.objects.values_list("minute", "shard", "count")
    assert len({shard for _, shard, _ in rows}) == 2
    assert sum(count for *_, count in rows) == 2


def test_many_sessions_together_count_each_attempt_once(live: Live) -> None:
    def work() -> None:
        for _ in range(15):
            settle(claim(probe.enqueue(label="x").id), Move.SUCCEEDED)

    at_once(*[work] * 4)
    assert Rollup.objects.aggregate(all=Sum("count"))["all"] == Attempt.objects.count() == 60


def test_its_rows_are_updated_in_place(live: Live) -> None:
    for _ in range(100):
        settle(claim(probe.enqueue(label="x").id), Move.SUCCEEDED)
    query("SELECT pg_stat_force_next_flush()")
    ((updated, in_place),) = query(
        "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'jobs_rollup'"
    )
    connection.close()
    assert updated >= 90
    assert in_place >= updated * 0.9


@pytest.mark.django_db
def test_histograms_are_packed_without_loss_and_added_as_numbers() -> None:
    counts = [7, *[0] * (rollups.BUCKETS - 2), 10**15]
    packed = sum(count * 10 ** (16 * bucket) for bucket, count in enumerate(counts))
    ((added,),) = query("SELECT %s::numeric + %s::numeric", Decimal(packed), Decimal(packed))
    assert rollups.unpacked(added) == [14, *[0] * (rollups.BUCKETS - 2), 2 * 10**15]


@pytest.mark.parametrize(
    ("histogram", "part", "value"),
    [
        ({}, 0.5, None),
        ({0: 10}, 0.5, 0.0025),
        ({7: 50, 8: 50}, 0.5, 1.0),  # at the bound of two buckets
        ({7: 50, 8: 50}, 0.75, 1.75),
        ({16: 3}, 0.99, 7200.0),  # longer than the last bound: no more is known
    ],
)
def test_quantiles_are_estimated_within_their_bucket(
    histogram: dict[int, int], part: float, value: float | None
) -> None:
    counts = [histogram.get(bucket, 0) for bucket in range(rollups.BUCKETS)]
    assert rollups.quantile(counts, part) == pytest.approx(value)
