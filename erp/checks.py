"""Numbered messages of ``manage.py check`` about the settings."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register


@register()
def check_environment(**_: Any) -> list[CheckMessage]:
    """``erp.E001``: an environment variable has a value that cannot be used."""
    return [
        Error(
            problem,
            hint="Correct it in the environment; .env.example lists them all.",
            id="erp.E001",
        )
        for problem in settings.ENVIRONMENT_PROBLEMS
    ]
