"""Our own figures with many finished jobs behind them, by turns with few and with many.

All databases are filled before the first measurement, so that few and many are measured side by
side, and each begins once. What each measurement adds stays; that is little beside what is there.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks import growth, programs
from benchmarks.errors import Failed
from benchmarks.figures import add
from benchmarks.measures import Bench, Sizes, by_turns
from benchmarks.results import Results
from benchmarks.servers import Servers
from benchmarks.systems import OURS, SYSTEMS, Configuration

#: The first number in Redis after those of the systems, and how many of its 16 are left from there.
_REDIS = len(SYSTEMS) + 1
MOST_SIZES = 16 - _REDIS
#: Jobs that the copies are made of, and the queues and tenants that they are of.
SAMPLE, QUEUES, TENANTS = 400, ("inventory", "pdf", "compliance", "reports"), 40

Measure = Callable[[], dict[str, float]]
#: Measures, keeps what was found or that it failed: where, what, and the run's results.
Attempt = Callable[[str, Measure, Results], dict[str, float]]


def rows(text: str) -> list[int]:
    """Read an option such as ``10k,1m``: different numbers of rows, the least first."""
    try:
        found = sorted({growth.number_of(part) for part in text.split(",")})
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if len(found) > MOST_SIZES:
        raise argparse.ArgumentTypeError(
            f"expected {MOST_SIZES} different numbers at most, not {len(found)}: "
            "Redis has no more of its own for them"
        )
    return found


def measure(
    servers: Servers,
    sizes: Sizes,
    results: Results,
    wanted: list[int],
    parts: set[str],
    attempt: Attempt,
) -> None:
    """Fill a database for each number of rows, and measure in all of them by turns."""
    benches: dict[str, Bench] = {}
    for place, number in enumerate(wanted):
        label = growth.label(number)
        bench = Bench(OURS, Path(sys.executable), servers, _REDIS + place)
        bench.database = f"bench_grown_{number}"
        if attempt(f"{label} jobs", partial(_filled, bench, number, sizes), results):
            benches[label] = bench
            # Few come first, whatever is found first.
            results.grown[label] = {}
    for repeat in range(results.repeats):
        for label, bench in by_turns(list(benches.items()), repeat):
            where = f"{repeat + 1}/{results.repeats} behind {label} jobs"
            works: list[Measure] = [*bench.measurements(parts, sizes), partial(_look, bench, sizes)]
            for work in works:
                add(results.grown, label, attempt(where, work, results))
    for label, bench in benches.items():
        add(
            results.grown,
            label,
            attempt(f"behind {label} jobs", partial(_prune, bench, sizes), results),
        )
        servers.drop(bench.database)


def _filled(bench: Bench, number: int, sizes: Sizes) -> dict[str, float]:
    growth.check_room(bench.servers.data, number)
    bench.prepare(sizes)
    bench.fresh()
    sample = Configuration(
        name="sample", workers=(("manage.py", "worker", *QUEUES, "--concurrency", "2"),)
    )
    own, bench.configuration = bench.configuration, sample
    jobs = bench.ask("sample", str(SAMPLE), within=sizes.deadline)["jobs"]
    with bench.working() as workers:
        bench.drained(workers, jobs, sizes)
    bench.configuration = own
    bench.keeps_rows = True
    seconds = growth.fill(bench.servers, bench.database, number)
    return {"rows": number, "seconds": seconds}


def _look(bench: Bench, sizes: Sizes) -> dict[str, float]:
    found = _ask(bench, "look", sizes.deadline)
    return {name: found[name] for name in ("listing", "overview")}


def _prune(bench: Bench, sizes: Sizes) -> dict[str, float]:
    # A million jobs take longer than a measurement otherwise may.
    found = _ask(bench, "prune", sizes.deadline * 10)
    if not found["jobs"]:
        raise Failed("prune: nothing was deleted")
    return {"prune": found["jobs"] / found["seconds"]}


def _ask(bench: Bench, verb: str, within: float) -> dict[str, float]:
    program = ("-m", "benchmarks.looking", verb)
    return programs.ask(Path(sys.executable), program, bench.environment(), within)
