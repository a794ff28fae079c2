"""``manage.py beat``: fires the schedules."""

import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import connections

from jobs.supervisor import Child, Supervisor


class Command(BaseCommand):
    """Runs Celery beat on the schedules of the database."""

    help = "Fire the schedules. Any number may run, on any hosts: each instant is fired once."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run beat until told to stop. Any number of them may run."""
        connections.close_all()
        command = [
            sys.executable, "-m", "celery", "-A", settings.CELERY_APP, "beat",
            "--pidfile=", "--loglevel", settings.LOG_LEVEL,
        ]  # fmt: skip
        path = os.pathsep.join([str(settings.BASE_DIR), os.environ.get("PYTHONPATH", "")])
        # Shorter than the grace that whoever supervises us gives us: nothing must outlive us.
        beat = Child("beat", command, env={"PYTHONPATH": path}, restart=False, grace=5)
        sys.exit(Supervisor([beat]).run())
