"""``manage.py demo``: fills an empty database with a sample, and shows the service at work."""

import json
import logging
import shutil
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from erp.demo import flow
from erp.demo.report import make_report, print_report
from erp.demo.sample import COMPANIES
from erp.environment import kept_secret
from erp.stack import StackRuns, only_one
from jobs.child_process import Child, KeptChild
from jobs.schedules.sync import sync_schedules
from tenants.models import Tenant

#: Waits between attempts are shortened, so that a job runs out of them while one watches.
#: A demonstration does not wait: for retries, or for a minute to pass in which it sent 100 e-mails.
_SETTINGS = {
    "JOBS_BACKOFF_SCALE": "0.02",
    "JOBS_STAGER_SECONDS": "0.1",
    "JOBS_LIMITS": "email/rate=off,email/rate/to=off,notifications/rate/tenant=off",
}


class Command(BaseCommand):
    """Runs the demo on the embedded servers."""

    help = (
        "Start from an empty database: make two companies, import their catalogue and orders, "
        "confirm and invoice them on real workers, and print what happened. Embedded servers only."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the one option."""
        parser.add_argument(
            "--if-missing", action="store_true", help="do nothing where the demo's data is there"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run; exits with 1 when something did not end as expected."""
        if not settings.EMBEDDED_SERVERS:
            if options["if_missing"]:
                self.stdout.write("No demo data: the configured servers are used as they are.")
                return
            raise CommandError(
                "The demo empties its database, so it only runs on the embedded servers. "
                "Unset DATABASE_URL and REDIS_URL."
            )
        data_dir = Path(settings.DATA_DIR)
        folder = data_dir / "demo"
        report_path = folder / "report.json"
        logging.getLogger().setLevel(logging.WARNING)  # the bars say enough
        console = Console(width=None if sys.stdout.isatty() else 140)
        if options["if_missing"] and report_path.exists() and self._companies() is not None:
            return
        try:
            with only_one(data_dir):
                report = self._run(folder, console)
        except StackRuns as error:
            raise CommandError(
                f"{error}, and the demo would pull the data from under it."
            ) from None
        except flow.DemoStuckError as error:
            raise CommandError(f"{error} See {data_dir / 'log' / 'demo-worker.log'}") from None
        print_report(report, console)
        console.print(f"{report.seconds} s. The same figures are in {report_path}", highlight=False)
        if report.problems:
            sys.exit(1)
        console.print("All ended as expected. `make up` serves this data.", style="green")

    def _run(self, folder: Path, console: Console) -> Any:
        began = time.monotonic()
        data_dir = Path(settings.DATA_DIR)
        stage = flow.Stage(
            folder=folder,
            mail_folder=data_dir / "mail",
            password=kept_secret(data_dir, "demo_password")[:12],
        )
        columns = (TextColumn("{task.description:<34}"), BarColumn(), MofNCompleteColumn(),
                   TimeElapsedColumn())  # fmt: skip
        with Progress(*columns, console=console) as bars:
            with _phase(bars, "Making an empty database"):
                kept = self._start_empty(folder)
            if kept:
                console.print(f"What was there before is kept: {kept}", style="yellow")
            with self._worker(data_dir):
                with _phase(bars, "Making two companies"):
                    tenants = flow.create_companies(stage)
                    sync_schedules()
                with _phase(bars, "Importing catalogues and orders") as progress:
                    samples = flow.import_samples(stage, tenants, progress)
                with _phase(bars, "Confirming orders") as progress:
                    flow.confirm_orders(stage, samples, progress)
                with _phase(bars, "Rendering and sending invoices") as progress:
                    flow.issue_invoices(stage, samples, progress)
                with _phase(bars, "Checking stock, refreshing scores") as progress:
                    flow.run_the_night(stage, tenants, progress)
                flow.mend_the_mailboxes(stage)
                report = make_report(
                    samples,
                    seconds=time.monotonic() - began,
                    mail_folder=stage.mail_folder,
                    files_folder=Path(settings.MEDIA_ROOT),
                )
        report.write(folder / "report.json")
        login = {"user": "admin", "password": stage.password}
        (folder / "login.json").write_text(json.dumps(login))
        (folder / "login.json").chmod(0o600)
        return report

    def _start_empty(self, folder: Path) -> str:
        """Begin with empty database, queues, mail and files.

        What an earlier demo left is deleted. Where somebody has companies of their own, all that
        was there is set aside instead, and the answer says where.
        """
        data_dir = Path(settings.DATA_DIR)
        companies = self._companies()
        foreign = bool(companies and companies - {company.slug for company in COMPANIES})
        name = f"kept_{datetime.now(UTC):%Y%m%d_%H%M%S}"
        with connection.cursor() as cursor:
            cursor.execute(
                f"ALTER SCHEMA public RENAME TO {name}" if foreign else "DROP SCHEMA public CASCADE"
            )
            cursor.execute("CREATE SCHEMA public")
        connection.close()
        redis.Redis.from_url(settings.REDIS_URL).flushdb()
        for stale in (folder, data_dir / "mail", Path(settings.MEDIA_ROOT)):
            for path in stale.glob("*") if stale.is_dir() else []:
                if foreign:
                    target = data_dir / name / stale.name / path.name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    path.rename(target)
                else:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        call_command("migrate", interactive=False, verbosity=0)
        return f"database schema {name}, files in {data_dir / name}" if foreign else ""

    @staticmethod
    def _companies() -> set[str] | None:
        """Return the slugs of the companies there are, or None when there are not even tables."""
        if Tenant._meta.db_table not in connection.introspection.table_names():
            return None
        return set(Tenant.objects.values_list("slug", flat=True))

    @staticmethod
    @contextmanager
    def _worker(data_dir: Path) -> Iterator[None]:
        """Run a worker for all queues, and end it with the block."""
        command = [sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), "worker", "--all"]
        log = data_dir / "log" / "demo-worker.log"
        log.unlink(missing_ok=True)
        worker = KeptChild(Child("worker", command, env=_SETTINGS, log=log))
        process = worker.start(piped=False)
        assert isinstance(process, subprocess.Popen)  # a program, not a fork
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(45)
            finally:
                worker.kill()


@contextmanager
def _phase(bars: Progress, name: str) -> Iterator[flow.Progress]:
    """Show one phase: how many of the jobs there are have ended."""
    bar = bars.add_task(name, total=None)
    already: list[int] = []

    def progress(done: int, total: int) -> None:
        if not already:
            already.append(done)
        bars.update(bar, completed=done - already[0], total=max(total - already[0], 1))

    yield progress
    done = bars.tasks[bar].total or 1
    bars.update(bar, completed=done, total=done)
