"""`manage.py stack` for real: everything up, healed, and gone when it is told to stop."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import embedded
from tests.conftest import wait_until

pytestmark = pytest.mark.processes
ROOT = Path(__file__).resolve().parents[2]


class RunningStack:
    """A stack with a data directory of its own, on ports that were free."""

    def __init__(self) -> None:
        parent = Path(tempfile.mkdtemp(prefix="erp-test-", dir="/tmp"))
        parent.chmod(0o755)
        self.data = parent / ".data"
        configured = {"DATABASE_URL", "REDIS_URL", "SMTP_URL", "DJANGO_SETTINGS_MODULE"}
        environment = {name: value for name, value in os.environ.items() if name not in configured}
        self.output = parent / "output"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "manage.py"), "stack"],
                env=environment | {"DATA_DIR": str(self.data), "PYTHONUNBUFFERED": "1"},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self, text: str) -> bool:
        assert self.process.poll() is None, self.output.read_text()
        return text in self.output.read_text()

    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads((self.data / "run/stack.json").read_text())
        return facts

    def processes(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def remove(self) -> None:
        for process in [*self.processes(), psutil.Process(self.process.pid)]:
            process.kill()
        self.process.wait()


@pytest.fixture
def stack() -> Iterator[RunningStack]:
    running = RunningStack()
    yield running
    if running.process.poll() is None:
        running.remove()
    embedded.stop_all(embedded.servers(running.data))
    embedded.Places(running.data).remove()
    shutil.rmtree(running.data.parent)


def get(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


def test_the_stack_serves_heals_and_stops(stack: RunningStack) -> None:
    wait_until(lambda: stack.said("Ready."), within=120, what="the stack's ready message")
    facts = stack.facts()
    assert set(facts["pids"]) == {"servers", "web", "worker", "beat", "flower"}
    assert get(f"{facts['site']}/api/health/live") == 200
    assert get(f"{facts['flower']}/healthcheck") == 200
    assert get(f"{facts['flower']}/workers") == 401, "Flower wants a login"
    assert get(f"{facts['flower']}/api/workers") == 401

    second = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "stack"],
        env=os.environ | {"DATA_DIR": str(stack.data)},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert second.returncode == 1
    assert f"process {stack.process.pid}, {facts['site']}" in second.stderr

    os.kill(facts["pids"]["web"], signal.SIGKILL)
    wait_until(lambda: stack.facts()["pids"]["web"] != facts["pids"]["web"], what="another web")
    wait_until(lambda: get(f"{facts['site']}/api/health/live") == 200, what="the site again")
    assert stack.said("web: died, killed by SIGKILL")

    everything = stack.processes()
    stack.process.terminate()
    assert stack.process.wait(60) == 0
    assert not [
        one for one in everything if one.is_running() and one.status() != psutil.STATUS_ZOMBIE
    ]
    assert not (stack.data / "run/stack.json").exists()
    assert all(server.pid() is None for server in embedded.servers(stack.data))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's promise to children is Linux's")
def test_nothing_of_a_killed_stack_lives_on_but_its_servers(stack: RunningStack) -> None:
    wait_until(lambda: stack.said("Ready."), within=120, what="the stack's ready message")
    everything = stack.processes()
    stack.process.kill()
    stack.process.wait()

    def gone() -> bool:
        return not [
            one for one in everything
            if one.is_running() and one.status() != psutil.STATUS_ZOMBIE
        ]  # fmt: skip

    wait_until(gone, within=60, what="the end of all its processes")
    lease = embedded.ensure(stack.data, {}, announce=lambda _line: None)
    assert lease is not None
    lease.release()
    assert all(server.pid() is None for server in embedded.servers(stack.data))


def test_servers_that_die_under_a_running_stack_are_started_again(stack: RunningStack) -> None:
    wait_until(lambda: stack.said("Ready."), within=120, what="the stack's ready message")
    ready = f"{stack.facts()['site']}/api/health/ready"
    for server in embedded.servers(stack.data):
        pid = server.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: all(server.answers() for server in embedded.servers(stack.data)))
    wait_until(lambda: get(ready) == 200, what="the site with its database")
