"""What docs/how-to/operate-queues.md says of the log is what the engine logs."""

import ast
from collections.abc import Iterator
from pathlib import Path

from jobs.supervisor import Event
from tests.docs.page_code import HOW_TO

ENGINE = Path(__file__).resolve().parents[2] / "jobs"
WORRYING = {"warning", "error", "exception"}


def logged() -> Iterator[tuple[str, str]]:
    """Yield the event and the level of every line that the engine logs."""
    for path in ENGINE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="log"), attr=level),
                    args=[ast.Constant(value=str(event)), *_],
                ):
                    yield event, level
    yield from ((f"process_{event}", "info") for event in Event)


def explained() -> set[str]:
    """Return the events in the page's table."""
    section = (HOW_TO / "operate-queues.md").read_text().partition("## What the log says")[2]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {event.strip(" `") for cell in cells for event in cell.split(",")}


def test_every_event_that_may_worry_somebody_is_explained() -> None:
    assert {event for event, level in logged() if level in WORRYING} <= explained()


def test_every_event_that_is_explained_is_one_of_the_engine() -> None:
    assert explained() <= {event for event, _ in logged()}
