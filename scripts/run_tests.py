"""``python -m scripts.run_tests``: all tests, in lanes side by side, each run on its own servers.

Tests on real processes mostly wait for those, and tests of the rules mostly compute: together they
take little longer than the longer of the two. What a lane has to do, it does one after the other.
With arguments for pytest there is one run with them.
"""

import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence

#: Where whole workers and stacks are tried.
WHOLES = ("tests/acceptance", "tests/benchmarks", "tests/chaos")
#: As long as each other, by experience.
LANES: Sequence[Mapping[str, Sequence[str]]] = (
    {
        "rules": ["-m", "not processes"],
        "processes": ["-m", "processes", *(f"--ignore={whole}" for whole in WHOLES)],
    },
    {"wholes": ["-m", "processes", *WHOLES]},
)

_screen = threading.Lock()


def main() -> int:
    """Run the tests; returns 0 when all passed."""
    if sys.argv[1:]:
        return subprocess.run(_pytest(sys.argv[1:]), check=False).returncode
    codes: dict[str, int] = {}
    stopping = threading.Event()
    lanes = [threading.Thread(target=_run, args=(lane, codes, stopping)) for lane in LANES]
    try:
        for thread in lanes:
            thread.start()
        for thread in lanes:
            thread.join()
    except KeyboardInterrupt:
        stopping.set()
        for thread in lanes:
            thread.join()  # what runs got Ctrl-C too, and cleans up
        return 1
    for name, code in codes.items():
        print(f"{name}: {'passed' if code == 0 else f'pytest ended with {code}'}", flush=True)
    return max(abs(code) for code in codes.values())


def _run(
    lane: Mapping[str, Sequence[str]], codes: dict[str, int], stopping: threading.Event
) -> None:
    for name, arguments in lane.items():
        if stopping.is_set():
            return
        # A cache of failures for several runs would be that of none.
        with subprocess.Popen(
            _pytest(["-p", "no:cacheprovider", *arguments]),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            for line in process.stdout or ():
                with _screen:
                    sys.stdout.write(line)
                    sys.stdout.flush()
        codes[name] = process.returncode


def _pytest(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "pytest", *arguments]


if __name__ == "__main__":
    sys.exit(main())
