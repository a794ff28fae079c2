"""Keeps a set of named child processes running, and ends them together.

`Supervisor([Child("web", argv), …]).run()` starts the children and returns when all have ended:

- a child that dies unexpectedly is started again after 0.2 s, then twice as long each time, up to
  5 s; a child that lived for 10 s had started well, and begins with 0.2 s again;
- SIGTERM or SIGINT is passed on as SIGTERM. Who has not ended within its grace is killed, with
  everything it started. A second signal is passed on too, and kills a second later. The exit code
  is 0 then;
- if the supervisor itself is killed, the kernel sends its children SIGTERM (Linux);
- a child's output goes to a file, to the screen behind its name, to both, or where ours goes;
- a child with `run` instead of `argv` is a fork of ours that calls it (`jobs.forked_process`).

Options of a child, with their defaults: `env` (nothing; added to ours), `grace` (10 s), `log` (no
file), `restart` (true; otherwise the end of this child ends them all, with its exit code),
`is_ready` (nothing; asked every 50 ms after each start, must not wait), `ready_within` (60 s).

Events, told to `on_event(event, name, detail)`: see `Event`.
"""

import os
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum

from jobs.child_process import SUPERVISED, Child, KeptChild, describe

__all__ = ["Child", "Event", "Supervisor"]

#: How often timers and readiness are looked at, in seconds; signals and deaths wake us at once.
TICK = 0.05
#: Between a second signal and the kill, in seconds: less for a supervisor below another, so that
#: it has killed its children before it is killed itself.
LAST_MOMENT, LAST_MOMENT_BELOW = 1.0, 0.3
CAUGHT = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


class Event(StrEnum):
    """What happened to a child."""

    STARTED = "started"
    READY = "ready"
    LATE = "late"
    DIED = "died"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    KILLED = "killed"
    ENDED = "ended"


def ignore_event(_event: Event, _name: str, _detail: str) -> None:
    """Nobody wants to know."""


