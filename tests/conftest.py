"""What every test may use: the mailbox, real worker processes, and a wait without sleeping."""

import email
import email.policy
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import psutil
import pytest
import redis
from django.conf import settings
from django.db import connection
from django.test.utils import setup_databases, teardown_databases
from pytest_django import Settings
from pytest_django.plugin import DjangoDbBlocker

from jobs.breaker import breaker
from notifications import transport

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent
NORTHWIND = ROOT.parent / "shared" / "data" / "northwind"


#: How much longer things may take on a busy machine.
_BUSY = 3.0


def wait_until(condition: Callable[[], T], *, within: float = 30.0, what: str = "") -> T:
    """Return the condition's first true answer; fail when there is none ``within`` seconds.

    That is on a machine of its own: on a busy one, which nobody can help, it may take longer.
    """
    deadline = time.monotonic() + within * _BUSY
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            pytest.fail(f"waited {within:g} s in vain: {what or condition}")
        time.sleep(0.02)


class Mailbox:
    """What the SMTP server received since the test began."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before = set(self._files())

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.eml"))

    def messages(self) -> list[EmailMessage]:
        """Return the messages, the oldest first."""
        return [
            email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            for path in self._files()
            if path not in self._before
        ]


@pytest.fixture(autouse=True)
def real_mail(settings: Settings) -> Iterator[None]:
    """Send by SMTP: Django's test environment would keep the messages in memory."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    yield
    transport.close()


@pytest.fixture(autouse=True)
def closed_breaker() -> Iterator[None]:
    """A broker that failed in one test is tried again in the next."""
    breaker.reset()
    yield
    breaker.reset()


@pytest.fixture
def mailbox() -> Mailbox:
    """The messages that the real SMTP server receives from here on."""
    return Mailbox(Path(settings.DATA_DIR) / "mail")


@pytest.fixture
def northwind() -> Path:
    """The folder of the Northwind catalogue; skips the test where it is absent."""
    if not NORTHWIND.is_dir():
        pytest.skip(f"the Northwind data is not there ({NORTHWIND})")
    return NORTHWIND


class Live:
    """Real processes of the product on the test's database."""

    def __init__(self) -> None:
        self.redis = redis.Redis.from_url(settings.REDIS_URL)
        self._started: list[subprocess.Popen[bytes]] = []

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment that makes a process use this test's servers and database."""
        database = urlsplit(os.environ["DATABASE_URL"])._replace(
            path=f"/{connection.settings_dict['NAME']}"
        )
        ours = {"DJANGO_SETTINGS_MODULE": "erp.settings", "DATABASE_URL": database.geturl()}
        return {**os.environ, **ours, **more}

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start ``manage.py …``; it is ended with the test."""
        process = subprocess.Popen(
            [sys.executable, "manage.py", *arguments], cwd=ROOT, env=self.environment(**environment)
        )
        self._started.append(process)
        return process

    def worker(self, *queues: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start ``manage.py worker``."""
        return self.start("worker", *queues, **environment)

    def manage(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run ``manage.py …`` to its end."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            text=True,
            capture_output=True,
            env=self.environment(**environment),
            timeout=120,
            check=False,
        )

    def stop(self, process: subprocess.Popen[bytes]) -> int:
        """End a process with SIGTERM; returns its exit code."""
        process.send_signal(signal.SIGTERM)
        return process.wait(60)

    def end(self) -> None:
        """Kill what still runs."""
        for process in self._started:
            if process.poll() is None:
                family = psutil.Process(process.pid).children(recursive=True)
                process.kill()
                for child in family:
                    try:
                        child.kill()
                    except psutil.NoSuchProcess:
                        continue
            process.wait(10)
        self.redis.close()


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """One database for the whole run, for tests in a transaction and on real processes alike."""
    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False, serialized_aliases=set())
        if settings.EMBEDDED_SERVERS:
            _vacuum_seldom()
    yield
    with django_db_blocker.unblock():
        teardown_databases(made, verbosity=0)


@pytest.fixture
def live(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Live]:
    """Real processes on a database where this test commits; all is emptied afterwards."""
    with django_db_blocker.unblock():
        processes = Live()
        processes.redis.flushall()
        try:
            yield processes
        finally:
            processes.end()
            _empty_database()


def _vacuum_seldom() -> None:
    """Have no autovacuum look at tables while the rows of a test are not committed, nor ever are.

    It would note many pages without a row, by which later plans join all rows with all others.
    """
    with connection.cursor() as cursor:
        cursor.execute("ALTER SYSTEM SET autovacuum_naptime = '20min'")
        cursor.execute("SELECT pg_reload_conf()")


def _empty_database() -> None:
    kept = {"django_migrations", "django_content_type", "auth_permission"}
    tables = [name for name in connection.introspection.table_names() if name not in kept]
    names = ", ".join(connection.ops.quote_name(name) for name in tables)
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")  # append-only tables too
        cursor.execute(f"TRUNCATE {names} RESTART IDENTITY CASCADE")
        cursor.execute("SET session_replication_role = origin")
    connection.close()


def query(sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """Run SQL on the test's database and return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
