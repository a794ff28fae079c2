"""``manage.py check`` names what is wrong with the engine's settings."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from celery import current_app
from django.core.checks import run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.test import override_settings


def found() -> dict[str | None, str]:
    return {message.id: message.msg for message in run_checks() if "jobs." in (message.id or "")}


def test_the_settings_of_this_project_are_in_order() -> None:
    assert found() == {}


def test_an_unknown_setting_is_an_error_that_names_it(conf: Callable[..., None]) -> None:
    conf(LAESE=timedelta(seconds=30))
    assert "LAESE" in found()["jobs.E001"]
    with pytest.raises(SystemCheckError, match=r"jobs\.E001"):
        call_command("check")


def test_a_lease_of_less_than_three_heartbeats_is_a_warning(conf: Callable[..., None]) -> None:
    conf(LEASE=timedelta(seconds=14), HEARTBEAT=timedelta(seconds=5))
    assert "less than three heartbeats" in found()["jobs.W001"]
    conf(LEASE=timedelta(seconds=15))
    assert found() == {}


def test_times_without_zones_are_an_error() -> None:
    with override_settings(USE_TZ=False):
        assert found() == {"jobs.E002": "USE_TZ must be True."}


def test_a_limit_that_nobody_declares_is_a_warning_with_a_suggestion(
    conf: Callable[..., None],
) -> None:
    conf(LIMITS={"emial/rate": 5, "email/rate": 5})
    (message,) = [message for message in run_checks() if message.id == "jobs.W002"]
    assert "'emial/rate'" in message.msg
    assert message.hint == "Did you mean 'email/rate'?"


@pytest.mark.parametrize("name", ["task_time_limit", "task_soft_time_limit"])
def test_time_limits_of_messages_are_a_warning(name: str) -> None:
    setattr(current_app.conf, name, 30)
    try:
        assert f"Celery's {name} is set" in found()["jobs.W003"]
    finally:
        setattr(current_app.conf, name, None)
