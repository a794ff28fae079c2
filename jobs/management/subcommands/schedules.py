"""``schedules`` and ``run-schedule``: what runs by itself, and running it by hand."""

import sys
import time
from argparse import ArgumentTypeError
from collections.abc import Sequence
from datetime import date
from typing import Any

from django.core.management.base import CommandError

from jobs.command_line import cell, seconds, shell_actor
from jobs.context import job_context
from jobs.management.subcommands.terminal import Add, Terminal
from jobs.management.subcommands.trials import tell
from jobs.models import Job
from jobs.representation import EnqueuedRow, as_json
from jobs.schedules import by_hand
from jobs.schedules.calendars import Days
from jobs.selectors import ScheduleHealth, ScheduleView, list_schedules, schedule_health
from jobs.states import State
from jobs.templatetags.jobs_format import duration
from jobs.waiting import StillRunning, wait_for

_SCHEDULES = ["name", "when", "zone", "next local", "next UTC", "last", "late", "state"]
_RUNS = ["job", "state", "schedule", "day", "error"]
#: Overdue schedules that are named.
_MOST_NAMED = 5


def add_to(add: Add) -> None:
    """Define the subcommands."""
    text = "List schedules: when each is due next, what became of it last, whether beats run."
    listing = add("schedules", text, schedules)
    listing.add_argument("--name", help="only this one, or all places of a declaration")
    listing.add_argument("--all", action="store_true", help="also the canaries, one for each queue")

    text = "Run a schedule now; when it is due next does not change."
    running = add("run-schedule", text, run_schedule)
    running.add_argument(
        "name",
        help="a schedule, or a declaration such as inventory.check_stock: then all its places",
    )
    running.add_argument("--tenant", metavar="SLUG", help="only this one's work")
    running.add_argument(
        "--date",
        type=_day,
        metavar="YYYY-MM-DD",
        help="the local day to do the work of; else today",
    )
    running.add_argument(
        "--dry-run", action="store_true", help="only tell who would get what, and undo it"
    )
    running.add_argument(
        "--wait",
        type=seconds,
        nargs="?",
        const=float("inf"),
        metavar="SECONDS",
        help="until the jobs have ended, or for so many seconds",
    )


def schedules(terminal: Terminal, options: dict[str, Any]) -> None:
    """Print schedules, and how it is about them."""
    name = options["name"]
    if name is not None:
        by_hand.schedules_called(name)  # or there is none: did you mean …?
    views = [
        view
        for view in list_schedules(name=name)
        if options["all"] or name is not None or not view.is_canary
    ]
    views.sort(key=lambda view: (view.is_canary, view.name))
    if terminal.as_json:
        terminal.json([as_json(view) for view in views])
        return
    terminal.table([_line(view) for view in views], _SCHEDULES)
    for view in views:
        if view.problem:
            terminal.say(f"{cell(view.name)}: {cell(view.problem)}")
        if view.changed and view.enabled:
            terminal.say(f"{cell(view.name)}: a person changed {', '.join(view.changed)}")
    terminal.say(_in_words(schedule_health()))


def _line(view: ScheduleView) -> dict[str, Any]:
    days = Days(view.rules.days)
    on = "" if days is Days.ALL else f", {days.label} {view.rules.country}"
    last, due = view.last, view.next
    late = last.late_by.total_seconds() if last else 0.0
    return {
        "name": view.name,
        "when": f"{view.when}{on}",
        "zone": view.zone,
        "next local": f"{due.local:%a} {due.local.isoformat(' ', 'seconds')}" if due else None,
        "next UTC": f"{due.utc:%Y-%m-%d %H:%M:%S}" if due else None,
        "last": (f"{last.outcome} by hand" if last.by_hand else last.outcome) if last else None,
        "late": duration(late) if late >= 1 else None,
        "state": view.state,
    }


def _in_words(health: ScheduleHealth) -> str:
    beats = "1 beat runs" if health.beats == 1 else f"{health.beats} beats run"
    looked = "none has looked yet"
    if health.tick_age is not None:
        looked = f"the last look was {duration(health.tick_age.total_seconds())} ago"
    late = f"overdue: {_some(health.overdue)}" if health.overdue else "nothing is overdue"
    parts = [beats if health.beats else "No beat runs (start manage.py beat)", looked, late]
    silent = [canary.queue for canary in health.canaries if canary.silent]
    if silent and health.beats:  # without a beat there are none
        parts.append(f"no canary came through {', '.join(silent)}")
    return f"{'; '.join(parts)}."


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    told = ", ".join(cell(name) for name in names[:_MOST_NAMED])
    return f"{told} and {more} more" if more > 0 else told


def run_schedule(terminal: Terminal, options: dict[str, Any]) -> None:
    """Run a schedule, or only try what it would do."""
    asked: dict[str, Any] = {"tenant": options["tenant"], "day": options["date"]}
    if options["dry_run"]:
        if options["wait"] is not None:
            raise CommandError("--wait: a dry run leaves no job to wait for.", returncode=2)
        tell(terminal, by_hand.try_out(options["name"], **asked))
        return
    with job_context(actor=shell_actor()):
        runs = by_hand.run(options["name"], **asked)
    twins = {run.job.id for run in runs if run.job.is_twin}
    jobs = [run.job for run in runs]
    if options["wait"] is not None:
        jobs = _wait(terminal, jobs, options["wait"])
    if terminal.as_json:
        terminal.json([_as_json(*pair, twins) for pair in zip(runs, jobs, strict=True)])
    else:
        terminal.table(
            [
                {"job": job.id, "state": job.state, "schedule": run.schedule, "day": run.day,
                 "error": job.error or ("It was there already." if job.id in twins else "")}
                for run, job in zip(runs, jobs, strict=True)
            ],
            _RUNS,
        )  # fmt: skip
    if options["wait"] is not None and any(job.state != State.SUCCEEDED for job in jobs):
        sys.exit(1)


def _as_json(run: by_hand.Run, job: Job, twins: set[Any]) -> dict[str, Any]:
    row = EnqueuedRow.of(job, is_twin=job.id in twins).model_dump(mode="json")
    return as_json(run) | {"job": row | {"result": job.result}}


def _wait(terminal: Terminal, jobs: list[Job], most: float) -> list[Job]:
    """Return the jobs when all have ended, or as they are after so many seconds."""
    until = time.monotonic() + most

    def ended(job: Job) -> Job:
        try:
            return wait_for(
                job.id,
                timeout=max(0.0, until - time.monotonic()),
                on_unserved=lambda waiting: terminal.warn(
                    f"No worker serves {waiting.queue!r}: running the job in this process."
                ),
            )
        except StillRunning:
            now = Job.objects.get(id=job.id)
            terminal.warn(f"The job is {now.state} after {most:g} seconds; it goes on: {job.id}")
            return now

    return [ended(job) for job in jobs]


def _day(text: str) -> date:
    """Read a date, for argparse; raises ``ArgumentTypeError`` saying what was expected."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise ArgumentTypeError(f"expected a date, such as 2026-11-21, not {text!r}")
    return day
