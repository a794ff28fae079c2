"""The count finds every kind of loss, and nothing where there is none."""

from typing import Any

import pytest

from tests.chaos.builders import (
    KEY,
    attempt,
    crashed_once,
    entries,
    evidence,
    job,
    planned,
)
from tests.chaos.evidence import JobRecord
from tests.chaos.plan import PlannedJob, Unit
from tests.chaos.verify import check


def kinds(*jobs: JobRecord, plan: dict[str, Any] | None = None, **of_evidence: Any) -> set[str]:
    findings = check(evidence(*jobs, **of_evidence), planned(**(plan or {})))
    return {finding.kind for finding in findings}


def test_a_job_that_succeeded_once_is_well() -> None:
    assert kinds(job()) == set()


def test_a_committed_job_without_a_row_is_lost() -> None:
    assert kinds() == {"lost"}


def test_a_job_that_is_not_final_is_stuck() -> None:
    waiting = job(
        state="queued", attempt=0, attempts=[], effects=[], results=[], entries=entries("enqueued")
    )
    assert kinds(waiting) == {"stuck"}


def test_a_job_that_succeeded_without_its_work_is_lost() -> None:
    assert kinds(job(effects=[])) == {"lost"}
    assert kinds(job(effects=[]), plan={"task": "chaos.atomic_effect"}) == {"lost"}


def test_work_that_was_done_twice_is_found_unless_a_crash_came_between() -> None:
    assert kinds(job(effects=[1, 1])) == {"duplicated"}
    assert kinds(crashed_once()) == set()
    again = [attempt(1, "failed"), attempt(2, "succeeded")]
    failed = {"crashes": 0, "failures": 1, "attempts": again}
    moves = entries("enqueued", "claimed", "retried", "claimed", "succeeded")
    assert kinds(crashed_once(**failed, entries=moves)) == {"duplicated"}
    cut = [attempt(1, "failed", error_type="OperationalError"), attempt(2, "succeeded")]
    assert kinds(crashed_once(**failed | {"attempts": cut}, entries=moves)) == set()


def test_the_work_of_an_atomic_task_counts_once_even_after_a_crash() -> None:
    assert kinds(crashed_once(effects=[2]), plan={"task": "chaos.atomic_effect"}) == set()
    assert kinds(crashed_once(), plan={"task": "chaos.atomic_effect"}) == {"duplicated"}


def test_a_step_that_began_before_the_one_before_it_had_succeeded_is_found() -> None:
    plan = {key: PlannedJob(key=key) for key in (KEY, KEY + 1)}
    chain = Unit(number=1, jobs=list(plan.values()), flow="chain")
    for since, kinds_ in ((100.5, {"order"}), (102.5, set())):
        moves = entries("enqueued", "claimed", "succeeded", since=since)
        second = job(id="b", key=KEY + 1, result=KEY + 1, entries=moves)
        found = evidence(job(), second)
        found.intents[0].keys.append(KEY + 1)
        assert {finding.kind for finding in check(found, plan, [chain])} == kinds_


def test_a_step_that_was_never_started_or_started_twice_is_found() -> None:
    plan = {key: PlannedJob(key=key) for key in (KEY, KEY + 1)}
    for second in ([], [job(id=id_, key=KEY + 1, result=KEY + 1) for id_ in "bc"]):
        found = evidence(job(), *second)
        found.intents[0].keys.append(KEY + 1)
        kind = "duplicated" if second else "lost"
        assert kind in {finding.kind for finding in check(found, plan)}


def test_jobs_that_ran_beside_each_other_against_their_limit_are_found() -> None:
    first, beside, after = (
        job(
            id=id_,
            task="chaos.narrow_effect",
            attempts=[attempt(1, "succeeded", started=at, ended=at + 2)],
        )
        for id_, at in (("a", 10.0), ("b", 11.0), ("c", 13.0))
    )
    assert "limit" in kinds(first, beside)
    assert "limit" not in kinds(first, after)


def test_a_job_of_a_transaction_that_was_rolled_back_may_leave_nothing() -> None:
    plan: dict[int, Any] = {}
    assert not check(evidence(outcome="rolled back"), plan)
    for found in (
        evidence(job(), outcome="rolled back"),
        evidence(outcome="rolled back", strays={"a"}),
    ):
        assert "rolled back" in {finding.kind for finding in check(found, plan)}


@pytest.mark.parametrize(
    "moves",
    [
        ("claimed", "succeeded"),
        ("enqueued", "succeeded"),
        ("enqueued", "claimed", "claimed", "succeeded"),
        ("enqueued", "claimed", "succeeded", "succeeded"),
        ("enqueued", "claimed", "crashed"),
        ("enqueued", "claimed", "retried", "claimed", "succeeded"),
    ],
)
def test_an_audit_log_that_does_not_lead_to_the_row_is_found(moves: tuple[str, ...]) -> None:
    assert kinds(job(entries=entries(*moves))) == {"audit"}


def test_a_gap_in_the_attempts_is_found() -> None:
    assert kinds(crashed_once(attempts=[attempt(2, "succeeded")])) >= {"attempts"}


def test_a_result_that_differs_from_the_row_is_found() -> None:
    assert kinds(job(results=["RETRY"])) == {"result"}
    assert kinds(job(result=KEY + 1)) == {"result"}


def test_dead_letters_are_those_that_were_planned() -> None:
    dead = job(
        state="dead", failures=1, result=None, effects=[], results=["FAILURE"], letters=["permanent"],
        attempts=[attempt(1, "failed")], entries=entries("enqueued", "claimed", "died"),
    )  # fmt: skip
    assert kinds(dead, plan={"permanent": True}) == set()
    assert kinds(dead, plan={"old_shape": True}) == set()
    assert kinds(dead) == {"ended wrongly"}
    assert kinds(dead, plan={"task": "chaos.poison"}) == {"ended wrongly"}
    assert "ended wrongly" in kinds(job(), plan={"permanent": True})


def test_roll_ups_that_do_not_add_up_to_the_attempts_are_found() -> None:
    assert kinds(job(), counted={"succeeded": 2}) == {"roll-ups"}


def test_a_job_that_nobody_asked_for_is_found() -> None:
    assert "strange" in kinds(job(), job(id="b", key=0))
