"""The supervisor, with real little processes."""

import atexit
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path

import psutil
import pytest

from jobs import child_process
from jobs.supervisor import Child, Event, Supervisor

pytestmark = pytest.mark.processes
ROOT = Path(__file__).resolve().parents[2]
FOREVER = "import time; time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(15, signal.SIG_IGN); signal.signal(2, signal.SIG_IGN);"
    "print(1); time.sleep(60)"
)


def python(code: str) -> list[str]:
    return [sys.executable, "-u", "-c", code]


class Seen(list[tuple[Event, str, str]]):
    """Events as they come; `then` is called when a certain one has come a number of times."""

    def __init__(self) -> None:
        super().__init__()
        self.reactions: list[tuple[Event, int, Callable[[], None]]] = []

    def __call__(self, event: Event, name: str, detail: str) -> None:
        self.append((event, name, detail))
        for wanted, times, reaction in self.reactions:
            if event is wanted and self.count_of(event) == times:
                reaction()

    def then(self, event: Event, times: int, reaction: Callable[[], None]) -> None:
        self.reactions.append((event, times, reaction))

    def count_of(self, event: Event) -> int:
        return sum(one[0] is event for one in self)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_children_run_until_a_signal_and_end_together() -> None:
    seen = Seen()
    keeper = Supervisor([Child("a", python(FOREVER)), Child("b", python(FOREVER))], on_event=seen)
    pids: list[int] = []

    def end() -> None:
        pids.extend(keeper.pids().values())
        press_ctrl_c()

    seen.then(Event.STARTED, 2, end)
    before = signal.getsignal(signal.SIGTERM)
    assert keeper.run() == 0
    assert len(pids) == 2
    assert not any(map(is_running, pids))
    assert seen.count_of(Event.ENDED) == 2
    assert seen.count_of(Event.KILLED) == 0
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_child_that_dies_is_started_again_later_and_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(child_process, "LONGEST_BACKOFF", 0.4)
    seen = Seen()
    keeper = Supervisor([Child("a", python("raise SystemExit(3)"))], on_event=seen)
    seen.then(Event.STARTED, 4, keeper.stop)
    assert keeper.run() == 0
    assert (Event.DIED, "a", "exit code 3") in seen
    waits = [detail for event, _, detail in seen if event is Event.RESTARTING]
    assert waits == ["in 0.2 s", "in 0.4 s", "in 0.4 s"]


def test_a_child_that_had_settled_is_started_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "SETTLED_AFTER", 0.0)
    seen = Seen()
    keeper = Supervisor([Child("a", python(FOREVER))], on_event=seen)

    def kill() -> None:
        os.kill(keeper.pids()["a"], signal.SIGKILL)

    for times in (1, 2, 3):
        seen.then(Event.STARTED, times, kill)
    seen.then(Event.STARTED, 4, keeper.stop)
    keeper.run()
    assert {d for e, _, d in seen if e is Event.RESTARTING} == {"in 0.2 s"}
    assert (Event.DIED, "a", "killed by SIGKILL") in seen


def test_the_end_of_a_child_that_is_not_restarted_ends_all() -> None:
    children = [
        Child("once", python("raise SystemExit(7)"), restart=False),
        Child("other", python(FOREVER)),
    ]
    seen = Seen()
    assert Supervisor(children, on_event=seen).run() == 7
    assert seen[-1][:2] == (Event.ENDED, "other")


def test_who_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    child = Child(
        "a", python(STUBBORN), grace=0.3, log=log, is_ready=lambda: log.stat().st_size > 0
    )
    seen = Seen()
    keeper = Supervisor([child], on_event=seen)
    seen.then(Event.READY, 1, keeper.stop)
    began = time.monotonic()
    assert keeper.run() == 0
    assert time.monotonic() - began < 10
    assert [event for event, _, _ in seen][-2:] == [Event.KILLED, Event.ENDED]


