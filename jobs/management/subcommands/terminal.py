"""How the subcommands answer: tables and lines for people, or JSON with ``--json``."""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import UUID

from django.core.management.base import OutputWrapper
from rich.console import Console
from rich.table import Table

from jobs.command_line import cell
from jobs.errors import JobsError
from jobs.models import Job
from jobs.representation import as_json

#: Columns of a table that goes to a file or a pipe.
_WIDTH = 240


class Terminal:
    """Where a subcommand answers."""

    def __init__(self, out: OutputWrapper, err: OutputWrapper, *, as_json: bool) -> None:
        self._out = out
        self._err = err
        self.as_json = as_json

    def say(self, text: str) -> None:
        """Print a line."""
        self._out.write(text)

    def warn(self, text: str) -> None:
        """Print a line beside the answer."""
        self._err.write(text)

    def json(self, value: Any) -> None:
        """Print JSON."""
        self._out.write(json.dumps(value, ensure_ascii=False, indent=2))

    def rows(self, items: Iterable[object], columns: Sequence[str]) -> None:
        """Print what a selector returned: all of it as JSON, or these columns of a table."""
        rows = [as_json(item) for item in items]
        if self.as_json:
            self.json(rows)
        else:
            self.table(rows, columns)

    def table(
        self, rows: Sequence[dict[str, Any]], columns: Sequence[str], *, are_cut: bool = True
    ) -> None:
        """Print a table; cells with long texts ``are_cut``, or go on below."""
        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="ellipsis" if are_cut else "fold")
        for row in rows:
            table.add_row(*(cell(row.get(column), is_cut=are_cut) for column in columns))
        console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else _WIDTH)
        console.print(table if rows else "Nothing.", markup=False)

    def act(self, kind: str, name: str, act: str) -> None:
        """Print that something was done to a queue or the like."""
        if self.as_json:
            self.json({kind: name, act: True})
        else:
            self.say(f"{name} {act}")

    def each(self, ids: Iterable[UUID], act: Callable[[UUID], Job | None]) -> None:
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
        if self.as_json:
            self.json(answers)
        else:
            for answer in answers:
                told = answer.get("error") or answer.get("replayed_as") or "done"
                label = "replayed as " if "replayed_as" in answer else ""
                self.say(f"{answer['id']}  {label}{told}")
        if failed:
            sys.exit(1)


#: What a subcommand does, with its arguments by name.
Run = Callable[[Terminal, dict[str, Any]], None]
#: Adds a subcommand by its name, its description and what it does; returns its parser.
Add = Callable[[str, str, Run], ArgumentParser]
