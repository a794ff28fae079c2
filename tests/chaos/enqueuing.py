"""The driver's side of the enqueuing processes: hands them transactions, and replaces the dead."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psycopg

from tests.chaos.hosts import ROOT
from tests.chaos.journal import Intent, Journal
from tests.chaos.plan import Unit
from tests.chaos.servers import Servers


class Enqueuing:
    """One enqueuing process, and those that take its place when it dies."""

    def __init__(
        self, name: str, servers: Servers, environment: Mapping[str, str], folder: Path
    ) -> None:
        self.name = name
        self.journal = Journal(folder / f"{name}.journal")
        self._servers = servers
        self._environment = {**environment, "CHAOS_NAME": f"chaos-{name}", "CHAOS_RELEASE": "2"}
        self._log = folder / f"{name}.log"
        self._given: list[Unit] = []
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        if self._process is None or self._process.poll() is not None:
            return None
        return self._process.pid

    @property
    def ready(self) -> bool:
        """Whether the process takes transactions."""
        return self.pid is not None and self.journal.ready_process() == self.pid

    def start(self) -> None:
        """Start the process, and hand it what was not done."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.enqueuer", str(self.journal.path)],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        for unit in self.undone():
            self._hand(unit)

    def give(self, unit: Unit) -> None:
        """Have the process carry out a transaction."""
        self._given.append(unit)
        self._hand(unit)

    def _hand(self, unit: Unit) -> None:
        if self._process is None or self._process.stdin is None:
            return
        try:
            self._process.stdin.write((json.dumps(unit.as_json()) + "\n").encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            return  # it has just died: the next one is handed everything

    def undone(self) -> list[Unit]:
        """Return the transactions that have not ended as they should."""
        ended = {intent.unit: intent.outcome for intent in self.journal.read() if intent.outcome}
        return [
            unit
            for unit in self._given
            if ended.get(unit.number) != ("rolled back" if unit.rolls_back else "committed")
        ]

    def kill(self) -> None:
        """Kill the process, wherever it is."""
        if self._process is not None:
            self._process.kill()

    @property
    def exit_code(self) -> int | None:
        """How the process ended; nothing while it runs."""
        return self._process.poll() if self._process is not None else None

    def resolve(self) -> bool:
        """Find out how a dead process's last transaction ended; False: not possible just now."""
        last = next(reversed(self.journal.read()), None)
        if last is None or last.outcome:
            return True
        try:
            if self._servers.query(
                "SELECT 1 FROM pg_stat_activity WHERE application_name = %s",
                f"chaos-{self.name}",
            ):
                return False  # its backend may be committing
            self.journal.outcome(last.unit, self._found(last), at=time.time())
        except psycopg.OperationalError:
            return False
        return True

    def _found(self, intent: Intent) -> str:
        ((count,),) = self._servers.query(
            "SELECT count(*) FROM jobs_job WHERE id = ANY(%s::uuid[])", list(intent.jobs)
        )
        return "committed" if count else "rolled back"

    def close(self) -> None:
        """Tell the process that there is no more."""
        if self._process is not None and self._process.stdin is not None:
            try:
                self._process.stdin.close()
            except BrokenPipeError:
                return
