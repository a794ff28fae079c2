"""How a dry run is printed: who would get what, by kind."""

import sys
from collections.abc import Sequence

from jobs.command_line import cell
from jobs.dry_run import Told
from jobs.management.subcommands.terminal import Terminal
from jobs.representation import as_json
from jobs.schedules.by_hand import Trial
from jobs.templatetags.jobs_format import arguments

#: Rows of one kind that are printed; JSON has all.
_MOST_TOLD = 50


def tell(terminal: Terminal, trials: Sequence[Trial]) -> None:
    """Print who would get what; exit with 1 when something would fail."""
    failing = sum("error" in told.detail for trial in trials for told in trial.told)
    if terminal.as_json:
        terminal.json([as_json(trial) for trial in trials])
    else:
        for trial in trials:
            _tell_one(terminal, trial)
        told = f"{failing} would fail. " if failing else ""
        terminal.say(f"{told}Nothing was done: this was a dry run. --json tells all of it.")
    if failing:
        sys.exit(1)


def _tell_one(terminal: Terminal, trial: Trial) -> None:
    day = f" for {trial.day}" if trial.day else ""
    terminal.say(f"{cell(trial.schedule)}{day}\n")
    groups: dict[str, list[Told]] = {}
    for told in trial.told:
        groups.setdefault(told.what, []).append(told)
    for what, found in groups.items():
        terminal.say(f"{cell(what)}: {_count(found)}")
        rows = [
            {"tenant": cell(told.tenant), "to": cell(told.to), "what": _said(told)}
            for told in found[:_MOST_TOLD]
        ]
        columns = [name for name in ("tenant", "to") if any(row[name] for row in rows)]
        terminal.table(rows, [*columns, "what"], are_cut=False)
        if left := _count(found[_MOST_TOLD:]):
            terminal.say(f"… and {left} more")
        terminal.say("")
    if not any(told.to for told in trial.told):
        terminal.say("Nobody would be told.\n")


def _count(found: Sequence[Told]) -> int:
    return sum(told.count for told in found)


def _said(told: Told) -> str:
    """Return what it would say, what matters most at first; of lists, how long they are.

    A result is what was asked for: it is whole.
    """
    detail = dict(told.detail)
    first = {name: detail.pop(name) for name in ("error", "result") if name in detail}
    rest = {
        name: f"{len(value)} of them" if isinstance(value, list) else value
        for name, value in detail.items()
        if name not in {"to", "tenant", "zone"} and value not in (None, "", [])
    }
    return cell(arguments(first | rest), is_cut="result" not in told.detail)