def test_a_second_signal_kills_soon(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    child = Child("a", python(STUBBORN), grace=60, log=log, is_ready=lambda: log.stat().st_size > 0)
    seen = Seen()
    keeper = Supervisor([child], on_event=seen)
    seen.then(Event.READY, 1, press_ctrl_c)
    seen.then(Event.STOPPING, 1, press_ctrl_c)
    began = time.monotonic()
    keeper.run()
    assert time.monotonic() - began < 10
    assert seen.count_of(Event.KILLED) == 1


def test_what_a_child_started_does_not_outlive_it(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    code = f"""
        import subprocess, sys, time
        print(subprocess.Popen([sys.executable, "-c", {STUBBORN!r}]).pid)
        time.sleep(60)
    """
    child = Child(
        "a",
        python(textwrap.dedent(code)),
        log=log,
        # The grandchild's number, then the line it writes once it ignores SIGTERM.
        is_ready=lambda: log.exists() and log.read_text().count("\n") == 2,
    )
    seen = Seen()
    keeper = Supervisor([child], on_event=seen)
    seen.then(Event.READY, 1, keeper.stop)
    keeper.run()
    grandchild = max(map(int, log.read_text().split()))
    assert until(lambda: not is_running(grandchild))


def test_readiness_has_a_deadline() -> None:
    seen = Seen()
    child = Child("a", python(FOREVER), is_ready=lambda: False, ready_within=0.1)
    keeper = Supervisor([child], on_event=seen)
    seen.then(Event.LATE, 1, keeper.stop)
    keeper.run()
    assert seen.count_of(Event.READY) == 0


def test_output_goes_to_the_screen_by_name_and_to_the_file(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    code = "import os, sys; os.write(1, b'one\\ntw'); os.write(2, b'o\\nend'); sys.exit(0)"
    log = tmp_path / "logs" / "a.log"
    waiting = Child("longer", python(FOREVER))
    child = Child("a", python(code), log=log)
    seen = Seen()
    keeper = Supervisor([child, waiting], on_event=seen, screen=True)
    seen.then(Event.STARTED, 3, keeper.stop)
    keeper.run()
    assert log.read_bytes().startswith(b"one\ntwo\nend")
    assert b"a      | one\na      | two\na      | end\n" in capfdbinary.readouterr().out


def test_a_program_that_is_not_there_is_tried_again(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    seen = Seen()
    keeper = Supervisor([Child("a", ["/no/such/program"], log=log)], on_event=seen)
    seen.then(Event.RESTARTING, 1, keeper.stop)
    assert keeper.run() == 0
    assert "cannot run /no/such/program" in log.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's promise is Linux's")
def test_children_end_when_the_supervisor_is_killed() -> None:
    code = textwrap.dedent(f"""
        import sys
        from jobs.supervisor import Child, Event, Supervisor
        def tell(event, name, detail):
            print(detail.split()[-1], flush=True)
        Supervisor([Child("a", [sys.executable, "-c", {FOREVER!r}])], on_event=tell).run()
    """)
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        # Until it has become the program it was started for, the kernel has not been told.
        assert until(lambda: FOREVER.encode() in Path(f"/proc/{pid}/cmdline").read_bytes())
        parent.kill()
    assert until(lambda: not is_running(pid))


def test_it_belongs_in_the_main_thread() -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            Supervisor([]).run()
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert "main thread" in str(errors[0])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_second_signal_reaches_the_children_of_a_child_that_supervises(tmp_path: Path) -> None:
    log = tmp_path / "inner.log"
    code = textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(ROOT)!r})
        from jobs.supervisor import Child, Supervisor
        stubborn = Child("b", [sys.executable, "-u", "-c", {("import os; print(os.getpid());" + STUBBORN)!r}],
                         grace=60)
        Supervisor([stubborn]).run()
    """)
    child = Child(
        "a", python(code), grace=60, log=log,
        is_ready=lambda: log.exists() and log.read_text().count("\n") == 2,
    )  # fmt: skip
    seen = Seen()
    keeper = Supervisor([child], on_event=seen)
    seen.then(Event.READY, 1, press_ctrl_c)
    seen.then(Event.STOPPING, 1, press_ctrl_c)
    keeper.run()
    inner = int(log.read_text().split()[0])
    assert until(lambda: not is_running(inner))


# --- forks ---------------------------------------------------------------------------------------


def sleep() -> None:
    time.sleep(60)


def fail() -> None:
    raise LookupError("no such thing")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def plain_streams() -> Iterator[None]:
    """Have `print` write where a process's output goes, and not to pytest."""
    with (
        open(1, "w", closefd=False) as out,
        open(2, "w", closefd=False) as errors,
        redirect_stdout(out),
        redirect_stderr(errors),
    ):
        yield


@pytest.mark.parametrize(
    ("run", "code", "said"),
    [
        (partial(int), 0, ""),
        (partial(sys.exit), 0, ""),
        (partial(sys.exit, 7), 7, ""),
        (partial(sys.exit, "too bad"), 1, "too bad\n"),
        (fail, 1, "LookupError: no such thing\n"),
        (die, 137, ""),
    ],
)
def test_a_fork_ends_with_the_exit_code_of_a_program(
    tmp_path: Path, run: Callable[[], object], code: int, said: str
) -> None:
    log = tmp_path / "a.log"
    with plain_streams():
        assert Supervisor([Child("a", run=run, restart=False, log=log)]).run() == code
    assert log.read_text().endswith(said)
    assert ("Traceback" in log.read_text()) == (run is fail)


def test_a_fork_that_is_killed_is_started_again() -> None:
    seen = Seen()
    keeper = Supervisor([Child("a", run=sleep)], on_event=seen)
    seen.then(Event.STARTED, 1, lambda: os.kill(keeper.pids()["a"], signal.SIGKILL))
    seen.then(Event.STARTED, 2, keeper.stop)
    assert keeper.run() == 0
    assert (Event.DIED, "a", "killed by SIGKILL") in seen


def test_a_fork_that_has_just_begun_can_be_stopped() -> None:
    seen = Seen()
    keeper = Supervisor([Child("a", run=sleep, grace=60)], on_event=seen)
    seen.then(Event.STARTED, 1, keeper.stop)
    began = time.monotonic()
    assert keeper.run() == 0
    assert time.monotonic() - began < 10
    assert seen[-1] == (Event.ENDED, "a", "killed by SIGTERM")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_fork_begins_as_a_program_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "yes")
    before = signal.signal(signal.SIGUSR1, lambda *_: None)

    def tell() -> None:
        told = {
            "env": [os.environ.get(name) for name in ("KEPT", "GIVEN", "JOBS_SUPERVISED")],
            "handlers": [
                signal.getsignal(number) is signal.SIG_DFL
                for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1)
            ],
            "ctrl_c": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
            "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
            "wakeup": signal.set_wakeup_fd(-1),
            "leads_its_group": os.getpgrp() == os.getpid(),
            "stdin": os.read(0, 1).decode(),
            "title": " ".join(psutil.Process().cmdline()).strip(),
            "files": sorted(open_files()),
        }
        os.write(1, json.dumps(told).encode())

    logs = [tmp_path / "a.log", tmp_path / "b.log"]
    children = [
        Child("b", run=sleep, log=logs[1]),
        Child("a", run=tell, env={"GIVEN": "too"}, log=logs[0], restart=False),
    ]
    inherited = open_files()
    try:
        assert Supervisor(children).run() == 0
    finally:
        signal.signal(signal.SIGUSR1, before)
    told = json.loads(logs[0].read_text())
    # Nothing of the supervisor's is open: its selector, its sockets, another child's log.
    assert {*told.pop("files")} - inherited <= {str(logs[0]), os.devnull}
    assert told == {
        "env": ["yes", "too", "1"],
        "handlers": [True, True, True],
        "ctrl_c": True,
        "blocked": 0,
        "wakeup": -1,
        "leads_its_group": True,
        "stdin": "",
        "title": "[jobs: a]",
    }


