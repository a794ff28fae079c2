"""`manage.py stack`: the whole service on one machine, until Ctrl-C."""

import json
import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection, connections
from django.db.migrations.executor import MigrationExecutor

from erp.environment import kept_secret
from erp.stack import FLOWER_PORT, WEB_PORT, Stack, StackRuns, free_port, only_one
from jobs.conf import jobs_settings
from jobs.supervisor import Event, Supervisor
from tenants.models import User

#: Beyond the grace of the jobs: the worker's own processes end one after the other.
_WORKER_EXTRA_SECONDS = 15


class Command(BaseCommand):
    """Runs site, worker, beat and Flower under one supervisor."""

    _unready: set[str]
    help = "Run the site, a worker for all queues, beat and Flower, until Ctrl-C or SIGTERM."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what to leave out and where to serve."""
        parser.add_argument("--port", type=int, default=WEB_PORT, help="another if it is taken")
        parser.add_argument("--no-web", action="store_true", help="without the site")
        parser.add_argument("--no-flower", action="store_true", help="without Flower")
        parser.add_argument("--logs", action="store_true", help="show the logs here, too")

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate, start, say where everything is, and stay until told to stop."""
        try:
            with only_one(Path(settings.DATA_DIR)):
                code = self._serve(options)
        except StackRuns as error:
            raise CommandError(f"{error}. Stop it first.") from None
        self.stdout.write("Stopped.")
        sys.exit(code)

    def _serve(self, options: dict[str, Any]) -> int:
        self._migrate()
        stack = self._stack(options)
        connections.close_all()
        self.stdout.write(f"Starting. Logs are in {stack.data_dir / 'log'}")
        self._unready = {child.name for child in stack.children() if child.is_ready}
        supervisor = Supervisor(
            stack.children(),
            on_event=lambda *happened: self._report(stack, supervisor, *happened),
            screen=options["logs"],
        )
        try:
            return supervisor.run()
        finally:
            self._facts.unlink(missing_ok=True)

    @property
    def _facts(self) -> Path:
        return Path(settings.DATA_DIR) / "run" / "stack.json"

    def _migrate(self) -> None:
        executor = MigrationExecutor(connection)
        steps = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if steps:
            self.stdout.write(f"Migrating the database, {len(steps)} steps ...")
            self.stdout.flush()
            call_command("migrate", interactive=False, verbosity=0)

    def _stack(self, options: dict[str, Any]) -> Stack:
        web = 0 if options["no_web"] else free_port(options["port"], set())
        if web not in {0, options["port"]}:
            self.stdout.write(f"Port {options['port']} is taken; the site is on {web}.")
        data_dir = Path(settings.DATA_DIR)
        password = os.environ.get("FLOWER_PASSWORD") or kept_secret(data_dir, "flower")[:20]
        grace = jobs_settings().SHUTDOWN_GRACE.total_seconds() + _WORKER_EXTRA_SECONDS
        return Stack(
            base_dir=Path(settings.BASE_DIR),
            data_dir=data_dir,
            web_port=web,
            flower_port=0 if options["no_flower"] else free_port(FLOWER_PORT, {web}),
            flower_login=(os.environ.get("FLOWER_USER") or "operator", password),
            embedded=settings.EMBEDDED_SERVERS,
            worker_grace=grace,
        )

    def _report(
        self, stack: Stack, supervisor: Supervisor, event: Event, name: str, detail: str
    ) -> None:
        """Keep the facts in their file, and say what a person wants to know."""
        match event:
            case Event.STARTED:
                self._write_facts(stack, supervisor)
            case Event.READY if name in self._unready:
                self._unready.discard(name)
                if not self._unready:
                    self._say_ready(stack)
            case Event.DIED | Event.KILLED:
                self.stderr.write(f"{name}: {event.value}, {detail}. Its log: {stack.log(name)}")
            case Event.LATE:
                self.stderr.write(f"{name}: not ready after {detail}. Its log: {stack.log(name)}")
            case Event.RESTARTING:
                self.stderr.write(f"{name}: starting again {detail}")
            case Event.STOPPING:
                self.stdout.write(f"Stopping {name} ({detail})")

    def _write_facts(self, stack: Stack, supervisor: Supervisor) -> None:
        facts = {
            "pid": os.getpid(),
            "site": stack.site_url,
            "flower": stack.flower_url,
            "web_port": stack.web_port,
            "flower_port": stack.flower_port,
            "pids": supervisor.pids(),
        }
        draft = self._facts.with_suffix(".part")
        draft.write_text(json.dumps(facts, indent=2))
        draft.replace(self._facts)

    @staticmethod
    def _login(stack: Stack) -> str:
        """Say with whom to log in: the demo's operator, or nobody yet."""
        demo = stack.data_dir / "demo" / "login.json"
        if demo.exists():
            login = json.loads(demo.read_text())
            return f"{login['user']} / {login['password']}"
        if User.objects.filter(is_superuser=True).exists():
            return ""
        return "nobody can log in yet: python manage.py createsuperuser"

    def _say_ready(self, stack: Stack) -> None:
        user, password = stack.flower_login
        lines = {
            "Site": stack.site_url,
            "Login": self._login(stack),
            "Flower": stack.flower_url and f"{stack.flower_url}  (login {user} / {password})",
            "E-mails": str(stack.data_dir / "mail"),
            "Logs": str(stack.data_dir / "log"),
        }
        self.stdout.write(self.style.SUCCESS("Ready. Ctrl-C stops everything."))
        for label, value in lines.items():
            if value:
                self.stdout.write(f"  {label:<8}{value}")
        self.stdout.flush()
