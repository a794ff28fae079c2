"""What all embedded servers have in common: a life cycle, and errors that say what to do."""

from abc import ABC, abstractmethod
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import ClassVar

from embedded import processes
from embedded.errors import BusyError, StartError
from embedded.places import Places

#: A log larger than this is put aside when its server starts.
LARGEST_LOG = 10 * 1024 * 1024


class Server(ABC):
    """One embedded server of one data directory."""

    name: ClassVar[str]
    variable: ClassVar[str]
    #: How long a start may take, in seconds: PostgreSQL may have a crash to recover from.
    patience: ClassVar[float] = 20
    #: How long a running server may be silent before it is taken for frozen.
    silence: ClassVar[float] = 10
    farewell: ClassVar[tuple[tuple[Signals, float], ...]] = ((SIGTERM, 10), (SIGKILL, 5))
    start_over: ClassVar[str] = "`make clean` starts over; the development data is lost."

    def __init__(self, places: Places, *, fsync: bool = True) -> None:
        """Describe the server; nothing is started. `fsync` off trades safety for speed in tests."""
        self.places = places
        self.fsync = fsync
        self._log_offset = 0
        self._started: int | None = None

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.places.log / f"{self.name.lower().replace(' ', '-')}.log"

    @abstractmethod
    def url(self) -> str:
        """Where clients find it, as its environment variable wants it."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it serves, asked over its socket; takes a few milliseconds when it does."""

    @abstractmethod
    def pid(self) -> int | None:
        """Its process id while it runs, also when it does not answer."""

    @abstractmethod
    def launch(self) -> int:
        """Start the process, answer its id."""

    def leftovers(self) -> list[int]:
        """Processes of an earlier run that would be in the way: none, for most."""
        return []

    def when_ready(self) -> None:
        """What is done when a start has worked out."""
        self._started = None

    def begin(self, *, alone: bool) -> None:
        """Clear away what is left of an earlier run, then start; `wait` waits until it serves.

        `alone` says that no other command uses them: only then is a live but silent one ended.
        """
        pid = self.pid()
        if pid is not None:
            if processes.wait_until(self.answers, self.silence if alone else self.patience):
                return
            if not alone:
                raise BusyError(
                    f"{self.name} (process {pid}) runs but does not answer, and another command of "
                    f"this checkout uses it. End that command, then run yours again.\n"
                    f"The last lines of {self.log}:\n{processes.tail(self.log)}"
                )
            processes.end(pid, ((self.farewell[0][0], 1), (SIGKILL, 5)))
        for leftover in self.leftovers():
            processes.end(leftover, self.farewell)
        if self.log.exists() and self.log.stat().st_size > LARGEST_LOG:
            self.log.replace(self.log.with_suffix(".log.1"))
        self._log_offset = self.log.stat().st_size if self.log.exists() else 0
        self._started = self.launch()

    def wait(self) -> None:
        """Wait until the server serves; raises `StartError` with its log when it does not."""
        started = self._started
        if started is None:
            return

        def decided() -> bool:
            return self.answers() or not processes.is_running(started)

        in_time = processes.wait_until(decided, self.patience)
        if not in_time or not self.answers():
            raise self.failed(
                "stopped while starting" if in_time else f"not ready after {self.patience:.0f} s"
            )
        self.when_ready()

    def failed(self, what: str) -> StartError:
        """The error of a start that did not work out."""
        return StartError(
            f"{self.name}: {what}. The last lines of {self.log}:\n"
            f"{processes.tail(self.log, self._log_offset)}\n"
            f"{self.start_over} Or set {self.variable} to a server of yours."
        )

    def ask_to_stop(self) -> None:
        """Begin to stop; `stop` waits for the end."""
        pid = self.pid() or self._started
        if pid is not None:
            processes.end(pid, ((self.farewell[0][0], 0),))

    def stop(self) -> None:
        """End the process, gently first; nothing happens when it does not run."""
        pid = self.pid() or self._started
        if pid is not None:
            processes.end(pid, self.farewell)
