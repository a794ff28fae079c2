"""``audit-verify``: whether the audit log is complete, and fits the jobs."""

import sys
from dataclasses import asdict
from typing import Any

from jobs.management.subcommands.terminal import Add, Terminal
from jobs.selectors.audit_check import check_audit


def add_to(add: Add) -> None:
    """Define the subcommand."""
    text = "Check the audit log: every job's moves lead to its state, every archive is whole."
    add("audit-verify", text, audit_verify)


def audit_verify(terminal: Terminal, options: dict[str, Any]) -> None:
    """Check the audit log; exit with 1 when something does not fit."""
    report = check_audit()
    if terminal.as_json:
        terminal.json(asdict(report))
    else:
        for finding in report.findings:
            terminal.say(f"{finding.kind} {finding.subject}: {finding.problem}")
        for name in report.unknown_files:
            terminal.say(f"note: no archive is called {name}")
        terminal.say(
            f"{report.jobs} jobs, {report.entries} entries, {report.archives} archives with "
            f"{report.archived_entries} more: {len(report.findings) or 'no'} faults"
        )
    if report.findings:
        sys.exit(1)
