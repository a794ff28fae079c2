"""``workflows`` and ``workflow``: chains, groups and chords, each as one thing."""

from typing import Any

from django.core.management.base import CommandError

from jobs import operations
from jobs.command_line import rows_wanted, shell_actor
from jobs.management.subcommands.terminal import Add, Terminal
from jobs.models import Workflow
from jobs.representation import as_json
from jobs.selectors import WorkflowDetail, WorkflowFilter, list_workflows, workflow_detail

_WORKFLOWS = ["id", "name", "state", "done", "total", "running", "dead", "tenant", "created_at"]
_STAGES = ["stage", "jobs", "done", "running", "waiting", "dead", "cancelled", "look at", "error"]


def add_to(add: Add) -> None:
    """Define the subcommands."""
    listing = add("workflows", "List workflows, the newest first.", workflows)
    listing.add_argument("--tenant", default="")
    listing.add_argument("--state", default="", choices=["", "running", "failed"])
    listing.add_argument("--limit", type=rows_wanted, default=50)
    text = "Show a workflow: its stages, how far each is, and what is still to come."
    showing = add("workflow", text, workflow)
    showing.add_argument("id", help="of the workflow, or of one of its jobs")
    showing.add_argument("--cancel", action="store_true", help="start nothing more of it")


def workflows(terminal: Terminal, options: dict[str, Any]) -> None:
    """Print workflows."""
    wanted = WorkflowFilter(tenant=options["tenant"], state=options["state"])
    views, _ = list_workflows(wanted, limit=options["limit"])
    terminal.rows(views, _WORKFLOWS)


def workflow(terminal: Terminal, options: dict[str, Any]) -> None:
    """Print a workflow; cancel it first, when that is asked for."""
    try:
        detail = workflow_detail(options["id"])
    except Workflow.DoesNotExist as error:
        raise CommandError(str(error), returncode=1) from None
    if options["cancel"]:
        operations.cancel_workflow(detail.view.workflow.id, actor=shell_actor())
        detail = workflow_detail(detail.view.workflow.id)
    if terminal.as_json:
        terminal.json(as_json(detail))
        return
    terminal.say(_told(detail))
    terminal.table(_stages(detail), _STAGES)


def _told(detail: WorkflowDetail) -> str:
    view, counts = detail.view, detail.view.counts
    numbers = {
        "running": counts.running,
        "waiting": counts.waiting,
        "dead": counts.dead,
        "cancelled": counts.cancelled,
        "replayed": counts.replaced,
    }
    others = [f"{number} {name}" for name, number in numbers.items() if number]
    told = ", ".join([f"{counts.succeeded} of {view.total} done", *others])
    return f"{view.workflow.id} {view.state}: {told}\n{view.workflow.name}"


def _stages(detail: WorkflowDetail) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {
            "stage": ", ".join(stage.tasks),
            "jobs": stage.counts.all,
            "done": stage.counts.succeeded,
            "running": stage.counts.running or None,
            "waiting": stage.counts.waiting or None,
            "dead": stage.counts.dead or None,
            "cancelled": stage.counts.cancelled or None,
            "look at": stage.jobs[0].id if stage.jobs else None,
            "error": stage.jobs[0].error if stage.jobs else None,
        }
        for stage in detail.stages
    ]
    return rows + [{"stage": f"to come: {name}", "jobs": times} for name, times in detail.to_come]
