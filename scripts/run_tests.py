"""``python -m scripts.run_tests``: all tests, in two runs side by side, each on servers of its own.

Tests on real processes mostly wait for those, and tests of the rules mostly compute: together they
take little longer than the longer of the two. With arguments for pytest there is one run with them.
"""

import subprocess
import sys
import threading
from typing import IO

RUNS = {"rules": ["-m", "not processes"], "processes": ["-m", "processes"]}

_screen = threading.Lock()


def main() -> int:
    """Run the tests; returns 0 when all passed."""
    pytest = [sys.executable, "-m", "pytest"]
    if sys.argv[1:]:
        return subprocess.run([*pytest, *sys.argv[1:]], check=False).returncode
    running = {
        name: subprocess.Popen(
            # A cache of failures for two runs at once would be that of neither.
            [*pytest, "-p", "no:cacheprovider", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name, arguments in RUNS.items()
    }
    told = [
        threading.Thread(target=_pass_on, args=(process.stdout,)) for process in running.values()
    ]
    try:
        for thread in told:
            thread.start()
        for thread in told:
            thread.join()
    except KeyboardInterrupt:
        for process in running.values():
            process.wait()  # they got Ctrl-C too, and clean up
    codes = {name: process.wait() for name, process in running.items()}
    for name, code in codes.items():
        print(f"{name}: {'passed' if code == 0 else f'pytest ended with {code}'}", flush=True)
    return max(abs(code) for code in codes.values())


def _pass_on(output: IO[str] | None) -> None:
    assert output is not None
    for line in output:
        with _screen:
            sys.stdout.write(line)
            sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
