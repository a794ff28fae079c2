"""``manage.py drain``: what a keeper starts while Redis is down."""

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand

from jobs.drain import Drain


class Command(BaseCommand):
    """Carries jobs of a worker's queues straight from the table."""

    help = "Carry jobs without Redis, in a worker's place (started by its keeper)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the worker, and what it does."""
        parser.add_argument("queues", nargs="+", metavar="QUEUE")
        parser.add_argument("--worker", type=UUID, required=True)
        parser.add_argument("--pool", choices=["prefork", "threads"], required=True)
        parser.add_argument("--concurrency", type=int, required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        """Drain until told to stop."""
        Drain(
            options["queues"],
            pool=options["pool"],
            concurrency=options["concurrency"],
            worker=options["worker"],
        ).run()
