"""``make bench``: our engine beside its peers, on servers of its own, in one run.

Every system is asked for the same jobs, by turns, several times; what counts are the ratios of one
run (see ``docs/reference/performance.md``, which ``--write`` renews when all was measured). Peers
are installed apart, on first use; one that cannot be had is left out, and one that fails is told
of, and the others go on. All figures are kept as JSON below ``.data/bench/``, whatever ends the
run; ``--from`` shows them again.
"""

import argparse
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import environments, grown, growth, machine, report, servers
from benchmarks.arguments import count, seconds
from benchmarks.errors import Failed, Unavailable
from benchmarks.figures import PARTS, add, number
from benchmarks.measures import Bench, Sizes, by_turns, named
from benchmarks.programs import ROOT
from benchmarks.results import Results
from benchmarks.systems import SYSTEMS

HOME = ROOT / ".data" / "bench"
PAGE = ROOT / "docs" / "reference" / "performance.md"
#: Measured without being named.
USUAL = [name for name, system in SYSTEMS.items() if system.usual]


def main() -> None:
    """Measure, print, keep; or print what was kept."""
    options = _options()
    if options.kept is not None:
        sys.exit(0 if _told(options.kept, options.file, options.write) else 1)
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
        try:
            if options.rows:
                growth.check_room(running.data, sum(options.rows))
        except Failed as error:
            raise SystemExit(f"--rows: {error}") from None
        try:
            results.servers = running.version()
            _side_by_side(options, sizes, running, results)
            if options.rows:
                grown.measure(running, sizes, results, options.rows, options.only, attempt)
        except KeyboardInterrupt:
            results.failures.append("the run was interrupted")
        except Exception as error:
            results.failures.append(f"the run broke off: {_reason(error)}")
            raise
        finally:
            results.load_after = machine.load()
            file = results.keep(options.home)
            tell(f"All figures: {file}")
    written = _told(results, file, options.write)
    sys.exit(1 if results.failures or not written else 0)


def _told(results: Results, file: Path, write: bool) -> bool:
    """Print the run, and renew the page when asked to; returns whether that was done, too."""
    print(report.render(results))
    if not write:
        return True
    page = PAGE.relative_to(ROOT)
    if objection := report.objection(PAGE.read_text(), results):
        tell(f"{page} stays as it was: {objection}. The figures are in {file}")
        return False
    report.write(PAGE, results)
    tell(f"Renewed {page}")
    return True


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
        for bench in by_turns(benches, repeat):
            where = f"{repeat + 1}/{options.repeat} {bench.system.name}"
            for work in bench.measurements(options.only, sizes):
                found = attempt(where, work, results)
                add(results.values, bench.system.name, found)


def attempt(where: str, work: Callable[[], dict[str, float]], results: Results) -> dict[str, float]:
    """Measure, and tell what was found; a failure is kept, and nothing is found."""
    try:
        found = work()
    except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
        _failed(where, error, results)
        return {}
    tell(f"{where}: " + ", ".join(f"{name} {number(value)}" for name, value in found.items()))
    return found


def _failed(where: str, error: Exception, results: Results) -> None:
    results.failures.append(f"{where}: {_reason(error)}")
    tell(f"{where}: FAILED: {_reason(error)}")


def _reason(error: Exception) -> str:
    """Return in one line what went wrong, and of what kind it is when nobody foresaw it."""
    kind = "" if isinstance(error, Failed) else f"{type(error).__name__}: "
    return " ".join(f"{kind}{error}".split())


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
    except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
        _failed(name, error, results)
        return None
    results.configurations[name] = named(bench.configuration, system)
    results.versions[name] = machine.versions(python, system.packages)
    tell(f"{name}: {results.configurations[name]}")
    return bench


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = _parser()
    options = parser.parse_args(arguments)
    options.jobs = options.jobs or (200 if options.quick else 2000)
    options.pickups = options.pickups or (20 if options.quick else 200)
    options.repeat = options.repeat or (1 if options.quick else report.REPEATS)
    options.kept = None
    if options.file is not None:
        try:
            options.kept = Results.read(options.file)
        except ValueError as error:
            parser.error(f"argument --from: {error}")
    elif options.write and (why := _too_little(options)):
        parser.error(f"argument --write: {why}")
    return options


def _too_little(options: argparse.Namespace) -> str:
    """Return which option leaves too little for the page; empty when none does."""
    if options.quick:
        return "not with --quick"
    if absent := [name for name in USUAL if name not in options.systems]:
        return f"not with --systems without {', '.join(absent)}"
    if absent := [part for part in PARTS if part not in options.only]:
        return f"not with --only without {', '.join(absent)}"
    if options.repeat < report.REPEATS:
        return f"not with --repeat below {report.REPEATS}"
    if not options.rows and report.shows_growth(PAGE.read_text()):
        return "needs --rows, since the page has tables of growth"
    return ""


def _parser() -> argparse.ArgumentParser:
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
        default=USUAL,
        metavar="NAME,…",
        help=f"{', '.join(SYSTEMS)}; without rq and dramatiq when not given",
    )
    parser.add_argument("--jobs", type=count, help="for a slow system; fast ones get more (2000)")
    parser.add_argument("--pickups", type=count, help="jobs at low load (200)")
    parser.add_argument("--repeat", type=count, help=f"times ({report.REPEATS})")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="few jobs, once, where the three above say nothing else: does it work at all?",
    )
    parser.add_argument(
        "--rows",
        type=grown.rows,
        default=[],
        metavar="10k,1m,10m",
        help="measure ours again with so many finished jobs behind it",
    )
    parser.add_argument(
        "--deadline",
        type=seconds,
        default=180.0,
        metavar="SECONDS",
        help="that one measurement may take (180)",
    )
    parser.add_argument(
        "--home", type=Path, default=HOME, help="where servers and figures are (.data/bench)"
    )
    parser.add_argument(
        "--write",
        action="store_true",
        help=f"renew {PAGE.relative_to(ROOT)}, when all was measured",
    )
    parser.add_argument(
        "--from",
        dest="file",
        type=Path,
        metavar="FILE",
        help="measure nothing, and show the figures that a run has kept",
    )
    return parser


def _names(known: Iterable[str]) -> Callable[[str], set[str]]:
    def names(text: str) -> set[str]:
        found = {part.strip() for part in text.split(",") if part.strip()}
        allowed = set(known)
        if not found:
            raise argparse.ArgumentTypeError(f"expected some of: {', '.join(sorted(allowed))}")
        if unknown := found - allowed:
            raise argparse.ArgumentTypeError(
                f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(sorted(allowed))}"
            )
        return found

    return names


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the figures are kept then, too
    main()
