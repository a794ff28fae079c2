"""Numbered messages of ``manage.py check`` about the engine."""

import difflib
from typing import Any

from celery import current_app
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, register

from jobs import gates
from jobs.conf import jobs_settings


@register()
def check_settings(**_: Any) -> list[CheckMessage]:
    """``jobs.E001``: unusable settings. ``jobs.W001``: times that do not fit each other.

    ``jobs.W002``: a limit is set that nobody declares. ``jobs.W003``: Celery's own time limits.
    """
    try:
        conf = jobs_settings()
    except TypeError as error:
        return [Error(str(error), hint="See docs/reference/settings.md.", id="jobs.E001")]
    messages: list[CheckMessage] = []
    if conf.LEASE < 3 * conf.HEARTBEAT:
        messages.append(
            checks.Warning(
                "JOBS_LEASE_SECONDS is less than three heartbeats: a slow moment of a worker "
                "looks like its death.",
                hint="Raise JOBS_LEASE_SECONDS or lower JOBS_HEARTBEAT_SECONDS.",
                id="jobs.W001",
            )
        )
    declared = gates.declared()
    for name in sorted(conf.LIMITS.keys() - declared.keys()):
        close = difflib.get_close_matches(name, declared, n=1)
        messages.append(
            checks.Warning(
                f"JOBS_LIMITS sets {name!r}, a limit that no queue or task declares.",
                hint=f"Did you mean {close[0]!r}?" if close else "See manage.py jobs limits.",
                id="jobs.W002",
            )
        )
    messages += [
        checks.Warning(
            f"Celery's {name} is set. It counts for a message, which may lead to many jobs: it "
            "would end whichever runs when it is over.",
            hint="Give tasks and queues soft_time_limit and hard_time_limit instead.",
            id="jobs.W003",
        )
        for name in ("task_time_limit", "task_soft_time_limit")
        if current_app.conf.get(name)
    ]
    if not settings.USE_TZ:
        messages.append(Error("USE_TZ must be True.", id="jobs.E002"))
    return messages
