"""The pooler of ``benchmarks.crowd``: found or told of, set up, and compared."""

import sys
from collections import Counter
from configparser import ConfigParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from benchmarks import crowd, pooler
from benchmarks.errors import Unavailable
from embedded import Places


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have an empty directory as the only one where programs are looked for."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(pooler, "_ELSEWHERE", str(tmp_path))
    return tmp_path


def test_without_the_program_it_is_said_how_to_get_it(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["crowd", "--pooler"])
    with pytest.raises(SystemExit) as ended:
        crowd.main()
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert "apt-get install pgbouncer" in said.err
    assert "without --pooler" in said.err
    assert not said.out


@pytest.mark.parametrize("number", ["0", "-3", "many"])
def test_a_pooler_needs_server_connections(
    number: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["crowd", f"--pooler={number}"])
    with pytest.raises(SystemExit) as ended:
        crowd.main()
    assert ended.value.code == 2
    assert "--pooler" in capsys.readouterr().err


def test_the_program_is_found_where_only_roots_path_leads(
    nowhere: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    sbin = tmp_path_factory.mktemp("sbin")
    (sbin / "pgbouncer").touch(mode=0o755)
    with pytest.raises(Unavailable):
        pooler.program()
    monkeypatch.setattr(pooler, "_ELSEWHERE", str(sbin))
    assert pooler.program() == sbin / "pgbouncer"


def test_the_configuration_pools_transactions_on_a_private_socket(tmp_path: Path) -> None:
    places = Places(tmp_path)
    written = ConfigParser()
    written.read_string(pooler.configuration(places, 25))
    settings = written["pgbouncer"]
    assert settings["pool_mode"] == "transaction"
    assert int(settings["default_pool_size"]) == 25
    assert settings["listen_addr"] == ""
    assert settings["unix_socket_dir"] == str(pooler.home(places))
    assert settings["unix_socket_mode"] == "0700"
    assert int(settings["max_client_conn"]) >= 1000
    assert int(settings["listen_backlog"]) >= 1000
    (target,) = written["databases"].values()
    assert f"host={places.postgres_socket} " in target
    assert "connect_query='SET plan_cache_mode = force_generic_plan'" in target


def test_its_socket_fits_wherever_that_of_postgresql_does(tmp_path: Path) -> None:
    places = Places(tmp_path)
    assert pooler.home(places).parent == places.postgres_socket.parent
    assert len(str(pooler.home(places))) <= len(str(places.postgres_socket))


def test_workers_behind_it_are_told_of_the_pooler(tmp_path: Path) -> None:
    found = pooler.Pooler(1, tmp_path / "a b").environment("crowd")
    assert found["DATABASE_TRANSACTION_POOLING"] == "true"
    url = urlsplit(found["DATABASE_URL"])
    assert unquote(url.hostname or "") == str(tmp_path / "a b").lower()
    assert url.path == "/crowd"


def test_repeats_are_told_by_their_medians() -> None:
    def one(jobs: float, wait: str) -> crowd.Figures:
        return crowd.Figures(
            jobs=jobs,
            claim=(jobs / 100, 1.0),
            settle=(0.0, jobs),
            cpu=jobs,
            pooler_cpu=0.0,
            wal=3000.0,
            waits=Counter({wait: 1}),
        )

    middle = crowd.median([one(100, "CPU"), one(900, "CPU"), one(200, "IO:WalSync")])
    assert middle.jobs == 200
    assert [*middle.claim, *middle.settle] == [2.0, 1.0, 0.0, 200.0]
    assert middle.waits == Counter({"CPU": 2, "IO:WalSync": 1})
    row = crowd.Crowd(100, 1.0, 1, 30).row(middle)
    assert row.split()[:5] == ["100", "30", "1", "200", "200%"]
