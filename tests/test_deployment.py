"""The files that deploy the service say what the code says."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.queues import QUEUES

ROOT = Path(__file__).resolve().parent.parent
COMPOSE = (ROOT / "docker-compose.yml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]


def test_every_queue_has_a_worker_of_its_own() -> None:
    commands = {
        name: service["command"] for name, service in SERVICES.items() if name.startswith("worker-")
    }
    assert commands == {
        f"worker-{queue}": ["python", "manage.py", "worker", queue] for queue in QUEUES
    }


@pytest.mark.parametrize("name", set(SERVICES) - {"migrate"})
def test_every_service_restarts_and_has_time_to_stop(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"
    assert SERVICES[name]["stop_grace_period"].endswith("s")


def test_every_service_says_how_it_is_checked() -> None:
    by_image = {"web"}  # the Dockerfile's
    assert {name for name, service in SERVICES.items() if "healthcheck" not in service} == by_image
    assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text()


def test_no_secret_has_a_default() -> None:
    for name in ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "SECRET_KEY", "JOBS_ENCRYPTION_KEYS",
                 "SMTP_URL", "FLOWER_USER", "FLOWER_PASSWORD"):  # fmt: skip
        uses = re.findall(rf"\$\{{{name}(.)", COMPOSE)
        assert uses
        assert set(uses) == {":"}
        assert f"${{{name}:-" not in COMPOSE


def test_only_loopback_is_published() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_images_are_of_the_versions_developed_with() -> None:
    assert SERVICES["postgres"]["image"] == "postgres:18"
    assert SERVICES["valkey"]["image"] == "valkey/valkey:9"


def test_the_ci_runs_the_one_command() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert script.rstrip().endswith("exec make test")
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    runs = [step.get("run") for step in workflow["jobs"]["test"]["steps"]]
    assert ".ci/run" in runs
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.13"]


def test_bare_make_lists_the_commands() -> None:
    makefile = (ROOT / "Makefile").read_text()
    documented = set(re.findall(r"^([a-z]+):.*## ", makefile, flags=re.MULTILINE))
    assert {"demo", "up", "test", "check", "bench", "clean"} <= documented
    assert ".DEFAULT_GOAL := help" in makefile
