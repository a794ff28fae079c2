"""Recovery is measured from the fault, or from the end of an outage, to the next run."""

from typing import Any

from tests.chaos import timing
from tests.chaos.builders import attempt, crashed_once, entries, evidence, job, planned
from tests.chaos.evidence import Entry, JobRecord
from tests.chaos.recovery import Longest, longest
from tests.chaos.world import Strike


def measured(record: JobRecord, **of_strike: Any) -> Longest:
    (found,) = longest(evidence(record), [Strike(number=0, alone=True, **of_strike)], planned())
    return found


def test_a_killed_processs_job_recovers_when_it_is_claimed_again() -> None:
    found = measured(crashed_once(), kind="child_killed", at=101.5, pids=[1])
    assert found.hit == 1
    assert found.worst is not None
    assert found.worst.seconds == 1.5
    assert not found.too_long


def test_jobs_of_other_processes_are_not_hit() -> None:
    assert measured(crashed_once(), kind="child_killed", at=101.5, pids=[2]).hit == 0
    assert measured(crashed_once(), kind="child_killed", at=102.5, pids=[1]).hit == 0


def test_who_waited_for_the_lease_would_have_waited_longer_by_default() -> None:
    taken_back = 101.5 + timing.LEASE
    late = crashed_once(
        entries=[
            *entries("enqueued", "claimed"),
            Entry(taken_back, "job.crashed", "lifeline", {}),
            *entries("claimed", "succeeded", since=taken_back + 1),
        ],
        attempts=[attempt(1, "crashed", ended=taken_back), attempt(2, "succeeded")],
    )
    found = measured(late, kind="host_killed", at=101.5, pids=[1])
    assert found.worst is not None
    assert found.worst.seconds == timing.LEASE + 1
    assert found.alone is not None
    assert found.alone.usual == timing.DEFAULT_LEASE + 1


def test_a_wait_before_a_retry_is_longer_by_default() -> None:
    until = "1970-01-01T00:01:43+00:00"  # a second after it was taken back
    waited = [
        *entries("enqueued", "claimed"),
        Entry(102.0, "job.crashed", "lifeline", {"until": until}),
        *entries("claimed", "succeeded", since=103.0),
    ]
    found = measured(crashed_once(entries=waited), kind="child_killed", at=101.5, pids=[1])
    assert found.alone is not None
    assert found.alone.usual == 1.5 + (1 / timing.BACKOFF_SCALE - 1)
    assert found.too_long


def test_a_promise_is_held_against_the_fault_alone() -> None:
    strikes = [
        Strike(number=number, kind="child_killed", at=101.5, pids=[1], alone=alone)
        for number, alone in enumerate((False, True))
    ]
    (stormy,) = longest(evidence(crashed_once()), strikes[:1], planned())
    assert stormy.worst is not None
    assert stormy.alone is None
    (both,) = longest(evidence(crashed_once()), strikes, planned())
    assert both.alone is not None


def test_a_lost_message_is_made_good_when_its_job_is_claimed() -> None:
    late = job(entries=[*entries("enqueued"), *entries("claimed", "succeeded", since=104.0)])
    found = measured(late, kind="valkey_flushed", at=101.0)
    assert found.worst is not None
    assert found.worst.seconds == 3.0
    assert found.alone is not None
    assert found.alone.usual == 3.0 + timing.DEFAULT_REPUBLISH - timing.REPUBLISH
    assert measured(late, kind="valkey_restarted", at=101.0, whole_at=103.5).worst is not None
    assert measured(late, kind="valkey_flushed", at=104.5).hit == 0