def open_files() -> set[str]:
    files = Path("/proc/self/fd").iterdir()
    return {str(file.readlink()) for file in files if os.path.lexists(file)}


def test_a_fork_runs_its_own_functions_at_its_end_and_not_its_supervisors(tmp_path: Path) -> None:
    ours, its = tmp_path / "ours", tmp_path / "its"
    atexit.register(ours.touch)
    try:
        child = Child("a", run=lambda: atexit.register(its.touch), restart=False)
        assert Supervisor([child]).run() == 0
    finally:
        atexit.unregister(ours.touch)
    assert its.exists()
    assert not ours.exists()


def test_a_fork_waits_for_its_threads(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    gate = threading.Event()

    def work() -> None:
        gate.wait(10)
        print("done")

    def run() -> None:
        threading.Thread(target=work).start()
        threading.Timer(0.05, gate.set).start()

    with plain_streams():
        assert Supervisor([Child("a", run=run, restart=False, log=log)]).run() == 0
    assert log.read_text() == "done\n"


def test_output_of_a_fork_goes_to_the_screen_by_name_and_to_the_file(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    def run() -> None:
        os.write(1, b"one\ntw")
        os.write(2, b"o\nend")

    log = tmp_path / "a.log"
    Supervisor([Child("a", run=run, restart=False, log=log)], screen=True).run()
    assert log.read_bytes() == b"one\ntwo\nend"
    assert b"a | one\na | two\na | end\n" in capfdbinary.readouterr().out


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's promise is Linux's")
def test_forks_end_when_the_supervisor_is_killed() -> None:
    code = textwrap.dedent("""
        import time
        from functools import partial
        from jobs.supervisor import Child, Supervisor
        def tell(event, name, detail):
            print(detail.split()[-1], flush=True)
        Supervisor([Child("a", run=partial(time.sleep, 60))], on_event=tell).run()
    """)
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        # The last that it does before it runs, and after the kernel was told.
        assert until(lambda: b"[jobs: a]" in Path(f"/proc/{pid}/cmdline").read_bytes())
        parent.kill()
    assert until(lambda: not is_running(pid))


def test_a_child_is_a_program_or_a_fork() -> None:
    with pytest.raises(ValueError, match="either argv or run"):
        Child("a")
    with pytest.raises(ValueError, match="either argv or run"):
        Child("a", python(FOREVER), run=sleep)
