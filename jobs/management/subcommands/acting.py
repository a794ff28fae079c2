"""``enqueue``, ``cancel``, ``retry``, ``pause``, ``resume``: acts on jobs and queues."""

import sys
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from jobs import operations
from jobs.command_line import payload_of, seconds, shell_actor
from jobs.context import job_context
from jobs.enqueue import enqueue_by_name
from jobs.management.subcommands.terminal import Add, Terminal
from jobs.models import Job, Priority
from jobs.representation import EnqueuedRow
from jobs.states import State
from jobs.waiting import StillRunning, wait_for


def add_to(add: Add) -> None:
    """Define the subcommands."""
    enqueueing = add("enqueue", "Enqueue a job.", enqueue)
    enqueueing.add_argument("task", help="a task's name, such as jobs.probe")
    enqueueing.add_argument("--payload", default="{}", help="its arguments, as a JSON object")
    enqueueing.add_argument("--queue")
    enqueueing.add_argument("--priority", choices=[choice.label for choice in Priority])
    enqueueing.add_argument("--tenant", default="", help="the tenant's slug")
    enqueueing.add_argument("--delay", type=seconds, default=0.0, help="seconds (366 days at most)")
    enqueueing.add_argument(
        "--expires",
        type=seconds,
        help="seconds after which it is cancelled if it still waits (366 days at most)",
    )
    enqueueing.add_argument("--wait", action="store_true", help="until it has ended")
    enqueueing.add_argument("--timeout", type=seconds, help="seconds to wait at most")

    cancelling = add("cancel", "Cancel jobs that wait; ask those that run to stop.", cancel)
    cancelling.add_argument("ids", nargs="+", type=UUID)
    retrying = add("retry", "Run scheduled jobs now, and dead jobs anew.", retry)
    retrying.add_argument("ids", nargs="+", type=UUID)
    retrying.add_argument("--payload", help="changed arguments of one dead job, as a JSON object")
    add("pause", "Stop claiming jobs of a queue; those that run end.", pause).add_argument("queue")
    add("resume", "Claim jobs of a queue again.", resume).add_argument("queue")


def enqueue(terminal: Terminal, options: dict[str, Any]) -> None:
    """Enqueue a job, and wait for it when asked."""
    priority, expires = options["priority"], options["expires"]
    with job_context(actor=shell_actor()):
        job = enqueue_by_name(
            options["task"],
            payload_of(options["task"], options["payload"]),
            queue=options["queue"],
            priority=Priority[priority.upper()] if priority else None,
            tenant=options["tenant"],
            delay=timedelta(seconds=options["delay"]),
            expires=None if expires is None else timedelta(seconds=expires),
        )
    is_twin = job.is_twin
    if options["wait"]:
        try:
            job = wait_for(
                job.id,
                timeout=options["timeout"],
                on_unserved=lambda waiting: terminal.warn(
                    f"No worker serves {waiting.queue!r}: running the job in this process."
                ),
            )
        except StillRunning as error:
            raise CommandError(f"{error} Its id is {job.id}.", returncode=1) from None
    if terminal.as_json:
        told = EnqueuedRow.of(job, is_twin=is_twin).model_dump(mode="json")
        terminal.json(told | ({"result": job.result} if options["wait"] else {}))
    else:
        there = "This job was there already." if is_twin else ""
        terminal.say(" ".join(filter(None, [str(job.id), job.state, there, job.error])))
    if options["wait"] and job.state != State.SUCCEEDED:
        sys.exit(1)


def cancel(terminal: Terminal, options: dict[str, Any]) -> None:
    """Cancel jobs."""
    terminal.each(options["ids"], lambda id_: operations.cancel(id_, actor=shell_actor()))


def retry(terminal: Terminal, options: dict[str, Any]) -> None:
    """Run scheduled jobs now, and dead ones anew, one perhaps with other arguments."""
    changed = _changed(options)

    def run(job_id: UUID) -> Job | None:
        if changed is not None or Job.objects.filter(id=job_id, state=State.DEAD).exists():
            return operations.replay(job_id, actor=shell_actor(), payload=changed)
        operations.hasten(job_id, actor=shell_actor())
        return None

    terminal.each(options["ids"], run)


def _changed(options: dict[str, Any]) -> dict[str, Any] | None:
    """Return the changed arguments of the one job that is retried; raises what does not fit."""
    if options["payload"] is None:
        return None
    if len(options["ids"]) > 1:
        raise CommandError("--payload is for one job at a time.", returncode=2)
    job = Job.objects.filter(id=options["ids"][0]).first()
    return payload_of(job.task if job else "The job", options["payload"])


def pause(terminal: Terminal, options: dict[str, Any]) -> None:
    """Pause a queue."""
    operations.pause_queue(options["queue"], actor=shell_actor())
    terminal.act("queue", options["queue"], "paused")


def resume(terminal: Terminal, options: dict[str, Any]) -> None:
    """Resume a queue."""
    operations.resume_queue(options["queue"], actor=shell_actor())
    terminal.act("queue", options["queue"], "resumed")
