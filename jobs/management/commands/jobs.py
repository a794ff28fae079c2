"""``manage.py jobs``: see and steer jobs from a terminal or a script.

Every subcommand takes ``--json``. Exit codes: 0 done; 1 not possible, or the awaited job did not
succeed; 2 what was asked makes no sense (unknown task, wrong argument, …), and nothing was done.
"""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db import ProgrammingError
from rich.console import Console
from rich.table import Table

from jobs import operations
from jobs.command_line import cell, payload_of, rows_wanted, seconds, shell_actor
from jobs.context import job_context
from jobs.enqueue import enqueue_by_name
from jobs.errors import EnqueueError, InvalidPayload, JobsError, UnknownName
from jobs.models import Job, Priority
from jobs.queues import QUEUES
from jobs.representation import as_json
from jobs.selectors import (
    DeadLetterFilter,
    JobFilter,
    job_detail,
    job_stats,
    list_dead_letters,
    list_jobs,
    list_workers,
    queue_overviews,
)
from jobs.states import State
from jobs.waiting import StillRunning, wait_for


class Command(BaseCommand):
    """The jobs of the service, from a terminal."""

    help = "See and steer jobs: list, show, enqueue, cancel, retry, stats, dead-letters, …"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Define the subcommands."""
        commands = parser.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")

        def command(name: str, text: str, run: Callable[..., None]) -> ArgumentParser:
            sub: ArgumentParser = commands.add_parser(name, help=text, description=text)
            sub.add_argument("--json", action="store_true", help="print JSON instead of a table")
            sub.set_defaults(run=run)
            return sub

        listing = command("list", "List jobs, the newest first.", self.list)
        listing.add_argument("--queue", default="", choices=["", *QUEUES], metavar="QUEUE")
        listing.add_argument("--task", default="")
        listing.add_argument("--state", action="append", default=[], choices=State.values)
        listing.add_argument("--tenant", default="")
        listing.add_argument("--search", default="", help="(beginning of) an id; a correlation id")
        listing.add_argument("--limit", type=rows_wanted, default=50)

        show = command("show", "Show one job with its attempts and its history.", self.show)
        show.add_argument("id", type=UUID)

        enqueue = command("enqueue", "Enqueue a job.", self.enqueue)
        enqueue.add_argument("task", help="a task's name, such as jobs.probe")
        enqueue.add_argument("--payload", default="{}", help="its arguments, as a JSON object")
        enqueue.add_argument("--queue")
        enqueue.add_argument("--priority", choices=[choice.label for choice in Priority])
        enqueue.add_argument("--tenant", default="", help="the tenant's slug")
        enqueue.add_argument("--delay", type=seconds, default=0.0, help="seconds")
        enqueue.add_argument("--wait", action="store_true", help="until it has ended")
        enqueue.add_argument("--timeout", type=seconds, help="seconds to wait at most")

        for name, text in (
            ("cancel", "Cancel jobs that wait; ask those that run to stop."),
            ("retry", "Run scheduled jobs now, and dead jobs anew."),
        ):
            command(name, text, getattr(self, name)).add_argument("ids", nargs="+", type=UUID)
        for name, text in (
            ("pause", "Stop claiming jobs of a queue; those that run end."),
            ("resume", "Claim jobs of a queue again."),
        ):
            command(name, text, getattr(self, name)).add_argument("queue")

        stats = command("stats", "Count jobs, with their times, by task and state.", self.stats)
        stats.add_argument("--queue", default="", choices=["", *QUEUES], metavar="QUEUE")
        command("queues", "Show how each queue is doing.", self.queues)
        command("workers", "List the workers.", self.workers)

        letters = command("dead-letters", "List dead letters, or decide about them.", self.letters)
        letters.add_argument("--queue", default="")
        letters.add_argument("--task", default="")
        letters.add_argument("--tenant", default="")
        letters.add_argument("--limit", type=rows_wanted, default=50)
        decide = letters.add_mutually_exclusive_group()
        decide.add_argument("--replay", type=UUID, nargs="+", metavar="ID", default=[])
        decide.add_argument("--discard", type=UUID, nargs="+", metavar="ID", default=[])
        letters.add_argument("--note", default="", help="why they are discarded, for the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the subcommand; errors are one line each, with an exit code that tells them apart."""
        try:
            options["run"](options)
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

    # --- looking ---------------------------------------------------------------------------------

    def list(self, options: dict[str, Any]) -> None:
        """Print jobs."""
        wanted = JobFilter(
            queue=options["queue"],
            task=options["task"],
            states=tuple(options["state"]),
            tenant=options["tenant"],
            text=options["search"],
        )
        jobs = list_jobs(wanted, limit=options["limit"]).items
        self._print(
            jobs,
            options,
            ["id", "task", "queue", "state", "tenant", "attempt", "enqueued_at", "error"],
        )

    def show(self, options: dict[str, Any]) -> None:
        """Print one job, with everything that is known of it."""
        try:
            shown = as_json(job_detail(options["id"]))
        except Job.DoesNotExist:
            raise CommandError(f"There is no job {options['id']}.", returncode=1) from None
        if options["json"]:
            self._print_json(shown)
            return
        attempts, history = shown.pop("attempts"), shown.pop("audit")
        for key, value in shown.items():
            if value not in (None, "", []):
                self.stdout.write(f"{key:>15}  {cell(value)}")
        self._table(attempts, ["number", "outcome", "started_at", "seconds", "worker", "error"])
        self._table(history, ["at", "actor", "action", "detail"])

    def stats(self, options: dict[str, Any]) -> None:
        """Print counts and times."""
        columns = [
            "task",
            "queue",
            "state",
            "count",
            "wait_median",
            "wait_p95",
            "run_median",
            "run_p95",
        ]
        self._print(job_stats(queue=options["queue"]), options, columns)

    def queues(self, options: dict[str, Any]) -> None:
        """Print how each queue is doing."""
        columns = [
            "name",
            "paused",
            "available",
            "queued",
            "scheduled",
            "running",
            "oldest_due_seconds",
            "dead_letters",
            "workers",
        ]
        self._print(queue_overviews(), options, columns)

    def workers(self, options: dict[str, Any]) -> None:
        """Print the workers."""
        columns = ["id", "host", "pid", "pool", "concurrency", "queues", "alive", "heartbeat_at"]
        self._print(list_workers(), options, columns)

    # --- acting ----------------------------------------------------------------------------------

    def enqueue(self, options: dict[str, Any]) -> None:
        """Enqueue a job, and wait for it when asked."""
        priority = options["priority"]
        with job_context(actor=shell_actor()):
            job = enqueue_by_name(
                options["task"],
                payload_of(options["task"], options["payload"]),
                queue=options["queue"],
                priority=Priority[priority.upper()] if priority else None,
                tenant=options["tenant"],
                delay=timedelta(seconds=options["delay"]),
            )
        if options["wait"]:
            try:
                job = wait_for(job.id, timeout=options["timeout"], on_unserved=self._unserved)
            except StillRunning as error:
                raise CommandError(f"{error} Its id is {job.id}.", returncode=1) from None
        if options["json"]:
            self._print_json(as_json(job) | ({"result": job.result} if options["wait"] else {}))
        else:
            self.stdout.write(f"{job.id} {job.state} {job.error}".rstrip())
        if options["wait"] and job.state != State.SUCCEEDED:
            sys.exit(1)

    def cancel(self, options: dict[str, Any]) -> None:
        """Cancel jobs."""
        self._each(options["ids"], options, lambda id_: operations.cancel(id_, actor=shell_actor()))

    def retry(self, options: dict[str, Any]) -> None:
        """Run scheduled jobs now, and dead ones anew."""

        def run(job_id: UUID) -> Job | None:
            if Job.objects.filter(id=job_id, state=State.DEAD).exists():
                return operations.replay(job_id, actor=shell_actor())
            operations.hasten(job_id, actor=shell_actor())
            return None

        self._each(options["ids"], options, run)

    def pause(self, options: dict[str, Any]) -> None:
        """Pause a queue."""
        operations.pause_queue(options["queue"], actor=shell_actor())
        self._print_act("queue", options["queue"], "paused", options)

    def resume(self, options: dict[str, Any]) -> None:
        """Resume a queue."""
        operations.resume_queue(options["queue"], actor=shell_actor())
        self._print_act("queue", options["queue"], "resumed", options)

    def letters(self, options: dict[str, Any]) -> None:
        """Print dead letters, or replay or discard some."""
        if options["replay"]:
            self._each(
                options["replay"], options, lambda id_: operations.replay(id_, actor=shell_actor())
            )
        elif options["discard"]:
            self._each(
                options["discard"],
                options,
                lambda id_: operations.discard(id_, actor=shell_actor(), note=options["note"]),
            )
        else:
            wanted = DeadLetterFilter(
                queue=options["queue"], task=options["task"], tenant=options["tenant"]
            )
            letters = list_dead_letters(wanted, limit=options["limit"]).items
            self._print(
                letters,
                options,
                ["job_id", "task", "queue", "tenant", "reason", "error", "died_at"],
            )

    # --- printing --------------------------------------------------------------------------------

    def _each(
        self, ids: Iterable[UUID], options: dict[str, Any], act: Callable[[UUID], Job | None]
    ) -> None:
        """Do one act to each job; one that is not possible does not keep the others from it."""
        answers, failed = [], False
        for job_id in ids:
            answer: dict[str, Any] = {"id": str(job_id), "done": True}
            try:
                new = act(job_id)
                if new is not None:
                    answer["replayed_as"] = str(new.id)
            except JobsError as error:
                failed = True
                answer |= {"done": False, "error": str(error)}
            answers.append(answer)
        if options["json"]:
            self._print_json(answers)
        else:
            for answer in answers:
                told = answer.get("error") or answer.get("replayed_as") or "done"
                label = "replayed as " if "replayed_as" in answer else ""
                self.stdout.write(f"{answer['id']}  {label}{told}")
        if failed:
            sys.exit(1)

    def _print(
        self, items: Sequence[object], options: dict[str, Any], columns: Sequence[str]
    ) -> None:
        rows = [as_json(item) for item in items]
        if options["json"]:
            self._print_json(rows)
        else:
            self._table(rows, columns)

    def _print_act(self, kind: str, name: str, act: str, options: dict[str, Any]) -> None:
        if options["json"]:
            self._print_json({kind: name, act: True})
        else:
            self.stdout.write(f"{name} {act}")

    def _print_json(self, value: Any) -> None:
        self.stdout.write(json.dumps(value, ensure_ascii=False, indent=2))

    def _table(self, rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
        table = Table(*columns, box=None, header_style="bold", pad_edge=False)
        for row in rows:
            table.add_row(*(cell(row.get(column)) for column in columns))
        console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 240)
        console.print(table if rows else "Nothing.", markup=False)

    def _unserved(self, job: Job) -> None:
        self.stderr.write(f"No worker serves {job.queue!r}: running the job in this process.")
