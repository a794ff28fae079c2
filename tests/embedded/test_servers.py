"""The embedded servers: what clients find, and what `ensure` promises."""

import asyncio
import time
from pathlib import Path

import dj_database_url
import kombu
import psycopg
import pytest
import redis
from flower.utils.broker import Broker

import embedded
from tests.embedded.conftest import pids

pytestmark = pytest.mark.processes


def test_urls_are_known_before_anything_is_started(shared_data: Path) -> None:
    environ: dict[str, str] = {}
    lease = embedded.ensure(shared_data, environ, announce=lambda _line: None)
    assert lease is not None
    lease.release()
    assert environ == embedded.urls(shared_data)
    assert set(environ) == {"DATABASE_URL", "REDIS_URL", "SMTP_URL"}


def test_postgresql_is_set_up_for_development(shared_data: Path) -> None:
    with psycopg.connect(embedded.urls(shared_data)["DATABASE_URL"]) as connection:

        def show(name: str) -> str:
            row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
            assert row is not None
            return str(row[0])

        assert connection.info.dbname == "erp"
        assert show("server_version").startswith("18.")
        assert show("server_encoding") == "UTF8"
        assert show("TimeZone") == "UTC"
        assert show("fsync") == "on"
        assert show("autovacuum") == "on"
        assert show("max_connections") == "200"
        assert show("listen_addresses") == ""
        lower = connection.execute("SELECT lower('ÄÖÜ')").fetchone()
        assert lower == ("äöü",)


def test_django_reads_the_database_url(shared_data: Path) -> None:
    config = dj_database_url.parse(embedded.urls(shared_data)["DATABASE_URL"])
    assert config["NAME"] == "erp"
    psycopg.connect(host=config["HOST"], user=config["USER"], dbname=config["NAME"]).close()


def test_redis_py_and_kombu_reach_the_same_valkey(shared_data: Path) -> None:
    url = embedded.urls(shared_data)["REDIS_URL"]
    with kombu.Connection(embedded.broker_url(url)) as connection:
        queue = connection.SimpleQueue("bell")
        queue.put({"id": 1})
        with redis.Redis.from_url(url) as client:
            assert client.llen("bell") == 1
        message = queue.get(timeout=5)
        assert message.payload == {"id": 1}
        message.ack()
        queue.close()


def test_flower_reaches_the_broker(shared_data: Path) -> None:
    broker = Broker(embedded.broker_url(embedded.urls(shared_data)["REDIS_URL"]))
    assert asyncio.run(broker.queues(["email"])) == [{"name": "email", "messages": 0}]


def test_valkey_evicts_nothing_and_keeps_its_data(shared_data: Path) -> None:
    with redis.Redis.from_url(embedded.urls(shared_data)["REDIS_URL"]) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("appendfsync") == {"appendfsync": "everysec"}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("unix:///a/b.sock?db=3", "redis+socket:///a/b.sock?virtual_host=3"),
        ("unix:///a/b.sock", "redis+socket:///a/b.sock?virtual_host=0"),
        ("unix://:secret@/a/b.sock?db=0", "redis+socket://:secret@/a/b.sock?virtual_host=0"),
        ("redis://:secret@host:6379/1", "redis://:secret@host:6379/1"),
        ("rediss://host/0?ssl_cert_reqs=required", "rediss://host/0?ssl_cert_reqs=required"),
    ],
)
def test_only_unix_sockets_are_rewritten_for_celery(url: str, expected: str) -> None:
    assert embedded.broker_url(url) == expected


def test_running_servers_cost_a_few_milliseconds(shared_data: Path) -> None:
    before, lines = pids(shared_data), list[str]()
    began = time.perf_counter()
    lease = embedded.ensure(shared_data, {}, announce=lines.append)
    took = time.perf_counter() - began
    assert lease is not None
    lease.release()
    assert pids(shared_data) == before
    assert lines == []
    assert took < 0.25  # 3 ms on an idle machine


def test_configured_servers_are_left_alone(data: Path) -> None:
    environ = {"DATABASE_URL": "a", "REDIS_URL": "b", "SMTP_URL": "c"}
    assert embedded.ensure(data, environ) is None
    assert environ == {"DATABASE_URL": "a", "REDIS_URL": "b", "SMTP_URL": "c"}
    assert not data.exists()


def test_only_what_is_missing_is_started(data: Path) -> None:
    lines = list[str]()
    environ = {"DATABASE_URL": "mine", "REDIS_URL": "", "SMTP_URL": "smtp://mine"}
    lease = embedded.ensure(data, environ, announce=lines.append)
    assert lease is not None
    running = [pid is not None for pid in pids(data)]
    lease.release()
    assert running == [False, True, False]
    assert environ["DATABASE_URL"] == "mine"
    assert environ["REDIS_URL"].startswith("unix://")
    assert len(lines) == 1
    assert "Valkey" in lines[0]


def test_a_dropped_database_is_there_again_at_the_next_start(data: Path) -> None:
    environ = {"REDIS_URL": "-", "SMTP_URL": "-"}
    for _ in range(2):
        lease = embedded.ensure(data, dict(environ), fsync=False, announce=lambda _line: None)
        assert lease is not None
        url = embedded.urls(data)["DATABASE_URL"]
        with psycopg.connect(url) as connection:
            assert connection.execute("SHOW fsync").fetchone() == ("off",)
        with psycopg.connect(url.replace("/erp", "/postgres"), autocommit=True) as connection:
            connection.execute("DROP DATABASE erp WITH (FORCE)")
        lease.release()
