"""``dead-letters`` and ``replay``: what died, and what is done about it."""

import sys
from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from jobs import operations, replays
from jobs.command_line import moment, rows_wanted, seconds, shell_actor
from jobs.inline import run_job
from jobs.management.subcommands.terminal import Add, Terminal
from jobs.models import DeadLetter, Job, ReplayBatch
from jobs.representation import as_json
from jobs.selectors import DeadLetterFilter, group_dead_letters, list_dead_letters
from jobs.states import WAITING
from jobs.waiting import StillRunning, is_served, wait_for


def add_to(add: Add) -> None:
    """Define the subcommands."""
    letters = add("dead-letters", "List dead letters, or decide about them.", decide)
    letters.add_argument("--queue", default="")
    letters.add_argument("--task", default="")
    letters.add_argument("--tenant", default="")
    letters.add_argument("--limit", type=rows_wanted, default=50)
    deciding = letters.add_mutually_exclusive_group()
    deciding.add_argument("--replay", type=UUID, nargs="+", metavar="ID", default=[])
    deciding.add_argument("--discard", type=UUID, nargs="+", metavar="ID", default=[])
    letters.add_argument("--note", default="", help="why they are discarded, for the audit log")

    text = "Replay many dead letters: one first, and the rest when that one has succeeded."
    _define_replay(add("replay", text, replay))


def _define_replay(parser: ArgumentParser) -> None:
    for name in ("queue", "task", "tenant"):
        parser.add_argument(f"--{name}", default="")
    parser.add_argument("--reason", default="", choices=["", *DeadLetter.Reason.values])
    parser.add_argument("--error-type", default="", help="such as SMTPDataError")
    parser.add_argument("--died-after", type=moment, metavar="TIME", help="with its zone, ISO 8601")
    parser.add_argument(
        "--died-before", type=moment, metavar="TIME", help="with its zone, ISO 8601"
    )
    parser.add_argument("--id", dest="ids", type=UUID, action="append", default=[])
    parser.add_argument("--all", action="store_true", help="every one that waits for a decision")
    parser.add_argument("--no-canary", action="store_true", help="do not wait for a first one")
    parser.add_argument("--dry-run", action="store_true", help="only tell which ones")
    parser.add_argument("--wait", action="store_true", help="until all are enqueued, or it stops")
    parser.add_argument("--timeout", type=seconds, help="seconds to wait at most")


def decide(terminal: Terminal, options: dict[str, Any]) -> None:
    """Print dead letters, or replay or discard some."""
    if options["replay"]:
        terminal.each(options["replay"], lambda id_: operations.replay(id_, actor=shell_actor()))
    elif options["discard"]:
        terminal.each(
            options["discard"],
            lambda id_: operations.discard(id_, actor=shell_actor(), note=options["note"]),
        )
    else:
        wanted = DeadLetterFilter(
            queue=options["queue"], task=options["task"], tenant=options["tenant"]
        )
        letters = list_dead_letters(wanted, limit=options["limit"]).items
        terminal.rows(letters, ["job_id", "task", "queue", "tenant", "reason", "error", "died_at"])


def replay(terminal: Terminal, options: dict[str, Any]) -> None:
    """Replay many dead letters, or tell which ones."""
    wanted = _filter_of(options)
    if options["dry_run"]:
        columns = ["count", "task", "queue", "reason", "error_type", "oldest", "newest"]
        terminal.rows(group_dead_letters(wanted), columns)
        return
    batch = replays.replay_many(
        wanted,
        actor=shell_actor(),
        canary=not options["no_canary"],
        everything=options["all"],
    )
    if options["wait"]:
        try:
            _wait(batch, timeout=options["timeout"])
        except StillRunning as error:
            raise CommandError(f"{error} It is replay {batch.id}.", returncode=1) from None
    if terminal.as_json:
        terminal.json(as_json(batch))
    else:
        terminal.say(
            f"replay {batch.id} {batch.state}: {batch.replayed} of {batch.total} replayed, "
            f"{batch.refused} refused. {batch.note}".rstrip()
        )
        for reason, count in batch.refusals.items():
            terminal.warn(f"{count} × {reason}")
    if options["wait"] and (batch.state != ReplayBatch.State.DONE or batch.refused):
        sys.exit(1)


def _filter_of(options: dict[str, Any]) -> DeadLetterFilter:
    return DeadLetterFilter(
        queue=options["queue"],
        task=options["task"],
        tenant=options["tenant"],
        reason=options["reason"],
        error_type=options["error_type"],
        died_after=options["died_after"],
        died_before=options["died_before"],
        ids=tuple(options["ids"]),
    )


def _wait(batch: ReplayBatch, *, timeout: float | None) -> None:
    """Wait until the batch has ended; what no worker serves is run in this process.

    Raises:
        StillRunning: it did not end within ``timeout`` seconds.
    """

    def run_first(_: Job) -> None:
        canaries = ReplayBatch.objects.filter(id=batch.id).values("canary_id")
        first = Job.objects.filter(id__in=canaries, state__in=WAITING).first()
        if first is not None and not is_served(first.queue):
            run_job(first.id)

    assert batch.job_id is not None
    wait_for(batch.job_id, timeout=timeout, on_look=run_first)
    batch.refresh_from_db()
