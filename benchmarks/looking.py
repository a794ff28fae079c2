"""What operators and the pruner do with many finished jobs: ``python -m benchmarks.looking VERB``.

`look` prints how many milliseconds lists and the overview of all queues take; `prune` deletes what
is past its retention, and prints how many jobs went and how long it took, rests included.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.settings")
django.setup()

from jobs.errors import RetryLater  # noqa: E402 - Django comes first
from jobs.maintenance import pruner  # noqa: E402
from jobs.models import Job  # noqa: E402
from jobs.selectors.job_list import JobFilter, list_jobs  # noqa: E402
from jobs.selectors.queues import queue_overviews  # noqa: E402

#: Times that each is looked at, and seconds after which it is enough.
_TIMES, _ENOUGH = 15, 20.0

#: What the dashboard's list is asked for; the last one finds nothing.
FILTERS = (
    JobFilter(),
    JobFilter(queue="inventory"),
    JobFilter(tenant="tenant-7"),
    JobFilter(task="benchmarks.nothing", states=("succeeded",)),
    JobFilter(queue="reports", tenant="tenant-3"),
    JobFilter(states=("dead",)),
)


def look() -> dict[str, Any]:
    """Return the median of the slowest list, and of the overview, in milliseconds."""
    lists = [_median(partial(list_jobs, wanted)) for wanted in FILTERS]
    return {"listing": max(lists), "overview": _median(queue_overviews), "lists": lists}


def prune() -> dict[str, Any]:
    """Delete until nothing is left to delete."""
    before, began = Job.objects.count(), time.perf_counter()
    while True:
        try:
            pruner.prune()
            break
        except RetryLater:
            continue
    seconds = time.perf_counter() - began
    gone = before - Job.objects.count()
    return {"seconds": seconds, "jobs": gone}


def _median(work: Callable[[], Any]) -> float:
    work()
    took: list[float] = []
    while len(took) < _TIMES and sum(took) < _ENOUGH * 1e3:
        began = time.perf_counter()
        work()
        took.append((time.perf_counter() - began) * 1e3)
    return statistics.median(took)


if __name__ == "__main__":
    print(json.dumps({"look": look, "prune": prune}[sys.argv[1]]()))
