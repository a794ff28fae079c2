"""The processes of ``manage.py worker`` are forks of one: small, quickly there, told apart by `ps`."""

import sys

import psutil
import pytest

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
