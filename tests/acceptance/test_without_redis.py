"""Redis gone for a while: work goes on from the table, returns to messages, and the books balance."""

import socket

import psutil
import pytest

from jobs.breaker import breaker
from jobs.models import Attempt, AuditEntry, Job, ProbeRun
from jobs.states import State
from jobs.tasks import probe
from tests.acceptance.test_a_broker_in_trouble import frozen_broker
from tests.conftest import Live, wait_until

pytestmark = pytest.mark.processes

QUICK = {"JOBS_BACKOFF_SCALE": "0.02", "JOBS_REPUBLISH_SECONDS": "1", "JOBS_STAGER_SECONDS": "0.1"}


def unfinished() -> int:
    return Job.objects.exclude(state__in=[State.SUCCEEDED, State.DEAD, State.CANCELLED]).count()


def processes_named(word: str, family: list[psutil.Process]) -> list[psutil.Process]:
    found = []
    for process in family:
        try:
            if word in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.mark.parametrize("queue", ["email", "pdf"])
def test_workers_that_never_reach_redis_carry_the_jobs_from_the_table(
    live: Live, queue: str
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{unused.getsockname()[1]}/0"
    breaker.trip()
    jobs = [probe.using(queue=queue).enqueue(label="drained") for _ in range(5)]
    failing = probe.using(queue=queue).enqueue(label="failing", fail_times=1)
    worker = live.worker(queue, REDIS_URL=url, **QUICK)
    wait_until(lambda: unfinished() == 0, within=60)
    assert ProbeRun.objects.filter(label="drained").count() == len(jobs)
    assert Attempt.objects.filter(job=failing).count() == 2
    family = psutil.Process(worker.pid).children(recursive=True)
    assert processes_named("drain", family)
    live.stop(worker)
    assert not processes_named("drain", family)


def test_a_crash_in_the_drain_costs_one_attempt_and_the_drain_goes_on(live: Live) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{unused.getsockname()[1]}/0"
    breaker.trip()
    killer = probe.using(queue="pdf").enqueue(label="killer", crash=True)
    others = [probe.using(queue="pdf").enqueue(label="other") for _ in range(3)]
    live.worker("pdf", REDIS_URL=url, **QUICK)
    wait_until(lambda: unfinished() == 0, within=60)
    assert Job.objects.get(id=killer.id).state == State.DEAD
    assert ProbeRun.objects.filter(label="other").count() == len(others)


def test_while_redis_is_frozen_work_goes_on_and_afterwards_the_books_balance(live: Live) -> None:
    worker = live.worker("email", **QUICK)
    first = probe.using(queue="email").enqueue(label="before")
    wait_until(lambda: Job.objects.get(id=first.id).state == State.SUCCEEDED)
    with frozen_broker(live):
        for _ in range(10):
            probe.using(queue="email").enqueue(label="meanwhile")
        wait_until(lambda: unfinished() == 0, within=60)
        assert ProbeRun.objects.filter(label="meanwhile").count() == 10
    told = wait_until(lambda: AuditEntry.objects.filter(action="broker.outage_over").first())
    assert told is not None
    assert told.detail is not None
    assert told.detail["enqueued"] >= 9
    assert told.detail["run"] >= 9
    assert told.detail["still_waiting"] == 0
    family = psutil.Process(worker.pid).children(recursive=True)
    wait_until(lambda: not processes_named("drain", family), within=30)
    breaker.reset()
    probe.using(queue="email").enqueue(label="after")
    wait_until(lambda: ProbeRun.objects.filter(label="after").exists(), within=30)
    assert AuditEntry.objects.filter(action="broker.outage_over").count() == 1
