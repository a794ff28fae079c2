"""``manage.py jobs``: see and steer jobs from a terminal or a script.

Every subcommand takes ``--json``. Exit codes: 0 done; 1 not possible, or the awaited job did not
succeed; 2 what was asked makes no sense (unknown task, wrong argument, …), and nothing was done.
"""

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import ProgrammingError

from jobs.errors import EnqueueError, InvalidPayload, JobsError, UnknownName
from jobs.management.subcommands import (
    acting,
    audit,
    dead_letters,
    instants,
    limits,
    looking,
    schedules,
    workflows,
)
from jobs.management.subcommands.terminal import Run, Terminal

#: In the order of ``--help``.
_MODULES = (looking, acting, schedules, instants, workflows, limits, dead_letters, audit)


class Command(BaseCommand):
    """The jobs of the service, from a terminal."""

    help = "See and steer jobs: list, show, enqueue, cancel, retry, schedules, dead-letters, …"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Define the subcommands."""
        commands = parser.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")

        def add(name: str, text: str, run: Run) -> ArgumentParser:
            sub: ArgumentParser = commands.add_parser(name, help=text, description=text)
            sub.add_argument("--json", action="store_true", help="print JSON instead of a table")
            sub.set_defaults(run=run)
            return sub

        for module in _MODULES:
            module.add_to(add)

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the subcommand; errors are one line each, with an exit code that tells them apart."""
        terminal = Terminal(self.stdout, self.stderr, as_json=options["json"])
        try:
            options["run"](terminal, options)
        except (UnknownName, InvalidPayload) as error:
            if options["json"]:
                problems = getattr(error, "problems", {})
                self.stderr.write(json.dumps({"error": str(error), "problems": problems}))
                sys.exit(2)
            raise CommandError(str(error), returncode=2) from None
        except EnqueueError as error:
            raise CommandError(str(error), returncode=2) from None
        except JobsError as error:
            raise CommandError(str(error), returncode=1) from None
        except ProgrammingError as error:
            if "does not exist" not in str(error):
                raise
            text = "The database has no tables yet. Run: python manage.py migrate"
            raise CommandError(text, returncode=1) from None
