"""Naming the class of an error, of which a job keeps the name alone."""

from traceback import format_exception

import pytest
from django_tasks.base import TaskError
from django_tasks.utils import get_module_path

from jobs.attempt import TaskExited
from jobs.django_tasks.results import _error
from tests.plugin.tasks import PluginError


class TimeoutError(Exception):  # noqa: A001 - as many packages call theirs
    """Has the name of a builtin."""


class Outer:
    """Has an exception inside."""

    class InnerError(Exception):
        """Belongs to a class."""


def told(error: BaseException) -> TaskError:
    """Return what is told of an error that a job's attempt keeps."""
    return _error(type(error).__name__, str(error), "".join(format_exception(error)))


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        ValueError(),
        ValueError("two\nlines: of\n\ntext"),
        PluginError("x"),
        PluginError("mind this:\nPluginError: not this"),
        TimeoutError("not the builtin"),
        caused(PluginError("x"), ValueError("y")),
        caused(TimeoutError("x"), __builtins__["TimeoutError"]("y")),  # type: ignore[index]
        ExceptionGroup("several", [ValueError("x"), PluginError("y")]),
    ],
    ids=repr,
)
def test_the_class_of_an_error_is_read_from_its_traceback(error: Exception) -> None:
    result = told(error)
    assert result.exception_class is type(error)
    assert result.exception_class_path == get_module_path(type(error))


def test_the_class_of_an_error_may_belong_to_another_class() -> None:
    assert told(Outer.InnerError("x")).exception_class_path == get_module_path(Outer.InnerError)


def test_a_task_that_exits_has_raised_system_exit() -> None:
    exited = told(caused(TaskExited("The task called sys.exit()."), SystemExit("Enough.")))
    assert exited.exception_class is SystemExit
    assert exited.traceback == "SystemExit: Enough.\n"


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("PermanentError", "jobs.errors.PermanentError"),
        ("WorkerLost", "celery.exceptions.WorkerLostError"),
        ("KeyError", "builtins.KeyError"),
        ("NobodyKnowsThisError", "builtins.Exception"),
    ],
)
def test_without_a_traceback_the_class_is_the_nearest_that_is_known(kind: str, path: str) -> None:
    error = _error(kind, "text", "")
    assert error.exception_class_path == path
    assert issubclass(error.exception_class, Exception)
    assert error.traceback == f"{kind}: text\n"
