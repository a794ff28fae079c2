"""``manage.py beat``: fires the schedules."""

import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import connections

from erp.schedules import sync_schedules
from jobs.supervisor import Child, Supervisor


class Command(BaseCommand):
    """Runs Celery beat on the schedules of the database."""

    help = "Fire the schedules, as django-celery-beat's tables say."

    def handle(self, *args: Any, **options: Any) -> None:
        """Add the schedules that are missing, then run beat until told to stop."""
        sync_schedules()
        connections.close_all()
        command = [
            sys.executable, "-m", "celery", "-A", settings.CELERY_APP, "beat",
            "--max-interval", "5", "--pidfile=", "--loglevel", settings.LOG_LEVEL,
        ]  # fmt: skip
        path = os.pathsep.join([str(settings.BASE_DIR), os.environ.get("PYTHONPATH", "")])
        beat = Child("beat", command, env={"PYTHONPATH": path}, restart=False)
        sys.exit(Supervisor([beat]).run())
