"""The tasks that Celery's guide to its canvas uses in its examples, and a few as ours are."""

import os
import time
from types import SimpleNamespace
from typing import Any

from jobs import FailedJob, job_task
from jobs.errors import Discard, PermanentError

QUEUE = "inventory"


def _take_a_while() -> None:
    time.sleep(float(os.environ.get("CANVAS_SECONDS", "0")))


def declare() -> SimpleNamespace:  # noqa: C901 - many tasks, each of one line
    """Declare the tasks; returns them by their names."""

    @job_task(name="tests.add", queue=QUEUE)
    def add(x: int, y: int, debug: bool = False) -> int:
        _take_a_while()
        return x + y

    @job_task(name="tests.mul", queue=QUEUE)
    def mul(x: int, y: int) -> int:
        _take_a_while()
        return x * y

    @job_task(name="tests.xsum", queue=QUEUE)
    def xsum(numbers: list[Any]) -> int:
        _take_a_while()
        return sum(xsum.run(item) if isinstance(item, list) else item for item in numbers)

    @job_task(name="tests.identity", queue=QUEUE)
    def identity(x: Any) -> Any:
        _take_a_while()
        return x

    @job_task(name="tests.raising", queue=QUEUE)
    def raising(x: Any = None) -> None:
        raise PermanentError("something something")

    @job_task(name="tests.moot", queue=QUEUE)
    def moot() -> None:
        raise Discard("nobody wants it any more")

    @job_task(name="tests.reset_buffers", queue=QUEUE)
    def reset_buffers() -> str:
        return "reset"

    @job_task(name="tests.log_error", queue=QUEUE)
    def log_error(task_id: str) -> str:
        return task_id

    @job_task(name="tests.on_chord_error", queue=QUEUE)
    def on_chord_error(request: FailedJob, exc: str, traceback: str) -> str:
        return f"Task {request.id!r} raised error: {exc!r}"

    @job_task(name="tests.on_error_as_ours", queue=QUEUE)
    def on_error_as_ours(*, exc: str, request: dict[str, Any], traceback: str) -> list[str]:
        return [request["task"], exc, traceback]

    @job_task(name="tests.create_user", queue=QUEUE)
    def create_user(username: str, first: str, last: str, email: str) -> dict[str, str]:
        _take_a_while()
        return {"username": username, "email": email}

    @job_task(name="tests.import_contacts", queue=QUEUE)
    def import_contacts(user: dict[str, str]) -> str:
        return f"contacts of {user['username']}"

    @job_task(name="tests.send_welcome_email", queue=QUEUE)
    def send_welcome_email(user: dict[str, str]) -> str:
        return f"welcome, {user['email']}"

    @job_task(name="tests.notify_complete", queue=QUEUE)
    def notify_complete(*, import_id: int) -> int:
        return import_id

    @job_task(name="tests.count_units", queue=QUEUE, atomic=True)
    def count_units(*, warehouse: int, scale: int = 1) -> int:
        _take_a_while()
        return warehouse * scale

    @job_task(name="tests.report_units", queue=QUEUE)
    def report_units(*, title: str, units: list[int], footer: str = "end") -> str:
        return f"{title}: {units} {footer}"

    return SimpleNamespace(**locals())
