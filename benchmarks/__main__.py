"""``make bench``: enqueues and drains no-op jobs on servers of its own, and prints a table.

Every figure stands beside PostgreSQL's own in the same run (one committed INSERT per job), because
only ratios say anything on machines that differ. Median of ``--rounds`` rounds, with the spread.
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import embedded

QUIET = subprocess.DEVNULL
ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Start servers, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000, help="jobs in each round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    data = Path(tempfile.mkdtemp(prefix="erp-bench-"))
    os.environ |= {"DATA_DIR": str(data), "DJANGO_SETTINGS_MODULE": "erp.settings",
                   "LOG_LEVEL": "WARNING"}  # fmt: skip
    for variable in ("DATABASE_URL", "REDIS_URL", "SMTP_URL"):
        os.environ.pop(variable, None)
    lease = embedded.ensure(data)
    try:
        measure(options.jobs, options.rounds)
    finally:
        if lease is not None:
            lease.release()  # before its files go: nobody could stop the servers afterwards
        shutil.rmtree(data, ignore_errors=True)


def measure(jobs: int, rounds: int) -> None:
    """Measure each thing ``rounds`` times and print the table."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection, transaction

    from jobs.models import Job
    from jobs.states import FINAL
    from jobs.tasks import probe

    call_command("migrate", verbosity=0, interactive=False)

    def insert() -> None:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE IF NOT EXISTS bench_row (id bigserial, payload jsonb)")
            for number in range(jobs):
                cursor.execute(
                    "INSERT INTO bench_row (payload) VALUES (%s)", [f'{{"n": {number}}}']
                )

    def enqueue() -> None:
        for _ in range(jobs):
            with transaction.atomic():
                probe.using(queue="email").enqueue(label="bench")

    def drain() -> None:
        command = [sys.executable, str(ROOT / "manage.py"), "worker", "email"]
        with subprocess.Popen(command, stdout=QUIET, stderr=QUIET) as worker:
            try:
                # The start of the worker is not what is measured: one job tells that it is over.
                first = Job.objects.filter(state__in=FINAL).count()
                _until(lambda: Job.objects.filter(state__in=FINAL).count() > first)
                began = time.perf_counter()
                left = Job.objects.exclude(state__in=FINAL).count()
                _until(lambda: not Job.objects.exclude(state__in=FINAL).exists())
                drained.append(left / (time.perf_counter() - began))
            finally:
                worker.terminate()

    drained: list[float] = []
    figures: dict[str, list[float]] = {
        "PostgreSQL: committed INSERT": [],
        "enqueue, one by one": [],
    }
    for number in range(rounds):
        print(f"round {number + 1} of {rounds} …", file=sys.stderr, flush=True)
        for name, work in zip(figures, (insert, enqueue), strict=True):
            figures[name].append(jobs / _seconds(work))
        drain()
    figures["drain, email queue (threads 8)"] = drained
    limit = statistics.median(figures["PostgreSQL: committed INSERT"])
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{jobs} jobs a round, {rounds} rounds: median (lowest–highest)")
    for name, values in figures.items():
        median = statistics.median(values)
        spread = f"{min(values):.0f}–{max(values):.0f}"
        print(f"  {name:<32}{median:>8.0f} /s  ({spread})  {median / limit:.2f} of INSERT")


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _until(condition: Callable[[], bool], *, within: float = 300) -> None:
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            sys.exit("The worker did not finish in time.")
        time.sleep(0.02)


if __name__ == "__main__":
    main()
