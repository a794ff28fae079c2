"""The processes of ``manage.py worker`` are forks of one: small, quickly there, told apart by `ps`."""

import sys

import psutil
import pytest
from celery import current_app
from celery.app.control import Inspect

from jobs.models import ProbeRun
from jobs.tasks import probe
from tests.conftest import Live, wait_until

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]


def title(process: psutil.Process) -> str:
    return " ".join(process.cmdline()).strip()


def test_a_worker_is_small_processes_with_names_of_their_own(live: Live) -> None:
    supervisor = psutil.Process(live.worker("pdf", "--concurrency", "2").pid)
    probe.using(queue="pdf").enqueue(label="first")
    wait_until(lambda: ProbeRun.objects.filter(label="first").exists(), within=60)
    assert supervisor.num_threads() == 1
    assert len(supervisor.net_connections("all")) == 2  # a pair of its own, which wakes it
    keeper = [one for one in supervisor.children() if title(one) == "[jobs: keeper]"]
    celery = [one for one in supervisor.children() if title(one).startswith("[celeryd: prefork-")]
    assert (len(keeper), len(celery)) == (1, 1)
    pool = celery[0].children()
    assert ["ForkPoolWorker" in title(one) for one in pool] == [True, True]
    # What each has for itself is little beside what they share.
    family = [supervisor, *keeper, *celery, *pool]
    sizes = [process.memory_full_info() for process in family]
    assert sum(size.pss for size in sizes) < 2.5 * max(size.rss for size in sizes)


def inspect() -> Inspect:
    return current_app.control.inspect(limit=1, timeout=20)


def run(label: str, queue: str) -> None:
    """Have a job run."""
    probe.using(queue=queue).enqueue(label=label)
    wait_until(lambda: ProbeRun.objects.filter(label=label).exists(), within=60)


def handed_on() -> int:
    """Return how many messages Celery's main process has handed to its pool."""
    stats = inspect().stats()
    return sum(sum(one["total"].values()) for one in (stats or {}).values())


def test_jobs_in_close_succession_reach_the_pool_without_celerys_main_process(live: Live) -> None:
    worker = live.worker("pdf", "inventory", "--concurrency", "1")
    for number in range(20):
        run(str(number), ("pdf", "inventory")[number % 2])
    assert 1 <= handed_on() <= 5, "the process listened to both queues"

    assert live.stop(worker) == 0  # while it listens
    probe.using(queue="pdf").enqueue(label="later")
    assert live.redis.llen("pdf") == 1


def test_a_queue_that_celery_was_told_to_leave_is_not_listened_to_for_long(live: Live) -> None:
    live.worker("pdf", "inventory", "--concurrency", "1")
    run("first", "pdf")
    current_app.control.cancel_consumer("pdf", reply=True, limit=1, timeout=20)
    wait_until(
        lambda: not any((inspect().active() or {"": []}).values()), what="no process listens"
    )
    probe.using(queue="pdf").enqueue(label="left")
    for number in range(3):
        run(str(number), "inventory")
    assert live.redis.llen("pdf") == 1
