"""The environment's variables: typed, all mistakes told at once, secrets made once."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from cryptography.fernet import Fernet
from django.core.checks import run_checks
from django.test import override_settings

from erp.environment import Environment, kept_secret, load_environment


def test_without_variables_the_defaults_are_used() -> None:
    assert load_environment({}) == (Environment(), [])
    assert load_environment({"HOME": "/root", "debug": "yes"})[1] == []


def test_an_empty_variable_is_one_that_is_not_given() -> None:
    assert load_environment({"LOG_LEVEL": "", "DEBUG": ""}) == (Environment(), [])


def test_values_are_read_as_what_they_are() -> None:
    key = Fernet.generate_key().decode()
    environment, problems = load_environment(
        {
            "DEBUG": "true",
            "ALLOWED_HOSTS": "erp.example, www.erp.example,",
            "JOBS_LEASE_SECONDS": "12.5",
            "JOBS_PAYLOAD_LIMIT": "1000",
            "JOBS_ENCRYPTION_KEYS": f"{key},{key}",
            "DATA_DIR": "/srv/erp",
            "DATABASE_URL": "postgresql://erp:secret@db/erp",
            "REDIS_URL": "rediss://cache:6380/1",
            "SMTP_URL": "smtp+tls://mail:587",
        }
    )
    assert problems == []
    assert environment.debug is True
    assert environment.allowed_hosts == ["erp.example", "www.erp.example"]
    assert environment.jobs_lease_seconds == 12.5
    assert environment.jobs_payload_limit == 1000
    assert environment.jobs_encryption_keys == [key, key]
    assert environment.data_dir == Path("/srv/erp")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DEBUG", "perhaps"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
        ("JOBS_LEASE_SECONDS", "soon"),
        ("JOBS_LEASE_SECONDS", "0"),
        ("JOBS_LEASE_SECONDS", "-1"),
        ("JOBS_LEASE_SECONDS", "nan"),
        ("JOBS_HEARTBEAT_SECONDS", "61"),
        ("JOBS_PAYLOAD_LIMIT", "64k"),
        ("JOBS_PAYLOAD_LIMIT", "1.5"),
        ("JOBS_BACKOFF_SCALE", "inf"),
        ("JOBS_KEEP_SUCCEEDED_DAYS", "0"),
        ("JOBS_KEEP_DEAD_DAYS", "for ever"),
        ("JOBS_AUDIT_KEEP_DAYS", "-1"),
        ("JOBS_AUDIT_KEEP_DAYS", "nan"),
        ("JOBS_ENCRYPTION_KEYS", "too-short"),
        ("JOBS_ENCRYPTION_KEYS", "Ζ" * 44),
        ("DATABASE_URL", "mysql://db/erp"),
        ("DATABASE_URL", "sqlite:///erp.db"),
        ("REDIS_URL", "amqp://mq"),
        ("SMTP_URL", "mail.example:25"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_and_its_default_is_used(
    variable: str, value: str
) -> None:
    environment, problems = load_environment({variable: value, "SITE_URL": "https://erp.example"})
    (problem,) = problems
    assert problem.startswith(f"{variable}: ")
    assert environment == Environment(site_url="https://erp.example")


def test_all_mistakes_are_told_at_once_and_the_good_values_are_kept() -> None:
    environment, problems = load_environment(
        {"DEBUG": "perhaps", "LOG_LEVEL": "LOUD", "JOBS_STAGER_SECONDS": "2"}
    )
    assert [problem.split(":")[0] for problem in problems] == ["DEBUG", "LOG_LEVEL"]
    assert environment.jobs_stager_seconds == 2


def test_a_mistake_does_not_tell_the_value_which_may_be_secret() -> None:
    _, problems = load_environment(
        {"JOBS_ENCRYPTION_KEYS": "my-secret", "REDIS_URL": "x:my-secret"}
    )
    assert len(problems) == 2
    assert "my-secret" not in str(problems)


def test_manage_py_check_names_every_mistake() -> None:
    with override_settings(ENVIRONMENT_PROBLEMS=["DEBUG: no", "LOG_LEVEL: no"]):
        found = [message.msg for message in run_checks() if message.id == "erp.E001"]
    assert found == ["DEBUG: no", "LOG_LEVEL: no"]


def test_a_secret_is_made_once_and_kept_for_its_owner_alone(tmp_path: Path) -> None:
    made = kept_secret(tmp_path, "secret_key")
    assert len(made) >= 50
    assert kept_secret(tmp_path, "secret_key") == made
    assert kept_secret(tmp_path, "another") != made
    path = tmp_path / "secrets" / "secret_key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    Fernet(kept_secret(tmp_path, "key", fernet=True))


def test_all_who_ask_at_the_same_moment_get_the_same_secret(tmp_path: Path) -> None:
    start = Barrier(16)

    def ask(name: str) -> str:
        start.wait(10)
        return kept_secret(tmp_path, name)

    for attempt in range(20):
        with ThreadPoolExecutor(16) as askers:
            got = set(askers.map(ask, [f"secret-{attempt}"] * 16))
        assert len(got) == 1
    kept = sorted(path.name for path in (tmp_path / "secrets").iterdir())
    assert kept == sorted(f"secret-{attempt}" for attempt in range(20)), "no drafts are left"
