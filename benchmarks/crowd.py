"""``python -m benchmarks.crowd``: how PostgreSQL bears 10, 100 and 1000 workers.

A worker is played by a thread with a connection of its own that claims a job, sleeps as long as the
job would take, and settles it, by the engine's own statements, all at one queue: the worst case.
What a body costs is left out, so one machine can play many hosts; and Redis is, since no worker of
a busy queue waits for a bell. With ``--pooler`` each crowd is measured twice by turns: with its own
sessions, and behind a PgBouncer. Figures for ``docs/explanation/scaling.md``.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import psutil

from benchmarks import arguments, machine, pooler, programs, servers
from benchmarks.errors import Failed, Unavailable
from benchmarks.programs import ROOT
from embedded import Places, postgres

#: Python processes among which the workers are spread.
PROCESSES = 4
#: Seconds for the workers to connect, and to be looked at.
WARM_UP, WINDOW = 8.0, 15.0
#: Seconds for the last statements of a crowd that stands in its own way.
FAREWELL = 180.0
#: Jobs a second that are not exceeded by half, claimed one by one and in chunks.
FASTEST, FASTEST_IN_CHUNKS = 1_000.0, 6_000.0
DATABASE, QUEUE = "crowd", "reports"


def main() -> None:
    """Measure each crowd, with jobs of each duration, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crowd", description=__doc__)
    parser.add_argument(
        "--workers",
        type=arguments.several(arguments.count),
        default=[10, 100, 1000],
        metavar="NUMBER,…",
        help="(10,100,1000)",
    )
    parser.add_argument(
        "--durations",
        type=arguments.several(arguments.seconds_or_none),
        default=[1.0, 0.0],
        metavar="SECONDS,…",
        help="seconds a job takes (1,0)",
    )
    parser.add_argument("--claim", type=arguments.count, default=1, help="jobs claimed at once (1)")
    parser.add_argument(
        "--pooler",
        nargs="?",
        type=arguments.count,
        const=30,
        metavar="SERVER_CONNECTIONS",
        help="measure each crowd once more, behind a PgBouncer with so many of them (30)",
    )
    parser.add_argument(
        "--repeat", type=arguments.count, default=1, help="times that all is measured (1)"
    )
    parser.add_argument("--member", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.member:
        _member(json.loads(options.member))
        return
    if options.pooler is not None:
        try:
            pooler.program()
        except Unavailable as error:
            parser.error(str(error))
    crowds = [
        Crowd(workers, duration, options.claim, behind)
        for duration in options.durations
        for workers in options.workers
        for behind in ((0, options.pooler) if options.pooler else (0,))
    ]
    try:
        _measure(crowds, options.repeat)
    except Failed as error:
        raise SystemExit(str(error)) from None


def _measure(crowds: Sequence["Crowd"], repeat: int) -> None:
    # As an operator with so many workers would.
    postgres.SETTINGS["max_connections"] = "1200"
    print(f"{machine.description()}, load {machine.load():.1f}")
    print(_HEAD)
    found: dict[Crowd, list[Figures]] = {crowd: [] for crowd in crowds}
    with servers.running(ROOT / ".data" / "crowd") as running:
        environment = running.environment(DATABASE, 0) | {
            "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
            "DATABASE_TRANSACTION_POOLING": "false",
        }
        running.create(DATABASE)
        _run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], environment)
        for _, crowd in product(range(repeat), crowds):
            found[crowd].append(crowd.measure(running, environment))
            print(crowd.row(found[crowd][-1]), flush=True)
    if repeat > 1:
        print(f"medians of {repeat}, load {machine.load():.1f}")
        for crowd, figures in found.items():
            print(crowd.row(median(figures)))


