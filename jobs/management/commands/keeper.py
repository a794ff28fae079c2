"""``manage.py keeper``: what ``manage.py worker`` starts beside its Celery workers."""

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand

from jobs.keeper import Keeper


class Command(BaseCommand):
    """Runs a keeper for the workers that the same command started."""

    help = "Run stager, lifeline and heartbeat beside a worker (started by `manage.py worker`)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the workers, and the process that started them."""
        parser.add_argument("workers", nargs="+", type=UUID, metavar="WORKER")
        parser.add_argument("--supervisor", type=int, required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        """Keep until told to stop."""
        Keeper(options["workers"], supervisor=options["supervisor"]).run()
