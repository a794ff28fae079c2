"""``python -m benchmarks.crowd``: how PostgreSQL bears 10, 100 and 1000 workers.

A worker is played by a thread with a connection of its own that claims a job, sleeps as long as the
job would take, and settles it, by the engine's own statements, all at one queue: the worst case.
What a body costs is left out, so one machine can play many hosts; and Redis is, since no worker of
a busy queue waits for a bell. Figures for ``docs/explanation/scaling.md``.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks import machine, programs, servers
from benchmarks.programs import ROOT
from embedded import postgres

#: Python processes among which the workers are spread.
PROCESSES = 4
#: Seconds for the workers to connect, and to be looked at.
WARM_UP, WINDOW = 8.0, 15.0
DATABASE, QUEUE = "crowd", "reports"


def main() -> None:
    """Measure each crowd, with jobs of each duration, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crowd", description=__doc__)
    parser.add_argument("--workers", default="10,100,1000", help="(10,100,1000)")
    parser.add_argument("--durations", default="1,0", help="seconds a job takes (1,0)")
    parser.add_argument("--claim", type=int, default=1, help="jobs claimed at once (1)")
    parser.add_argument("--member", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.member:
        _member(json.loads(options.member))
        return
    # As a pooler would, or an operator with so many workers.
    postgres.SETTINGS["max_connections"] = "1200"
    print(f"{machine.description()}, load {machine.load():.1f}")
    print(_HEAD)
    with servers.running(ROOT / ".data" / "crowd") as running:
        environment = running.environment(DATABASE, 0) | {
            "DJANGO_SETTINGS_MODULE": "benchmarks.settings"
        }
        running.create(DATABASE)
        _run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], environment)
        for duration in map(float, options.durations.split(",")):
            for workers in map(int, options.workers.split(",")):
                crowd = Crowd(workers, duration, options.claim)
                print(crowd.measure(running, environment), flush=True)


_HEAD = (
    "workers  job s  jobs/s  of ideal  claim p50/p99 ms  settle p50/p99 ms  "
    "PostgreSQL CPU  WAL B/job  backends wait for"
)


@dataclass(frozen=True)
class Crowd:
    """So many workers, whose jobs take so many seconds."""

    workers: int
    duration: float
    claim: int

    def measure(self, running: servers.Servers, environment: dict[str, str]) -> str:
        """Return a row of the table."""
        fastest = 6_000.0
        wanted = min(fastest, self.workers / self.duration if self.duration else fastest)
        rows = int(wanted * (WARM_UP + WINDOW) * 1.5) + self.workers
        fill = f"import django; django.setup(); from benchmarks.crowd import fill; fill({rows})"
        _run([sys.executable, "-c", fill], environment)
        members = self._start(environment)
        with running.connect(DATABASE) as connection:
            time.sleep(WARM_UP)
            before = _look(connection)
            waits: Counter[str] = Counter()
            deadline = time.monotonic() + WINDOW
            while time.monotonic() < deadline:
                waits.update(row[0] for row in connection.execute(_WAITS))
                time.sleep(0.05)
            after = _look(connection)
        answers = [json.loads(member.communicate(timeout=60)[0]) for member in members]
        jobs, seconds = after["jobs"] - before["jobs"], after["at"] - before["at"]
        ideal = f"{jobs / seconds / (self.workers / self.duration):7.0%}" if self.duration else "-"
        return (
            f"{self.workers:7}  {self.duration:5g}  {jobs / seconds:6.0f}  {ideal:>8}  "
            f"{_times(answers, 'claims'):>16}  {_times(answers, 'settlements'):>17}  "
            f"{(after['cpu'] - before['cpu']) / seconds:10.0%} of 1  "
            f"{(after['wal'] - before['wal']) / max(1, jobs):9.0f}  {_told(waits)}"
        )

    def _start(self, environment: dict[str, str]) -> list["subprocess.Popen[str]"]:
        share = -(-self.workers // PROCESSES)
        sizes = [min(share, self.workers - share * place) for place in range(PROCESSES)]
        plans = [
            {"threads": size, "duration": self.duration, "claim": self.claim}
            for size in sizes
            if size > 0
        ]
        return [
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.crowd", "--member", json.dumps(plan)],
                cwd=ROOT,
                env=programs.complete(environment),
                stdout=subprocess.PIPE,
                text=True,
            )
            for plan in plans
        ]


_WAITS = """
    SELECT COALESCE(wait_event_type || ':' || wait_event, 'CPU') FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND state = 'active' AND pid <> pg_backend_pid()
"""


def _look(connection: Any) -> dict[str, float]:
    row = connection.execute(
        "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn, COALESCE(sum(count), 0) FROM jobs_rollup"
    ).fetchone()
    family = [one for one in psutil.process_iter() if one.name() == "postgres"]
    cpu = 0.0
    for process in family:
        try:
            times = process.cpu_times()
            cpu += times.user + times.system
        except psutil.NoSuchProcess:
            continue
    return {"at": time.monotonic(), "wal": float(row[0]), "jobs": float(row[1]), "cpu": cpu}


def _times(answers: list[dict[str, Any]], what: str) -> str:
    found = sorted(value for answer in answers for value in answer[what])
    if not found:
        return "-"
    return f"{found[len(found) // 2] * 1e3:.1f} / {found[int(len(found) * 0.99)] * 1e3:.1f}"


def _told(waits: Counter[str]) -> str:
    total = max(1, sum(waits.values()))
    return ", ".join(f"{name} {times / total:.0%}" for name, times in waits.most_common(3))


def _run(command: list[str], environment: dict[str, str]) -> None:
    subprocess.run(command, cwd=ROOT, env=programs.complete(environment), check=True)


def fill(rows: int) -> None:
    """Empty the line, and enqueue so many jobs."""
    from django.db import connection

    from benchmarks.tasks import nothing
    from jobs.definition import Options

    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM jobs_job WHERE finished_at IS NULL")
    nothing.enqueue_many(({"number": number} for number in range(rows)), Options(queue=QUEUE))
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE jobs_job")


def _member(plan: dict[str, Any]) -> None:
    """Play some of the workers, and tell how long their statements took."""
    import django

    django.setup()
    until = time.monotonic() + WARM_UP + WINDOW + 2
    claims: list[float] = []
    settlements: list[float] = []
    threads = [
        threading.Thread(target=_work, args=(plan, until, claims, settlements))
        for _ in range(plan["threads"])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"claims": claims[-50_000:], "settlements": settlements[-50_000:]}))


def _work(
    plan: dict[str, Any], until: float, claims: list[float], settlements: list[float]
) -> None:
    from django.db import connection

    from jobs import transitions
    from jobs.records import Settlement
    from jobs.states import Move

    while time.monotonic() < until:
        began = time.monotonic()
        line = transitions.claim_next(
            QUEUE, plan["claim"], worker=None, tasks=["benchmarks.nothing"]
        )
        claims.append(time.monotonic() - began)
        if not line.claimed:
            time.sleep(0.05)
            continue
        time.sleep(plan["duration"] * len(line.claimed))
        began = time.monotonic()
        transitions.settle(
            [Settlement(id=job.id, lease=job.lease, move=Move.SUCCEEDED) for job in line.claimed]
        )
        settlements.append(time.monotonic() - began)
    connection.close()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.settings")
    main()