_HEAD = (
    "workers  pooler  job s  jobs/s  of ideal  claim p50/p99 ms  settle p50/p99 ms  "
    "PostgreSQL CPU  pooler CPU  WAL B/job  backends wait for"
)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was seen of a crowd: jobs a second, seconds, and shares of one core."""

    jobs: float
    claim: tuple[float, float]
    settle: tuple[float, float]
    cpu: float
    pooler_cpu: float
    wal: float
    waits: Counter[str]


def median(figures: Sequence[Figures]) -> Figures:
    """Return the median of each figure, and the waits of all."""

    def middle(values: Iterator[tuple[float, float]]) -> tuple[float, float]:
        halves, tails = zip(*values, strict=True)
        return statistics.median(halves), statistics.median(tails)

    return Figures(
        jobs=statistics.median(one.jobs for one in figures),
        claim=middle(one.claim for one in figures),
        settle=middle(one.settle for one in figures),
        cpu=statistics.median(one.cpu for one in figures),
        pooler_cpu=statistics.median(one.pooler_cpu for one in figures),
        wal=statistics.median(one.wal for one in figures),
        waits=sum((one.waits for one in figures), Counter()),
    )


@dataclass(frozen=True)
class Crowd:
    """So many workers, whose jobs take so many seconds, and the pooler's server connections."""

    workers: int
    duration: float
    claim: int
    behind: int = 0

    def measure(self, running: servers.Servers, environment: dict[str, str]) -> Figures:
        """Have it work for a while, and look."""
        fastest = FASTEST if self.claim == 1 else FASTEST_IN_CHUNKS
        wanted = min(fastest, self.workers / self.duration if self.duration else fastest)
        rows = int(wanted * (WARM_UP + WINDOW) * 1.5) + self.workers
        fill = f"import django; django.setup(); from benchmarks.crowd import fill; fill({rows})"
        _run([sys.executable, "-c", fill], environment)
        with (
            self._pooler(running) as (pooled, pid),
            running.connect(DATABASE) as connection,
            self._members(environment | pooled) as members,
        ):
            time.sleep(WARM_UP)
            before = _look(connection, pid)
            waits: Counter[str] = Counter()
            deadline = time.monotonic() + WINDOW
            while time.monotonic() < deadline:
                waits.update(row[0] for row in connection.execute(_WAITS))
                time.sleep(0.05)
            after = _look(connection, pid)
            answers = [json.loads(member.communicate(timeout=FAREWELL)[0]) for member in members]
        jobs, seconds = after["jobs"] - before["jobs"], after["at"] - before["at"]
        return Figures(
            jobs=jobs / seconds,
            claim=_times(answers, "claims"),
            settle=_times(answers, "settlements"),
            cpu=(after["cpu"] - before["cpu"]) / seconds,
            pooler_cpu=(after["pooler"] - before["pooler"]) / seconds,
            wal=(after["wal"] - before["wal"]) / max(1, jobs),
            waits=waits,
        )

    def row(self, figures: Figures) -> str:
        """Return a row of the table."""
        ideal = f"{figures.jobs / (self.workers / self.duration):.0%}" if self.duration else "-"
        return (
            f"{self.workers:7}  {self.behind or '-':>6}  {self.duration:5g}  {figures.jobs:6.0f}  "
            f"{ideal:>8}  {_milliseconds(figures.claim):>16}  "
            f"{_milliseconds(figures.settle):>17}  {figures.cpu:9.0%} of 1  "
            f"{format(figures.pooler_cpu, '.0%') if self.behind else '-':>10}  "
            f"{figures.wal:9.0f}  {_told(figures.waits)}"
        )

    @contextmanager
    def _pooler(self, running: servers.Servers) -> Iterator[tuple[dict[str, str], int | None]]:
        if not self.behind:
            yield {}, None
            return
        with pooler.running(Places(running.data), self.behind) as one:
            yield one.environment(DATABASE), one.pid

    @contextmanager
    def _members(self, environment: dict[str, str]) -> Iterator[list["subprocess.Popen[str]"]]:
        members = self._start(environment)
        try:
            yield members
        finally:
            for member in members:
                if member.poll() is None:
                    member.kill()
                    member.wait()

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


def _look(connection: Any, pooler_pid: int | None) -> dict[str, float]:
    row = connection.execute(
        "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn, COALESCE(sum(count), 0) FROM jobs_rollup"
    ).fetchone()
    postmaster = psutil.Process(connection.info.backend_pid).parent()
    assert postmaster is not None
    ended = postmaster.cpu_times()
    cpu = ended.children_user + ended.children_system
    cpu += sum(map(_cpu, (postmaster, *postmaster.children())))
    return {
        "at": time.monotonic(),
        "wal": float(row[0]),
        "jobs": float(row[1]),
        "cpu": cpu,
        "pooler": _cpu(psutil.Process(pooler_pid)) if pooler_pid else 0.0,
    }


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _times(answers: list[dict[str, Any]], what: str) -> tuple[float, float]:
    found = sorted(value for answer in answers for value in answer[what])
    if not found:
        return 0.0, 0.0
    return found[len(found) // 2], found[int(len(found) * 0.99)]


def _milliseconds(times: tuple[float, float]) -> str:
    return f"{times[0] * 1e3:.1f} / {times[1] * 1e3:.1f}"


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
