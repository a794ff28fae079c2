"""A seed stands for one plan, and a plan has what was asked for."""

from collections import Counter

from tests.chaos import plan, planner
from tests.chaos.faults import FAULTS

KINDS = {name: fault.weight for name, fault in FAULTS.items() if fault.weight}


def made(seed: int, *, jobs: int = 500, faults: int = 60) -> plan.Plan:
    crowds = [name for name, fault in FAULTS.items() if fault.crowd]
    return planner.make(seed, jobs=jobs, faults=faults, kinds=KINDS, crowds=crowds)


def test_a_seed_stands_for_one_plan() -> None:
    assert made(5) == made(5)
    assert made(5) != made(6)


def test_a_plan_commits_as_many_jobs_as_asked_for_and_has_every_kind_of_fault() -> None:
    found = made(1)
    assert len(found.jobs()) == 500
    assert len(found.steps) == 60
    assert {step.fault for step in found.steps} == set(KINDS)


def test_what_is_measured_alone_comes_first() -> None:
    found = planner.make(
        1, jobs=90, faults=30, kinds=KINDS, alone=["host_killed", "valkey_flushed"]
    )
    assert [step.alone for step in found.steps] == [True] * 2 + [False] * 28
    assert {step.fault for step in found.steps[:2]} == {"host_killed", "valkey_flushed"}
    assert len(found.jobs()) == 90
    only = planner.make(1, jobs=90, faults=1, kinds=KINDS, alone=["host_killed", "valkey_flushed"])
    assert len(only.jobs()) == 90


def test_every_job_and_transaction_has_a_number_of_its_own() -> None:
    units = [unit for step in made(2).steps for unit in step.units]
    keys = [job.key for unit in units for job in unit.jobs]
    assert len(set(keys)) == len(keys)
    assert len({unit.number for unit in units}) == len(units)


def test_a_plan_has_every_fate_of_a_job() -> None:
    jobs = made(3, jobs=2000, faults=200).jobs().values()
    reasons = Counter(reason for job in jobs for reason in job.reasons)
    assert set(reasons) == {"permanent", "exhausted", "crashed"}
    assert any(job.fail_times for job in jobs)
    assert any(job.delay for job in jobs)
    assert {job.queue for job in jobs} == set(plan.QUEUES)
    assert sum(bool(job.reasons) for job in jobs) < 100


def test_a_transaction_can_be_told_and_read() -> None:
    for unit in made(4).steps[0].units:
        assert plan.Unit.from_json(unit.as_json()) == unit
