"""``list``, ``show``, ``stats``, ``queues``, ``workers``: what there is."""

from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from jobs.command_line import cell, moment, rows_wanted
from jobs.management.subcommands.terminal import Add, Terminal
from jobs.models import Job
from jobs.queues import QUEUES
from jobs.representation import as_json
from jobs.selectors import (
    JobFilter,
    job_detail,
    job_stats,
    list_jobs,
    list_workers,
    queue_overviews,
)
from jobs.states import State

_STATS = [
    "task",
    "queue",
    "outcome",
    "state",
    "count",
    *(f"{time}_{part}" for time in ("wait", "run") for part in ("median", "p95", "p99")),
]
_QUEUES = [
    "name",
    "paused",
    "available",
    "parked",
    "queued",
    "scheduled",
    "running",
    "oldest_due_seconds",
    "dead_letters",
    "workers",
]
_WORKERS = ["id", "host", "pid", "pool", "concurrency", "queues", "alive", "heartbeat_at"]


def add_to(add: Add) -> None:
    """Define the subcommands."""
    listing = add("list", "List jobs, the newest first.", list_)
    listing.add_argument("--queue", default="", choices=["", *QUEUES], metavar="QUEUE")
    listing.add_argument("--task", default="")
    listing.add_argument("--state", action="append", default=[], choices=State.values)
    listing.add_argument("--tenant", default="")
    listing.add_argument("--search", default="", help="(beginning of) an id; a correlation id")
    listing.add_argument("--limit", type=rows_wanted, default=50)

    showing = add("show", "Show one job with its attempts and its history.", show)
    showing.add_argument("id", type=UUID)

    counting = add("stats", "Count what ended, with its times, by task and outcome.", stats)
    counting.add_argument("--queue", default="", choices=["", *QUEUES], metavar="QUEUE")
    counting.add_argument(
        "--since", type=moment, metavar="TIME", help="from this minute on: with its zone, ISO 8601"
    )
    add("queues", "Show how each queue is doing.", queues)
    add("workers", "List the workers.", workers)


def list_(terminal: Terminal, options: dict[str, Any]) -> None:
    """Print jobs."""
    wanted = JobFilter(
        queue=options["queue"],
        task=options["task"],
        states=tuple(options["state"]),
        tenant=options["tenant"],
        text=options["search"],
    )
    jobs = list_jobs(wanted, limit=options["limit"]).items
    terminal.rows(
        jobs, ["id", "task", "queue", "state", "tenant", "attempt", "enqueued_at", "error"]
    )


def show(terminal: Terminal, options: dict[str, Any]) -> None:
    """Print one job, with everything that is known of it."""
    try:
        shown = as_json(job_detail(options["id"]))
    except Job.DoesNotExist:
        raise CommandError(f"There is no job {options['id']}.", returncode=1) from None
    if terminal.as_json:
        terminal.json(shown)
        return
    attempts, history = shown.pop("attempts"), shown.pop("audit")
    for key, value in shown.items():
        if value not in (None, "", []):
            terminal.say(f"{key:>15}  {cell(value)}")
    terminal.table(attempts, ["number", "outcome", "started_at", "seconds", "worker", "error"])
    terminal.table(history, ["at", "actor", "action", "detail"])


def stats(terminal: Terminal, options: dict[str, Any]) -> None:
    """Print counts and times."""
    terminal.rows(job_stats(since=options["since"], queue=options["queue"]), _STATS)


def queues(terminal: Terminal, options: dict[str, Any]) -> None:
    """Print how each queue is doing."""
    terminal.rows(queue_overviews(), _QUEUES)


def workers(terminal: Terminal, options: dict[str, Any]) -> None:
    """Print the workers."""
    terminal.rows(list_workers(), _WORKERS)
