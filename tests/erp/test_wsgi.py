"""A server does not start on settings that cannot be used."""

import importlib
import sys

import pytest
from django.conf import LazySettings
from django.core.exceptions import ImproperlyConfigured


@pytest.mark.parametrize("module", ["erp.wsgi", "erp.asgi"])
def test_bad_settings_stop_the_server_and_are_all_named(
    settings: LazySettings, module: str
) -> None:
    settings.ENVIRONMENT_PROBLEMS = ["DEBUG: not a boolean", "REDIS_URL: not a URL"]
    sys.modules.pop(module, None)
    with pytest.raises(ImproperlyConfigured, match="DEBUG: not a boolean; REDIS_URL: not a URL"):
        importlib.import_module(module)


@pytest.mark.parametrize("module", ["erp.wsgi", "erp.asgi"])
def test_good_settings_start_it(settings: LazySettings, module: str) -> None:
    settings.ENVIRONMENT_PROBLEMS = []
    sys.modules.pop(module, None)
    assert callable(importlib.import_module(module).application)
