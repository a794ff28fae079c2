"""What load balancers and monitoring are told."""

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test import Client

from tests.jobs.records import make_viewer


def test_the_process_says_that_it_lives_without_asking_the_database(client: Client) -> None:
    assert client.get("/api/health/live").json() == {"status": "live"}


@pytest.mark.django_db
def test_it_is_ready_while_postgresql_answers_and_is_migrated(client: Client) -> None:
    response = client.get("/api/health/ready")
    assert (response.status_code, response.json()) == (200, {"status": "ready"})


@pytest.mark.django_db
def test_without_redis_it_is_degraded_and_stays_in_service(
    client: Client, settings: LazySettings
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    response = client.get("/api/health/ready")
    assert (response.status_code, response.json()) == (200, {"status": "degraded"})


@pytest.mark.django_db
def test_it_is_not_ready_before_every_migration_is_applied(client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'jobs'")
    response = client.get("/api/health/ready")
    assert (response.status_code, response.json()) == (503, {"status": "unavailable"})


@pytest.mark.django_db
def test_redis_is_described(client: Client) -> None:
    client.force_login(make_viewer())
    row = client.get("/api/health/redis").json()
    assert row["reachable"]
    assert row["ping_ms"] > 0
    assert row["memory_used_bytes"] > 0
    assert row["eviction_policy"] == "noeviction"


@pytest.mark.django_db
def test_a_redis_that_does_not_answer_is_described_too(
    client: Client, settings: LazySettings
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    client.force_login(make_viewer())
    row = client.get("/api/health/redis").json()
    assert (row["reachable"], row["ping_ms"]) == (False, None)
    assert row["error"]
