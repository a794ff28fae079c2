"""The engine's settings."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from jobs.conf import JobsSettings, jobs_settings


def test_a_setting_that_is_given_replaces_its_default_and_the_others_stay(
    conf: Callable[..., None],
) -> None:
    conf(CRASH_LIMIT=7)
    assert jobs_settings().CRASH_LIMIT == 7
    assert timedelta(minutes=10) == jobs_settings().AGEING


def test_names_that_do_not_exist_are_refused_all_at_once(conf: Callable[..., None]) -> None:
    conf(LAESE=1, HEARBEAT=2)
    with pytest.raises(TypeError, match=r"unknown names: HEARBEAT, LAESE$"):
        jobs_settings()


def test_the_defaults_fit_each_other() -> None:
    defaults = JobsSettings()
    assert defaults.LEASE >= 3 * defaults.HEARTBEAT
    assert defaults.REPUBLISH_AFTER > defaults.STAGER_INTERVAL
    assert defaults.LIMITS == {}
    assert defaults.BACKOFF_SCALE == 1.0
