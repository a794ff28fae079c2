"""What the engine's tests share: tasks and settings of one test, a clean or a dead broker."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from celery import current_app
from django.conf import settings
from django.test import override_settings

from jobs import payload
from jobs.conf import jobs_settings
from jobs.pace import pace
from jobs.task import registry


@pytest.fixture(autouse=True)
def tasks_end_with_their_test() -> Iterator[None]:
    """Tasks that a test declares are forgotten after it."""
    before = set(registry())
    yield
    for name in set(registry()) - before:
        del registry()[name]
        current_app.tasks.pop(name, None)


@pytest.fixture(autouse=True)
def pace_is_learned_anew() -> None:
    """How long the jobs of one test took tells nothing about those of the next."""
    pace._means.clear()
    pace._sizes.clear()


def _forget_settings() -> None:
    jobs_settings.cache_clear()
    payload._fernet.cache_clear()


@pytest.fixture
def conf() -> Iterator[Callable[..., None]]:
    """Change ``settings.JOBS`` until the end of the test: ``conf(PAYLOAD_LIMIT_BYTES=10)``."""
    overrides: list[override_settings] = []

    def change(**names: Any) -> None:
        override = override_settings(JOBS={**settings.JOBS, **names})
        override.enable()
        overrides.append(override)
        _forget_settings()

    yield change
    for override in reversed(overrides):
        override.disable()
    _forget_settings()


@pytest.fixture
def broker() -> Iterator[redis.Redis]:
    """The broker, without messages."""
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.flushall()
        yield client


def _point_celery_at(url: str) -> None:
    app: Any = current_app
    app.conf.broker_url = url
    app._pool = app.amqp._producer_pool = None  # Celery knows no other way to begin anew


@pytest.fixture
def dead_broker() -> Iterator[str]:
    """Celery is set to a broker where nothing listens; the fixture is its URL."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{unused.getsockname()[1]}/0"
    real = str(current_app.conf.broker_url)
    _point_celery_at(url)
    yield url
    _point_celery_at(real)