class Supervisor:
    """Runs children until it is told to stop. `run` belongs in the main thread."""

    def __init__(
        self,
        children: Sequence[Child],
        *,
        on_event: Callable[[Event, str, str], None] = ignore_event,
        screen: bool = False,
    ) -> None:
        """`screen` shows the children's output, each line after its child's name."""
        self._kept = [KeptChild(child) for child in children]
        self._tell = on_event
        self._screen = screen
        self._width = max((len(child.name) for child in children), default=0)
        self._signals = 0
        self._exit_code: int | None = None
        self._selector = selectors.DefaultSelector()

    def pids(self) -> dict[str, int]:
        """The process ids of the children that run now, by name."""
        return {one.child.name: one.process.pid for one in self._kept if one.process is not None}

    def stop(self) -> None:
        """Do as for SIGTERM; a second call kills."""
        self._signals += 1

    def run(self) -> int:
        """Start the children, keep them running, end them when told; answers the exit code."""
        # The kernel's promise to the children is bound to the *thread* that started them.
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("Supervisor.run() must be called in the main thread")
        with self._signals_caught():
            try:
                while self._exit_code is None and not self._signals:
                    for one in self._kept:
                        self._look_after(one)
                    self._wait()
                self._end_all()
            finally:
                for one in self._kept:
                    one.kill()
                self._close()
        return self._exit_code or 0

    def _look_after(self, one: KeptChild) -> None:
        child, now = one.child, time.monotonic()
        if one.start_at is not None and now >= one.start_at:
            process = one.start(piped=self._screen, let_go=self._let_go)
            self._tell(Event.STARTED, child.name, f"process {process.pid}")
            if process.stdout is not None:
                os.set_blocking(process.stdout.fileno(), False)
                self._selector.register(
                    process.stdout, selectors.EVENT_READ, [one, process.stdout, b""]
                )
        elif (code := one.reap()) is not None:
            self._tell(Event.DIED, child.name, describe(code))
            if child.restart:
                self._tell(Event.RESTARTING, child.name, f"in {one.plan_restart():.1f} s")
            else:
                self._exit_code = code if code >= 0 else 128 - code
        elif one.unready and child.is_ready is not None and one.process is not None:
            if child.is_ready():
                one.unready = False
                self._tell(Event.READY, child.name, f"after {now - one.started_at:.1f} s")
            elif now - one.started_at > child.ready_within:
                one.unready = False
                self._tell(Event.LATE, child.name, f"{child.ready_within:.0f} s")

    def _end_all(self) -> None:
        for one in self._kept:
            if one.process is not None:
                self._tell(Event.STOPPING, one.child.name, f"within {one.child.grace:.0f} s")
                os.kill(one.process.pid, signal.SIGTERM)  # not reaped yet, so it is still its own
                one.kill_at = time.monotonic() + one.child.grace
        hurried = False
        while any(one.process is not None for one in self._kept):
            if self._signals > 1 and not hurried:
                hurried = True
                self._hurry()
            for one in self._kept:
                if (code := one.reap()) is not None:
                    self._tell(Event.ENDED, one.child.name, describe(code))
                elif (
                    one.process is not None
                    and one.kill_at is not None
                    and time.monotonic() > one.kill_at
                ):
                    one.kill_at = None
                    self._tell(Event.KILLED, one.child.name, f"process {one.process.pid}")
                    one.kill()
            self._wait()

    def _hurry(self) -> None:
        # A child may be a supervisor itself, whose children only it can kill. It is told by another
        # signal than before: the same one, still pending, would count once.
        wait = LAST_MOMENT_BELOW if os.environ.get(SUPERVISED) else LAST_MOMENT
        for one in self._kept:
            if one.process is not None:
                os.kill(one.process.pid, signal.SIGINT)
                one.kill_at = time.monotonic() + wait

    def _wait(self) -> None:
        """Wait for a tick, or until a signal, a death or some output wants attention."""
        for key, _ in self._selector.select(TICK):
            if key.data is None:
                self._wake_in.recv(4096)
            else:
                self._copy(key)

    def _copy(self, key: selectors.SelectorKey) -> None:
        """Pass on what a child wrote: to its file as it comes, to the screen in whole lines."""
        one, pipe, begun = key.data
        try:
            text = os.read(key.fd, 65536)
        except BlockingIOError:
            text = b""  # at the very end, somebody out of our reach still holds the other side
        if one.log is not None:
            one.log.write(text)
        *lines, key.data[2] = (begun + text).split(b"\n")
        if not text:
            self._selector.unregister(key.fileobj)
            pipe.close()
            lines = [begun] if begun else []
        name = one.child.name.ljust(self._width).encode()
        sys.stdout.buffer.write(b"".join(b"%s | %s\n" % (name, line) for line in lines))
        sys.stdout.buffer.flush()

    def _close(self) -> None:
        """Pass on the last output, and close all files."""
        for key in list(self._selector.get_map().values()):
            while key.data is not None and key.fd in self._selector.get_map():
                self._copy(key)
        for one in self._kept:
            if one.log is not None:
                one.log.close()
                one.log = None

    def _let_go(self) -> None:
        """Close our files, in a fork: it has them, too."""
        for key in self._selector.get_map().values():
            pipe = self._wake_in if key.data is None else key.data[1]
            pipe.close()
        self._wake_out.close()
        for one in self._kept:
            if one.log is not None:
                one.log.close()
        self._selector.close()

    @contextmanager
    def _signals_caught(self) -> Iterator[None]:
        self._wake_in, self._wake_out = socket.socketpair()
        for end in (self._wake_in, self._wake_out):
            end.setblocking(False)
        self._selector.register(self._wake_in, selectors.EVENT_READ)
        before = {number: signal.getsignal(number) for number in CAUGHT}
        woken_before = signal.set_wakeup_fd(self._wake_out.fileno(), warn_on_full_buffer=False)
        for number in CAUGHT:
            signal.signal(number, self._on_signal)
        try:
            yield
        finally:
            signal.set_wakeup_fd(woken_before)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._selector.close()
            self._wake_in.close()
            self._wake_out.close()

    def _on_signal(self, number: int, _frame: object) -> None:
        if number != signal.SIGCHLD:
            self.stop()
