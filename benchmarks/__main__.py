"""``make bench``: our engine beside its peers, on servers of its own, in one run.

Every system is asked for the same jobs, by turns, several times; what counts are the ratios of one
run (see ``docs/reference/performance.md``, which ``--write`` renews). Peers are installed apart, on
first use; one that cannot be had is left out, and one that fails is told of, and the others go on.
All figures are kept as JSON below ``.data/bench/``.
"""

import argparse
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import environments, grown, machine, report, servers
from benchmarks.errors import Failed, Unavailable
from benchmarks.figures import PARTS, add, number
from benchmarks.measures import Bench, Sizes, named
from benchmarks.programs import ROOT
from benchmarks.results import Results
from benchmarks.systems import SYSTEMS

HOME = ROOT / ".data" / "bench"
PAGE = ROOT / "docs" / "reference" / "performance.md"


def main() -> None:
    """Measure, print, keep."""
    options = _options()
    sizes = Sizes(jobs=options.jobs, pickups=options.pickups, deadline=options.deadline)
    results = Results(
        began=datetime.now(UTC),
        command=" ".join(["python -m benchmarks", *sys.argv[1:]]),
        machine=machine.description(),
        servers="",
        load_before=machine.load(),
        repeats=options.repeat,
        jobs=sizes.jobs,
        pickups=sizes.pickups,
    )
    with servers.running(options.home) as running:
        results.servers = running.version()
        try:
            _side_by_side(options, sizes, running, results)
            if options.rows:
                grown.measure(running, sizes, results, options.rows, options.only, attempt)
        except KeyboardInterrupt:
            results.failures.append("the run was interrupted")
    results.load_after = machine.load()
    print(report.render(results))
    tell(f"All figures: {results.keep(options.home)}")
    if options.write:
        report.write(PAGE, results)
        tell(f"Renewed {PAGE.relative_to(ROOT)}")
    sys.exit(1 if results.failures else 0)


def tell(line: str) -> None:
    """Show progress, apart from the report."""
    print(line, file=sys.stderr, flush=True)


def _side_by_side(
    options: argparse.Namespace, sizes: Sizes, running: servers.Servers, results: Results
) -> None:
    benches = []
    for place, name in enumerate(options.systems):
        bench = _ready(name, place + 1, running, sizes, results)
        if bench is not None:
            benches.append(bench)
    for repeat in range(options.repeat):
        # Each begins once, so that none always follows the same one.
        turn = repeat % max(1, len(benches))
        for bench in benches[turn:] + benches[:turn]:
            where = f"{repeat + 1}/{options.repeat} {bench.system.name}"
            for work in bench.measurements(options.only, sizes):
                found = attempt(where, work, results)
                add(results.values, bench.system.name, found)


def attempt(where: str, work: Callable[[], dict[str, float]], results: Results) -> dict[str, float]:
    """Measure, and tell what was found; a failure is kept, and nothing is found."""
    try:
        found = work()
    except Failed as error:
        results.failures.append(f"{where}: {error}")
        tell(f"{where}: FAILED: {error}")
        return {}
    tell(f"{where}: " + ", ".join(f"{name} {number(value)}" for name, value in found.items()))
    return found


def _ready(
    name: str, redis: int, running: servers.Servers, sizes: Sizes, results: Results
) -> Bench | None:
    system = SYSTEMS[name]
    try:
        python = environments.interpreter(system.requirements, system.python, HOME)
        bench = Bench(system, python, running, redis)
        bench.prepare(sizes)
        if len(system.configurations) > 1:
            bench.choose(sizes)
    except Unavailable as error:
        results.skipped[name] = str(error)
        tell(f"{name}: left out: {error}")
        return None
    except Failed as error:
        results.failures.append(f"{name}: {error}")
        tell(f"{name}: FAILED: {error}")
        return None
    results.configurations[name] = named(bench.configuration, system)
    results.versions[name] = machine.versions(python, system.packages)
    tell(f"{name}: {results.configurations[name]}")
    return bench


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only", type=_names(PARTS), default=set(PARTS), metavar="PART,…", help=", ".join(PARTS)
    )
    parser.add_argument(
        "--systems",
        type=lambda text: [name for name in SYSTEMS if name in _names(SYSTEMS)(text)],
        default=[name for name, system in SYSTEMS.items() if system.usual],
        metavar="NAME,…",
        help=f"{', '.join(SYSTEMS)}; without rq and dramatiq when not given",
    )
    parser.add_argument(
        "--jobs", type=int, default=2000, help="for a slow system; fast ones get more (2000)"
    )
    parser.add_argument("--pickups", type=int, default=200, help="jobs at low load (200)")
    parser.add_argument("--repeat", type=int, default=3, help="times (3)")
    parser.add_argument("--quick", action="store_true", help="few jobs, once: does it work at all?")
    parser.add_argument(
        "--rows",
        type=lambda text: [grown.rows(part) for part in text.split(",")],
        default=[],
        metavar="10k,1m,10m",
        help="measure ours again with so many finished jobs behind it",
    )
    parser.add_argument(
        "--deadline", type=float, default=180, help="seconds that one measurement may take (180)"
    )
    parser.add_argument(
        "--home", type=Path, default=HOME, help="where servers and figures are (.data/bench)"
    )
    parser.add_argument("--write", action="store_true", help=f"renew {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    if options.quick:
        options.jobs, options.pickups, options.repeat = 200, 20, 1
    return options


def _names(known: object) -> Callable[[str], set[str]]:
    def names(text: str) -> set[str]:
        found = {part.strip() for part in text.split(",") if part.strip()}
        allowed = set(known)  # type: ignore[call-overload]
        if unknown := found - allowed:
            raise argparse.ArgumentTypeError(
                f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(sorted(allowed))}"
            )
        return found

    return names


if __name__ == "__main__":
    main()
