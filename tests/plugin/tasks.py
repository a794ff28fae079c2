"""Tasks as other people's apps declare them."""

import time
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.utils.module_loading import import_string
from django_tasks import TaskContext, task
from django_tasks.base import Task


@task()
def do_nothing(*args: Any, **kwargs: Any) -> None: ...


@task
def do_nothing_bare(*args: Any, **kwargs: Any) -> None: ...


@task()
async def do_nothing_async(*args: Any, **kwargs: Any) -> None: ...


@task()
def add(left: int, right: int = 1) -> int:
    return left + right


@task()
async def count_content_types() -> int:
    return await ContentType.objects.acount()


@task()
def echo(*args: Any, **kwargs: Any) -> list[Any]:
    return [list(args), kwargs]


@task(queue_name="email", priority=-5)
def write_letter() -> None: ...


@task(takes_context=True)
def take_long_at_first(context: TaskContext, seconds: float) -> int:
    """Take so long in the first attempt, and no time in another."""
    if context.attempt == 1:
        time.sleep(seconds)
    return context.attempt


@task()
def refuse() -> None:
    raise ValueError("The plugin refuses.")


class PluginError(Exception):
    """An error of the plugin's own."""


@task()
def refuse_in_own_words(text: str = "No.") -> None:
    raise PluginError(text)


@task()
def refuse_with(path: str) -> None:
    """Raise the exception of this dotted path."""
    raise import_string(path)("Not now.")


@task()
def refuse_with_an_error_about_an_error() -> None:
    raise ValueError(ValueError("The plugin refuses."))


@task()
def leave() -> None:
    raise SystemExit("The plugin leaves.")


@task()
def interrupt() -> None:
    raise KeyboardInterrupt("Somebody pressed Ctrl-C.")


@task()
def return_a_function() -> Any:
    return lambda: True


@task()
def return_a_tuple() -> Any:
    return (1, b"two", {"three": (3,)})


@task(takes_context=True)
def tell_id(context: TaskContext) -> str:
    return context.task_result.id


@task(takes_context=True)
def tell_context(context: TaskContext, *, fail_before: int = 0) -> list[Any]:
    """Return what its context says; fail in the attempts before the given one."""
    if context.attempt < fail_before:
        raise PluginError(f"Attempt {context.attempt} fails.")
    seen = context.task_result
    return [context.attempt, str(seen.status), seen.is_finished, len(seen.errors)]


def _hidden() -> None: ...


#: Its function has another name: nobody finds the task by it.
misnamed: Task[[], None] = task()(_hidden)

not_a_task = add.func
