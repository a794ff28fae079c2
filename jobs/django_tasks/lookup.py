"""Finding a task by the path that its job keeps.

A path can come from anybody who may enqueue, and importing runs code. So nothing outside of the
installed apps is imported, and what is found there must be a task.
"""

from django.apps import apps
from django.utils.module_loading import import_string
from django_tasks.base import Task

from jobs.errors import PermanentError


class UnknownDjangoTask(PermanentError):
    """There is no such task."""


class NoDjangoTask(UnknownDjangoTask):
    """What is there is no task."""


def belongs_to_an_app(path: str) -> bool:
    """Say whether what is called so is in an installed app."""
    return any(path.startswith(f"{app.name}.") for app in apps.get_app_configs())


def find_task(path: str) -> Task[..., object]:
    """Return the task of this dotted path.

    Raises:
        UnknownDjangoTask: it cannot be imported; where the code is newer, it may.
        NoDjangoTask: what is there is something else.
    """
    if not belongs_to_an_app(path):
        raise UnknownDjangoTask(f"{path!r} is in no app of INSTALLED_APPS.")
    try:
        found = import_string(path)
    except ImportError as error:
        raise UnknownDjangoTask(f"{path!r} cannot be imported: {error}.") from error
    if not isinstance(found, Task):
        raise NoDjangoTask(
            f"{path!r} is not a task of the Tasks API, but a {type(found).__name__}."
        )
    return found
