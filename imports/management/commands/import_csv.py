"""``manage.py import_csv KIND FILE --tenant SLUG``: imports a CSV or Excel file, by a job.

Exit codes: 0 loaded (some rows may have been refused, unless ``--all-or-nothing``) or, with
``--no-wait``, enqueued; 1 nothing was loaded; 2 what was asked makes no sense: nothing was done.
"""

import json
import sys
from argparse import ArgumentParser
from itertools import islice
from pathlib import Path
from typing import Any

from django.core.files.base import File
from django.core.management.base import BaseCommand, CommandError
from django.db import ProgrammingError

from imports import selectors
from imports.errors import UnknownKind, UnusableFile
from imports.models import ImportRun
from imports.registry import get_importer, kinds
from imports.task_helpers import queue_import
from jobs.command_line import seconds, shell_actor
from jobs.context import job_context
from jobs.models import Job
from jobs.states import State
from jobs.waiting import StillRunning, wait_for
from tenants.errors import UnknownTenant
from tenants.models import Tenant
from tenants.selectors import get_tenant

#: Refused rows that are printed; ``--rejects`` and ``--json`` give all of them.
PRINTED = 20


class Command(BaseCommand):
    """Imports a file."""

    help = "Import a CSV (UTF-8) or XLSX file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Define the arguments."""
        parser.add_argument("kind", metavar="KIND", help=f"what it has: {', '.join(kinds())}")
        parser.add_argument("file", metavar="FILE", type=Path)
        parser.add_argument("--tenant", required=True, metavar="SLUG", help="whose records")
        parser.add_argument(
            "--all-or-nothing",
            action="store_true",
            help="load nothing when any row is refused; else the good rows are kept",
        )
        parser.add_argument(
            "--no-wait", dest="wait", action="store_false", help="only enqueue the import"
        )
        parser.add_argument("--timeout", type=seconds, help="seconds to wait at most")
        parser.add_argument(
            "--rejects", type=Path, metavar="CSV", help="write the refused rows to this file"
        )
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Keep the file, enqueue its import, and wait for it unless told otherwise."""
        self._told = ""
        try:
            with job_context(actor=shell_actor()):
                run = _request(options)
        except (UnknownKind, UnusableFile, UnknownTenant) as error:
            raise CommandError(str(error), returncode=2) from None
        except OSError as error:
            text = f"{options['file']}: {error.strerror or error}"
            raise CommandError(text, returncode=2) from None
        except ProgrammingError as error:
            if "does not exist" not in str(error):
                raise
            text = "The database has no tables yet. Run: python manage.py migrate"
            raise CommandError(text, returncode=1) from None
        if not options["wait"]:
            self._print_enqueued(run, options)
            return
        job = self._wait(run, options)
        run.refresh_from_db()
        if options["rejects"] is not None:
            options["rejects"].write_text("".join(selectors.rejections_csv(run)), "utf-8")
        if options["json"]:
            self._print_json(run, job)
        else:
            self._print(run, job, options)
        if run.state != ImportRun.State.LOADED:
            sys.exit(1)

    def _wait(self, run: ImportRun, options: dict[str, Any]) -> Job:
        assert run.job_id is not None
        try:
            return wait_for(
                run.job_id,
                timeout=options["timeout"],
                on_look=self._show_progress,
                on_unserved=self._tell_unserved,
            )
        except StillRunning as error:
            raise CommandError(f"{error} Its id is {run.job_id}.", returncode=1) from None
        finally:
            if self._told and self.stderr.isatty():
                self.stderr.write("")

    def _show_progress(self, job: Job) -> None:
        """Tell how far the job is, each time that changes."""
        told = job.progress
        if not told or job.state != State.RUNNING:
            return
        line = f"{told['done']:,} of {told['total']:,} {told['note']}"
        if line != self._told:
            self._told = line
            ending = "" if self.stderr.isatty() else "\n"
            self.stderr.write(f"\r{line:<60}" if not ending else line, ending=ending)

    def _tell_unserved(self, job: Job) -> None:
        self.stderr.write(f"No worker serves {job.queue!r}: importing in this process.")

    def _print_enqueued(self, run: ImportRun, options: dict[str, Any]) -> None:
        if options["json"]:
            answer = {"run": run.pk, "job": str(run.job_id), "state": run.state}
            self.stdout.write(json.dumps(answer, indent=2))
        else:
            self.stdout.write(f"Import {run.pk} is enqueued as job {run.job_id}.")

    def _print_json(self, run: ImportRun, job: Job) -> None:
        answer = selectors.summary(run) | {
            "job": str(run.job_id),
            "problem": run.problem or _failure(run, job),
            "rejected_rows": list(selectors.rejections(run)),
        }
        self.stdout.write(json.dumps(answer, ensure_ascii=False, indent=2))

    def _print(self, run: ImportRun, job: Job, options: dict[str, Any]) -> None:
        if problem := run.problem or _failure(run, job):
            self.stdout.write(f"Nothing was loaded. {problem}")
            return
        if run.state == ImportRun.State.REFUSED:
            self.stdout.write(f"Nothing was loaded: {run.rejected} of {run.rows} rows are refused.")
        else:
            self.stdout.write(
                f"{run.rows} rows: {run.created} created, {run.updated} updated, "
                f"{run.unchanged} unchanged, {run.rejected} refused."
            )
        if run.ignored_columns:
            self.stdout.write(f"Ignored columns: {', '.join(run.ignored_columns)}.")
        for row in islice(selectors.rejections(run), PRINTED):
            self.stdout.write(f"  line {row['line']}: {row['reason']}")
        if run.rejected > PRINTED and options["rejects"] is None:
            self.stdout.write(f"  … and {run.rejected - PRINTED} more; --rejects FILE keeps all.")


def _request(options: dict[str, Any]) -> ImportRun:
    get_importer(options["kind"])  # before the file is opened: one mistake at a time, in order
    tenant: Tenant = get_tenant(options["tenant"])
    path: Path = options["file"]
    with path.open("rb") as file:
        return queue_import(
            tenant=tenant,
            kind=options["kind"],
            file=File(file),
            filename=path.name,
            all_or_nothing=options["all_or_nothing"],
        )


def _failure(run: ImportRun, job: Job) -> str:
    """Return why a run has no result though its job has ended."""
    if run.is_finished:
        return ""
    return f"Job {job.id} is {job.state}: {job.error}".rstrip(": ")
