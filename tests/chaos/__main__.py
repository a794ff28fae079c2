"""``make chaos``, or ``python -m tests.chaos``: break everything, then count.

The exit code is 0 when nothing is lost, done twice or stuck, 1 when something is (it is told with
its audit trail, and the command that repeats the seed), 2 for a bad command, 130 for Ctrl-C.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from embedded.__main__ import default_data_dir
from tests.chaos import planner, recovery, verify
from tests.chaos.driver import Driver, kill_everything
from tests.chaos.faults import FAULTS
from tests.chaos.plan import Plan
from tests.chaos.report import Report
from tests.chaos.world import World

#: Of the time given, the part that the faults have: the rest is for start, end and count, and for
#: faults that wait for each other.
STORM = 0.7
#: Seconds that a fault takes which is measured alone.
ALONE = 6.0
#: Seconds from one fault to the next, at most and at least.
SLOWEST, FASTEST = 2.5, 0.6


def main(argv: Sequence[str] | None = None) -> int:
    """Read the command line, run, report; answers the exit code."""
    options = _options(argv)
    report_path = options.report or default_data_dir() / "chaos" / "report.json"
    kinds = {name: FAULTS[name].weight for name in options.only or FAULTS}
    kinds = {name: weight or 1 for name, weight in kinds.items() if weight or options.only}
    plan = planner.make(
        options.seed,
        jobs=options.jobs,
        faults=options.faults,
        kinds=kinds,
        crowds=[name for name in kinds if FAULTS[name].crowd],
        alone=[name for name in kinds if FAULTS[name].promise] if options.alone else [],
    )
    folder = Path(tempfile.mkdtemp(prefix="erp-chaos-"))
    folder.chmod(0o711)  # PostgreSQL's account passes through
    _tell(f"seed {options.seed}: {options.jobs} jobs, {options.faults} faults, in {folder}")
    world = None
    try:
        world = World(folder, hosts=options.hosts)
        driver = Driver(world, plan, pace=_pace(plan, options.minutes * 60), tell=_tell)
        evidence = driver.play()
        report = Report(
            seed=options.seed,
            command=_command(options),
            evidence=evidence,
            findings=verify.check(evidence, plan.jobs(), plan.flows()),
            problems=world.problems,
            strikes=driver.strikes,
            recoveries=recovery.longest(evidence, driver.strikes, plan.jobs()),
            storm=driver.calm_at - driver.began,
            calm=driver.final_at - driver.calm_at,
        )
        report.write(report_path)
        print(report.table())
        print(f"report: {report_path}")
        if options.keep:
            (folder / "evidence.log").write_text(evidence.told())
        if not report.well:
            print(report.failure(sorted(folder.glob("*.log"))), file=sys.stderr)
            (folder / "evidence.log").write_text(evidence.told())
            _keep_logs(folder, report_path.parent / f"logs-{options.seed}")
        return 0 if report.well else 1
    except KeyboardInterrupt:
        _tell("interrupted; everything is ended")
        return 130
    finally:
        if world is not None:
            kill_everything(world)
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, default=None, help="default: another one each time")
    parser.add_argument("--minutes", type=float, default=10, help="for all of it")
    parser.add_argument(
        "--only", nargs="+", choices=sorted(FAULTS), metavar="FAULT", help=", ".join(sorted(FAULTS))
    )
    parser.add_argument(
        "--alone",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="first measure each fault about which something is promised, alone",
    )
    parser.add_argument("--hosts", type=int, default=2, help="worker groups (two at least)")
    parser.add_argument("--report", type=Path, help="default: .data/chaos/report.json")
    parser.add_argument("--keep", action="store_true", help="keep servers' data and all logs")
    options = parser.parse_args(argv)
    if options.jobs < 1 or options.faults < 1 or options.hosts < 2:
        parser.error("expected 1 job, 1 fault and 2 hosts at least")
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1_000_000)
    return options


def _pace(plan: Plan, seconds: float) -> float:
    """Return the seconds from one fault of the storm to the next."""
    calm = sum(step.alone for step in plan.steps)
    storm = len(plan.steps) - calm
    return max(FASTEST, min(SLOWEST, (seconds * STORM - calm * ALONE) / max(1, storm)))


def _command(options: argparse.Namespace) -> str:
    told = [f"--seed {options.seed} --jobs {options.jobs} --faults {options.faults}"]
    if options.only:
        told.append(f"--only {' '.join(options.only)}")
    if not options.alone:
        told.append("--no-alone")
    if options.hosts != 2:
        told.append(f"--hosts {options.hosts}")
    return f".venv/bin/python -m tests.chaos {' '.join(told)} --minutes {options.minutes:g}"


def _keep_logs(folder: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for path in [*folder.glob("*.log"), *folder.glob("*.journal"), *folder.glob("data/log/*.log")]:
        shutil.copy(path, target)
    print(f"logs: {target}", file=sys.stderr)


_BEGAN = time.monotonic()


def _tell(line: str) -> None:
    minutes, seconds = divmod(int(time.monotonic() - _BEGAN), 60)
    print(f"{minutes:02}:{seconds:02} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
