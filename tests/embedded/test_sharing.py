"""Who uses the servers, who stops them, and what is healed after a kill."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

import embedded
from embedded import processes
from tests.embedded.conftest import CHECKOUT, OtherCommand, all_stop, pids

pytestmark = pytest.mark.processes
Start = Callable[[], OtherCommand]


def use(data: Path) -> embedded.Lease:
    lease = embedded.ensure(data, {}, fsync=False, announce=lambda _line: None)
    assert lease is not None
    return lease


def test_the_last_command_to_end_stops_the_servers(data: Path, other_command: Start) -> None:
    first, second = other_command().wait_ready(), other_command().wait_ready()
    running = pids(data)
    first.end()
    assert pids(data) == running
    second.end()
    assert pids(data) == [None, None, None]


def test_commands_that_start_at_once_share_one_set(data: Path, other_command: Start) -> None:
    commands = [other_command() for _ in range(4)]
    for command in commands:
        command.wait_ready()
    assert None not in pids(data)
    homes = processes.those(lambda line, _cwd: f"{data}/postgres/data" in line.split("\0"))
    assert len(list(homes)) == 1
    for command in commands:
        command.end()
    assert pids(data) == [None, None, None]


def test_servers_of_a_killed_command_are_used_and_stopped_by_the_next(
    data: Path, other_command: Start
) -> None:
    command = other_command().wait_ready()
    orphans = pids(data)
    command.process.kill()
    command.process.wait()
    assert pids(data) == orphans
    other_command().wait_ready().end()
    assert pids(data) == [None, None, None]


def test_a_terminated_command_stops_the_servers(data: Path, other_command: Start) -> None:
    command = other_command().wait_ready()
    command.process.terminate()
    assert command.process.wait(30) == 128 + signal.SIGTERM
    assert pids(data) == [None, None, None]


def test_killed_servers_are_started_again_with_their_data(data: Path) -> None:
    lease = use(data)
    url = embedded.urls(data)["DATABASE_URL"]
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    before = pids(data)
    for pid in before:
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    assert all_stop(data)
    again = use(data)
    assert None not in pids(data)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (7,)
    again.release()
    lease.release()
    assert pids(data) == [None, None, None]


def test_a_pid_that_now_belongs_to_another_program_is_not_touched(data: Path) -> None:
    use(data).release()
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        lock = data / "postgres/data/postmaster.pid"
        lock.write_text(f"{stranger.pid}\n{data}/postgres/data\n1\n5432\n\n\n\nready\n")
        (data / "run/valkey.pid").write_text(f"{stranger.pid}\n")
        (data / "run/mail-sink.json").write_text(f'{{"pid": {stranger.pid}, "port": 1}}')
        lease = use(data)
        assert None not in pids(data)
        assert stranger.pid not in pids(data)
        lease.release()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_frozen_server_is_replaced_when_nobody_else_uses_it(
    data: Path, other_command: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = other_command().wait_ready()
    frozen = embedded.servers(data)[1].pid()
    assert frozen is not None
    os.kill(frozen, signal.SIGSTOP)
    command.process.kill()
    command.process.wait()
    monkeypatch.setattr("embedded.server.Server.silence", 0.1)
    lease = use(data)
    assert embedded.servers(data)[1].pid() not in {None, frozen}
    lease.release()


def test_a_frozen_server_in_use_is_an_error_that_says_so(
    data: Path, other_command: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_command().wait_ready()
    frozen = embedded.servers(data)[1].pid()
    assert frozen is not None
    os.kill(frozen, signal.SIGSTOP)
    monkeypatch.setattr("embedded.server.Server.patience", 0.1)
    with pytest.raises(embedded.BusyError, match="does not answer, and another command"):
        use(data)
    os.kill(frozen, signal.SIGCONT)


def test_children_do_not_keep_the_servers_alive(data: Path) -> None:
    lease = use(data)
    child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        lease.release()
        assert pids(data) == [None, None, None]
    finally:
        child.kill()
        child.wait()


def test_a_forked_child_stops_nothing(data: Path) -> None:
    script = (
        "import os, sys, pathlib, embedded\n"
        "data = pathlib.Path(sys.argv[1])\n"
        "embedded.ensure(data, {}, fsync=False)\n"
        "child = os.fork()\n"
        "if child == 0: sys.exit(0)\n"
        "os.waitpid(child, 0)\n"
        "print([server.answers() for server in embedded.servers(data)])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(data)],
        cwd=CHECKOUT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "[True, True, True]\n"
    assert pids(data) == [None, None, None]


def test_servers_of_a_deleted_directory_do_not_disturb_new_ones(
    data: Path, other_command: Start
) -> None:
    command = other_command().wait_ready()
    orphans = [pid for pid in pids(data) if pid is not None]
    subprocess.run(["rm", "-rf", str(data)], check=True)
    command.end()
    lease = use(data)
    assert None not in pids(data)
    assert processes.wait_until(lambda: not any(map(processes.is_running, orphans)), 10)
    assert all(server.answers() for server in embedded.servers(data))
    lease.release()
