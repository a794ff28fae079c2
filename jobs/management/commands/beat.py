"""``manage.py beat``: fires the schedules."""

import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    """Runs Celery beat on the schedules of the database."""

    help = "Fire the schedules, as django-celery-beat's tables say."

    def handle(self, *args: Any, **options: Any) -> None:
        """Become Celery beat, in this very process."""
        os.execv(
            sys.executable,
            [
                sys.executable,
                "-m",
                "celery",
                "-A",
                settings.CELERY_APP,
                "beat",
                "--max-interval",
                "5",
                "--pidfile=",
                "--loglevel",
                "INFO",
            ],
        )
